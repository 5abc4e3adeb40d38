"""Hides secrets: the values passed for the app, wherever it repeats them, and passwords in URLs."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

_MIN_SECRET_LENGTH = 4  # characters of what is hidden: shorter ones stand in every text
MASK = "***"
_CREDENTIALS_PATTERN = re.compile(r"://[^\s/@'\"]+@")


def secret_forms(values: Iterable[str]) -> tuple[str, ...]:
    """All forms of the values, longest first: whole, words and passwords, plain or quoted."""
    pieces: set[str] = set()
    for value in values:
        parts = re.split(r"[\s;,]+", value)
        passwords = re.findall(r"://[^\s/@:]*:(\S*)@", value)
        pieces |= {
            value,
            *parts,
            *(word.partition("=")[2] for word in parts),
            *passwords,
            *map(unquote, passwords),
        }
    forms: set[str] = set()
    for piece in pieces:
        forms |= {piece, repr(piece)[1:-1], quote(piece, safe=""), *_json_forms(piece)}
    return tuple(
        sorted(
            (secret for secret in forms if len(secret) >= _MIN_SECRET_LENGTH), key=len, reverse=True
        )
    )


def _json_forms(text: str) -> tuple[str, str]:
    """As a line of JSON has it: in ASCII, or with all letters as they are."""
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def redact_secrets(text: str, secrets: Iterable[str]) -> str:
    """What an app printed, without the secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _CREDENTIALS_PATTERN.sub(f"://{MASK}@", text)
