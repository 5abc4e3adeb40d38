"""The no-op pair, `async def` and `def` by turns in one server: what a thread hop costs."""

from dataclasses import replace
from itertools import product

from results.schema import Cell, Scenario
from scenarios.plans.cells import Target, Times
from scenarios.plans.model import Session

_ROUTE_PAIR = (("async noop", "/noop/async"), ("sync noop", "/noop/def"))
_SERVER_NAME = _ROUTE_PAIR[0][0]  # one process for both, called after the first
_TURN_COUNT = 8  # of each: eight ratios for an interval
_TURN_SECONDS = 1.5  # seconds: some fifteen samples of the server's CPU
# one user that waits for each answer leaves both cores half idle: neither the generator nor the
# queue is what gets measured
_USERS = 1


def _no_op_cell(variant: str, path: str, turn: int) -> Cell:
    """Return one turn of one route; both wait for nothing, so that only their overhead counts."""
    route = f"GET {path}"
    target = Target(variant=variant, route=route, path=path, expects="null", server=_SERVER_NAME)
    cell = target.create_cell(Scenario.CROWD, _USERS, Times(0.3, _TURN_SECONDS))
    return replace(cell, name=f"{cell.name}-{turn}")


_TURNS = product(range(1, _TURN_COUNT + 1), _ROUTE_PAIR)
_CELLS = tuple(_no_op_cell(*route, turn) for turn, route in _TURNS)
SESSIONS = (Session(_SERVER_NAME, 0.0, _CELLS, has_lesson_routes=True),)
