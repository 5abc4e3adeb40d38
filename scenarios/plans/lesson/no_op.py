"""The no-op pair, `async def` and `def` by turns in one server: what a thread hop costs."""

from dataclasses import replace

from results.schema import Cell, Scenario
from scenarios.plans.model import Session, variant_cell

_ROUTE_PAIR = (("async noop", "/noop/async"), ("sync noop", "/noop/def"))
_SERVER_NAME = _ROUTE_PAIR[0][0]  # one process for both, called after the first
_TURN_COUNT = 8  # of each: eight ratios for an interval
_TURN_SECONDS = 1.5  # seconds: some fifteen samples of the server's CPU
# one user that waits for each answer leaves both cores half idle: neither the generator nor the
# queue is what gets measured
_USERS = 1


def _no_op_cell(variant: str, route: str, turn: int) -> Cell:
    """One turn of one route; both wait for nothing, so what they cost is all that they are."""
    plain = variant_cell(Scenario.CROWD, variant, 0.0, _USERS)
    plain = replace(
        plain,
        name=f"{plain.name}-{turn}",
        route=f"GET {route}",
        path=route,
        expects="null",
        on=_SERVER_NAME,
    )
    return replace(plain, warm_up=0.3, window=_TURN_SECONDS, drain=10.0)


SESSIONS = (
    Session(
        _SERVER_NAME,
        0.0,
        tuple(
            _no_op_cell(*variant_route, turn)
            for turn in range(1, _TURN_COUNT + 1)
            for variant_route in _ROUTE_PAIR
        ),
        has_lesson_routes=True,
    ),
)
