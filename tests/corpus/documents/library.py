"""The documents themselves."""

import json
import re
from typing import Any

PARAGRAPH = (
    "The committee met in the spring to discuss the northern region. Its members agreed that the budget "
    "should follow the number of readers, and that every branch keeps a catalogue of its own. "
)
TEXTS = dict.fromkeys(range(1, 11), PARAGRAPH * 120)
QUERY = re.compile(r"^(\w+\s?)+$")


def outline(document_id: int) -> list[str]:
    """The first words of every sentence, each once."""
    sentences = re.split(r"(?<=\.)\s+", TEXTS[document_id] * 7)
    return sorted({" ".join(sentence.split()[:3]) for sentence in sentences if sentence})


def is_plain(query: str) -> bool:
    """Words only; anything else goes to the advanced search."""
    return QUERY.match(query) is not None


def search(query: str) -> dict[str, Any]:
    """Find documents."""
    kind = "plain" if is_plain(query) else "advanced"
    found = [number for number, text in TEXTS.items() if query.split(maxsplit=1)[0] in text]
    return {"kind": kind, "found": found}


def dump(copies: int) -> str:
    """Everything, as one JSON document that people can read."""
    rows = [{"id": number, "copy": copy, "tags": ["minutes", "public"], "pages": 12} for number in TEXTS for copy in range(copies)]
    return json.dumps({"documents": rows}, indent=2, sort_keys=True)
