"""One experiment: one user on a route of the lesson, then a crowd, with requests to neighbours."""

from dataclasses import replace

from results.schema import Cell, base_variant
from scenarios.plans.cells import Target, Times, both_neighbours, cycle_time
from scenarios.plans.model import Session

_SINGLE_USER_ANSWERS = 20  # answers that one user should get: the service time is their median
_PING_WINDOW = 6.0  # seconds of a crowd's window: at least 100 pings of each neighbour
_CROWD_ROUNDS = 8  # and rounds of the crowd


def lesson_session(  # noqa: PLR0913 - a session has that many sides
    variant: str,
    path: str,
    expects: str,
    *,
    seconds: float,
    users: int,
    concurrency: float,
    extra_requests: tuple[str, ...] = (),
) -> Session:
    """Return a fresh server and two levels: one user, and more `users` than it serves at once.

    The work takes `seconds`. `concurrency` steers durations only: those of the crowd's rounds.
    """
    levels = (1, users)
    cells = tuple(lesson_cell(variant, path, expects, seconds, n, concurrency) for n in levels)
    return Session(variant, seconds, cells, extra_requests=extra_requests, has_lesson_routes=True)


def lesson_cell(  # noqa: PLR0913, PLR0917 - as above
    variant: str, path: str, expects: str, seconds: float, users: int, concurrency: float
) -> Cell:
    """Return one level of an experiment; above one user the neighbours get requests as well."""
    cycle = cycle_time(seconds, users, concurrency)
    window = max(1.0, _SINGLE_USER_ANSWERS * seconds)
    if users > 1:
        window = max(_PING_WINDOW, _CROWD_ROUNDS * cycle)
    route = f"GET {path.partition('?')[0]}"
    target = Target(variant=variant, route=route, path=path, expects=expects)
    times = Times(max(cycle, 0.3), window, drain=max(10.0, 5 * cycle))
    cell = target.closed_loop_cell(users, times, seconds)
    # uvloop lets a `def` neighbour wait for twice as many laps
    hold_time = 2 * cycle if base_variant(variant) == "broken-async" else 0.0
    return replace(cell, neighbours=both_neighbours(hold_time)) if users > 1 else cell
