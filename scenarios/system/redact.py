"""Hides secrets: the values passed for the app, wherever it repeats them, and passwords in URLs."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

_MIN_SECRET_LENGTH = 4  # characters of what is hidden: shorter ones stand in every text
MASK = "***"
_CREDENTIALS_PATTERN = re.compile(r"://[^\s/@'\"]+@")


def secret_forms(values: Iterable[str]) -> tuple[str, ...]:
    """Return all forms of the values, longest first: whole, words, passwords, plain or quoted."""
    pieces: set[str] = set()
    for value in values:
        parts = re.split(r"[\s;,]+", value)
        passwords = re.findall(r"://[^\s/@:]*:(\S*)@", value)
        pieces |= {value, *parts, *(word.partition("=")[2] for word in parts)}
        pieces |= {*passwords, *map(unquote, passwords)}
    forms = set(pieces)
    for piece in pieces:
        # JSON is in ASCII, or has all letters as they are
        in_json = (json.dumps(piece, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
        forms |= {repr(piece)[1:-1], quote(piece, safe=""), *in_json}
    secrets = (form for form in forms if len(form) >= _MIN_SECRET_LENGTH)
    return tuple(sorted(secrets, key=len, reverse=True))


def redact_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return what an app printed, without the secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _CREDENTIALS_PATTERN.sub(f"://{MASK}@", text)
