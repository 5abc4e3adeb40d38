"""One experiment: a route of the lesson, asked by one user, then by a crowd beside neighbours."""

from dataclasses import replace

from results.schema import Cell, Scenario, base_variant
from scenarios.plans.model import Session, both_neighbours, variant_cell

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
    is_pinned: bool = True,
) -> Session:
    """A fresh server and two levels: one user, and more `users` than it serves at once.

    `seconds` is how long the work takes. `concurrency` steers durations only: how long a round of
    the crowd should last.
    """
    alone = lesson_cell(variant, path, expects, seconds, 1, concurrency)
    return Session(
        variant,
        seconds,
        (alone, lesson_cell(variant, path, expects, seconds, users, concurrency)),
        extra_requests=extra_requests,
        has_lesson_routes=True,
        is_pinned=is_pinned,
    )


def lesson_cell(  # noqa: PLR0913, PLR0917 - as above
    variant: str, path: str, expects: str, seconds: float, users: int, concurrency: float
) -> Cell:
    """One level of an experiment; with more than one user the neighbours are asked as well."""
    cycle = seconds * max(1.0, users / concurrency)
    # uvloop lets a `def` neighbour wait for twice as many laps
    hold_time = 2 * cycle if base_variant(variant) == "broken-async" else 0.0
    return replace(
        variant_cell(Scenario.CROWD, variant, seconds, users),
        route=f"GET {path.partition('?')[0]}",
        path=path,
        expects=expects,
        warm_up=max(cycle, 0.3),
        window=(
            max(1.0, _SINGLE_USER_ANSWERS * seconds)
            if users == 1
            else max(_PING_WINDOW, _CROWD_ROUNDS * cycle)
        ),
        drain=max(10.0, 5 * cycle),
        stagger=seconds * (1 - 1 / users),
        neighbours=() if users == 1 else both_neighbours(hold_time),
    )
