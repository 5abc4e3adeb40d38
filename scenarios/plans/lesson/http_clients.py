"""One call of another service: with `requests` on the loop and in a thread, with `httpx` shared and per request, with `aiohttp`."""

from dataclasses import replace

from results.schema import Cell, written
from scenarios.plans.lesson.experiment import experiment
from scenarios.plans.model import Act, both_neighbours

DELAY = 0.2  # seconds that the upstream takes
USERS = 48  # more than there are threads, and far fewer than a pool has connections
SURE = 43 * DELAY  # seconds of a window that gives the rate its interval: eight pieces of five rounds, and some to spare
PER_REQUEST = 6  # calls at once that a client per request leaves room for, at least: loading certificates takes all of a core
HTTPX_USERS = 24  # httpx looks at every connection at every call: twice as many, once they ask in step, fill a core
FAULTS = ("slow", "error", "gone")


def act(variant: str, path: str, places: float, *, users: int = USERS, asks: tuple[str, ...] = ("/client/counters",)) -> Act:
    """A route that makes one call; asked for the upstream's counters before the load and after it."""
    answer = f'{{"delay":{DELAY:g}}}'
    made = experiment(variant, f"{path}?seconds={DELAY:g}", answer, seconds=DELAY, users=users, places=places, asks=asks)
    return replace(made, cells=tuple(sure(cell, places) if cell.users > 1 else cell for cell in made.cells))


def sure(cell: Cell, places: float) -> Cell:
    """The crowd, for long enough; with more neighbours at hand where something other than the call holds the loop."""
    held = places < cell.users and written(cell.variant) == "async"
    neighbours = both_neighbours(cell.warm_up) if held else cell.neighbours
    return replace(cell, window=max(cell.window, SURE), neighbours=neighbours)


ACTS = (
    act("broken-async requests", "/client/requests", 1, users=6),
    act("sync requests", "/client/requests-def", 40),
    act("async httpx", "/client/httpx", HTTPX_USERS, users=HTTPX_USERS),
    act("async httpx-per-request", "/client/httpx-per-request", PER_REQUEST, users=HTTPX_USERS),
    act("async aiohttp", "/aiohttp", USERS, asks=("/aiohttp/counters", *(f"/aiohttp/{fault}" for fault in FAULTS))),
    Act(
        "clients",
        0.0,
        (),
        asks=(
            "/client/lifecycle",
            "/client/keep-alive",
            *(f"/client/{client}/{fault}" for client in ("httpx", "requests-def") for fault in FAULTS),
        ),
        lab=True,
    ),
)
