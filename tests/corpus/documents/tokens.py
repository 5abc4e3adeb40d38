"""How many tokens a text costs: a byte-pair encoder in plain Python."""

from collections import Counter
from itertools import pairwise

MERGES = 16


def merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    """Join every occurrence of one pair."""
    joined = " ".join(symbols).replace(" ".join(pair), "".join(pair))
    return joined.split(" ")


def frequencies(symbols: list[str]) -> Counter[tuple[str, str]]:
    """Count neighbouring symbols."""
    return Counter((left, right) for left, right in pairwise(symbols) if left.isalpha() and right.isalpha())


def encode(text: str) -> list[str]:
    """Merge the most frequent pair again and again."""
    symbols = list(text.replace(" ", "_"))
    for _ in range(MERGES):
        [(pair, _count)] = frequencies(symbols).most_common(1)
        symbols = merge(symbols, pair)
    return symbols


def cost(text: str, price_per_thousand: float = 0.02) -> dict[str, float]:
    """Count and price a text."""
    count = len(encode(text))
    return {"tokens": count, "price": round(count * price_per_thousand / 1000, 6)}
