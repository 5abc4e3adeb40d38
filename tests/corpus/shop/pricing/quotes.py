"""Offers for many pieces."""

from pricing import discounts, rates

LINE: dict[str, int] = {}


def connect(port: int) -> None:
    """Remember where the supplier listens."""
    LINE["port"] = port


def offer(sku: str, pieces: int) -> float:
    """Price of many pieces, discount included."""
    return round(pieces * discounts.reduced(rates.today(LINE["port"], sku), pieces), 2)
