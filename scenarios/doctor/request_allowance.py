"""How many requests a route may still get: one allowance for all that it is ever asked in a run.

What was sent is counted where it was written down, also what was set aside since.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from results import spool
from results.schema import Cell
from scenarios.doctor.openapi.request_builder import MAX_ALTERNATIVES
from scenarios.doctor.retry import is_part_of_session

MIN_ROUTE_REQUESTS = 1000  # requests that an examination takes: what --requests must name at least
SMOKE_TEST_REQUESTS = 2 * (
    MAX_ALTERNATIVES + 3 + 3
)  # requests that no spool counts: tries, three politely, three again when watched; twice


def count_remaining_requests(folder: Path, session: str, route: str, requests: int) -> int:
    """What is left of so many requests after all that an act, and its second look, have sent."""
    spools = [*folder.glob("samples/*.jsonl"), *folder.glob(f"aside/{session}-*/samples/*.jsonl")]
    own_lines = [
        line
        for path in spools
        if is_part_of_session(session, path.stem)
        for line in spool.read_spool(path)
    ]
    sent = [line for line in own_lines if line[0] == "sent" and line[4] == route]
    return max(0, requests - SMOKE_TEST_REQUESTS - len(sent))


def share_requests(cells: Iterable[Cell], remaining: int) -> tuple[Cell, ...]:
    """The cells, each with as many requests as are left for it at most; without those for which none is left."""
    shared = []
    for cell in cells:
        max_requests = min(cell.most if cell.most > 0 else remaining, remaining)
        remaining -= max_requests
        shared += [replace(cell, most=max_requests)] if max_requests else []
    return tuple(shared)
