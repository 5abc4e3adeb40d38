"""How many requests a route may still get: one allowance for all that it is ever asked in a run.

What was sent is counted where it was written down, also what was set aside since.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from results import spool
from results.schema import Cell
from scenarios.doctor.openapi.request_builder import MOST_OTHERS
from scenarios.doctor.retry import is_of

LEAST = 1000  # requests that an examination takes: what --requests must name at least
POLITE = 2 * (MOST_OTHERS + 3 + 3)  # requests that no spool counts: tries, three politely, three again when watched; twice


def count_left(folder: Path, act: str, route: str, requests: int) -> int:
    """What is left of so many requests after all that an act, and its second look, have sent."""
    spools = [*folder.glob("samples/*.jsonl"), *folder.glob(f"aside/{act}-*/samples/*.jsonl")]
    own = [line for path in spools if is_of(act, path.stem) for line in spool.read(path)]
    sent = [line for line in own if line[0] == "sent" and line[4] == route]
    return max(0, requests - POLITE - len(sent))


def share_out(cells: Iterable[Cell], left: int) -> tuple[Cell, ...]:
    """The cells, each with as many requests as are left for it at most; without those for which none is left."""
    found = []
    for cell in cells:
        most = min(cell.most if cell.most > 0 else left, left)
        left -= most
        found += [replace(cell, most=most)] if most else []
    return tuple(found)
