"""How many requests a route may still get: one allowance for a whole run.

Sent requests are counted from the spools, archived ones included.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from results.records import Sent, decode_request_line
from results.schema import Cell
from results.spool import read_spool
from scenarios.doctor.openapi.request_builder import MAX_ALTERNATIVES
from scenarios.doctor.retry import is_part_of_session

MIN_ROUTE_REQUESTS = 1000  # requests that an examination takes: the minimum of --requests
# Requests that no spool counts: alternatives, smoke test, smoke test with watchdog; all twice
SMOKE_TEST_REQUESTS = 2 * (MAX_ALTERNATIVES + 3 + 3)


def count_remaining_requests(folder: Path, session: str, route: str, requests: int) -> int:
    """Return the requests left after those that a session and its watchdog session sent."""
    spools = [*folder.glob("samples/*.jsonl"), *folder.glob(f"aside/{session}-*/samples/*.jsonl")]
    sent_count = 0
    for path in spools:
        if is_part_of_session(session, path.stem):
            lines = read_spool(path, decode_request_line)
            sent_count += sum(isinstance(line, Sent) and line.route == route for line in lines)
    return max(0, requests - SMOKE_TEST_REQUESTS - sent_count)


def share_requests(cells: Iterable[Cell], remaining: int) -> tuple[Cell, ...]:
    """Limit each cell to the requests left; cells for which none is left are dropped."""
    shared: list[Cell] = []
    for cell in cells:
        max_requests = min(cell.most if cell.most > 0 else remaining, remaining)
        remaining -= max_requests
        if max_requests:
            shared.append(replace(cell, most=max_requests))
    return tuple(shared)
