"""What nobody is to read: the values that somebody passes for the app, wherever it repeats them, and passwords in URLs."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

LEAST = 4  # characters of what is hidden: shorter ones stand in every text
MASK = "***"
CREDENTIALS = re.compile(r"://[^\s/@'\"]+@")


def secrets_of(values: Iterable[str]) -> tuple[str, ...]:
    """All that would give one of the values away, the longest first: itself, its words, its password, as they are or quoted."""
    pieces: set[str] = set()
    for value in values:
        words = re.split(r"[\s;,]+", value)
        passwords = re.findall(r"://[^\s/@:]*:(\S*)@", value)
        pieces |= {value, *words, *(word.partition("=")[2] for word in words), *passwords, *map(unquote, passwords)}
    forms = {form for piece in pieces for form in (piece, repr(piece)[1:-1], quote(piece, safe=""), *in_json(piece))}
    return tuple(sorted((one for one in forms if len(one) >= LEAST), key=len, reverse=True))


def in_json(text: str) -> tuple[str, str]:
    """As a line of JSON has it: with all letters as they are, or in ASCII."""
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def masked(text: str, secrets: Iterable[str]) -> str:
    """What an app said, without them."""
    for one in secrets:
        text = text.replace(one, MASK)
    return CREDENTIALS.sub(f"://{MASK}@", text)
