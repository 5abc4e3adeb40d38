"""One experiment: a route of the lab, asked by one user and then by a crowd with both neighbours beside it."""

from dataclasses import replace

from results.schema import Cell, Scenario, written
from scenarios.plans.model import Act, both_neighbours, cell_of

ALONE = 20  # answers that one user should get: the service time is their median
PINGS = 6.0  # seconds of a crowd's window: at least 100 pings of each neighbour
ROUNDS = 8  # and rounds of the crowd


def experiment(  # noqa: PLR0913 - an act has that many sides
    variant: str,
    path: str,
    expects: str,
    *,
    seconds: float,
    users: int,
    places: float,
    asks: tuple[str, ...] = (),
    pinned: bool = True,
) -> Act:
    """A fresh server and two levels: one user, and more `users` than there are `places` for work that takes so many seconds.

    `places` steers durations only: how long a round of the crowd should last.
    """
    alone = crowd(variant, path, expects, seconds, 1, places)
    return Act(variant, seconds, (alone, crowd(variant, path, expects, seconds, users, places)), asks=asks, lab=True, pinned=pinned)


def crowd(variant: str, path: str, expects: str, seconds: float, users: int, places: float) -> Cell:  # noqa: PLR0913, PLR0917
    """One level of an experiment; with more than one user the neighbours are asked meanwhile."""
    lap = seconds * max(1.0, users / places)
    turn = 2 * lap if written(variant) == "broken-async" else 0.0  # uvloop lets a `def` neighbour wait for twice as many laps
    return replace(
        cell_of(Scenario.CROWD, variant, seconds, users),
        route=f"GET {path.partition('?')[0]}",
        path=path,
        expects=expects,
        warm_up=max(lap, 0.3),
        window=max(1.0, ALONE * seconds) if users == 1 else max(PINGS, ROUNDS * lap),
        drain=max(10.0, 5 * lap),
        stagger=seconds * (1 - 1 / users),
        neighbours=() if users == 1 else both_neighbours(turn),
    )
