"""The plan of `atonce selfcheck`: loads on servers whose truth is known, within five minutes.

Rates and durations follow from that truth - c at once, D seconds each, capacity c / D. What is
measured never uses it: the report finds D and c from the answers and only then compares
(`reports/selfcheck.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from results.schema import Cell, Scenario, Variant
from scenarios.plans.cells import Target, Times, cycle_time, poisson_arrivals, waited_answer
from scenarios.plans.model import Plan, Session, expected_concurrency

_OPEN_LOAD_SECONDS = 60.0  # seconds of arrivals in each open load
_DRAIN = 20.0  # seconds
# connections opened before a load: for its longest queue, and for those that were idle too long
_WARM_CONNECTIONS = 300


@dataclass(frozen=True, slots=True)
class _IdealTarget:
    """A route of known concurrency and service time (seconds)."""

    route: str
    path: str
    concurrency: int
    seconds: float

    @property
    def target(self) -> Target:
        route, expects = self.route, waited_answer(self.seconds)
        label = route.removeprefix("GET /")
        return Target(variant=route, route=route, path=self.path, expects=expects, label=label)

    def crowd_cells(self, users_per_level: tuple[int, ...], window: float) -> Iterator[Cell]:
        """Yield a level for each number of users; two rounds warm up."""
        for users in users_per_level:
            warm_up = 2 * cycle_time(self.seconds, users, self.concurrency)
            times = Times(warm_up, window, _DRAIN)
            yield self.target.closed_loop_cell(users, times, self.seconds)

    def steady_cell(self, rate: float, seconds: float, warm_up: float) -> Cell:
        """Return Poisson arrivals on connections that are opened before."""
        arrivals = poisson_arrivals(rate, seconds, warm=_WARM_CONNECTIONS)
        times = Times(warm_up, seconds - warm_up, _DRAIN)
        return self.target.create_cell(Scenario.STEADY, rate, times, arrivals=arrivals)


def _ideal_target(path: str, concurrency: int, seconds: float) -> _IdealTarget:
    return _IdealTarget(f"GET {path}", f"{path}?seconds={seconds:g}", concurrency, seconds)


_CONCURRENCY_1 = _ideal_target("/places/1", 1, 0.1)
# the users of each sweep: one, and two levels beyond the concurrency
_SWEEPS = (
    (_CONCURRENCY_1, (1, 2, 4)),
    (_ideal_target("/places/6", 6, 0.05), (1, 8, 12)),
    (_ideal_target("/places/40", 40, 0.2), (1, 50, 64)),
)
_FASTAPI_LEVELS: dict[str, tuple[float, ...]] = {  # levels as multiples of the concurrency
    Variant.BROKEN_ASYNC: (2, 4),
    Variant.TO_THREAD: (4 / 3, 2),
    Variant.SYNC: (1.25, 1.6),
}
# requests per second at saturation, at most: well within what one core answers
_SATURATION_RATE = 200.0
_FREEZE_RATE = 100.0  # requests per second at the server that freezes, which is half its capacity


def _fastapi_cells(variant: str, window: float) -> Iterator[Cell]:
    """Yield the sweep of a bundled route; its concurrency follows from the pool it waits for."""
    c = expected_concurrency(variant)
    users = (1, *(round(c * level) for level in _FASTAPI_LEVELS[variant]))
    target = _ideal_target(f"/{variant}", c, max(0.05, c / _SATURATION_RATE))
    return target.crowd_cells(users, window)


def selfcheck_plan(scale: float = 1.0) -> Plan:
    """Return all sessions; `scale` shortens the loads for a test."""
    seconds, window = _OPEN_LOAD_SECONDS * scale, max(1.0, 3 * scale)
    frozen_path = f"/places/1?seconds=0.005&freeze_at={round(_FREEZE_RATE * seconds / 2)}"
    frozen = _IdealTarget("GET /places/1, frozen", frozen_path, 1, 0.005)
    # 0.1 s each, so that a millisecond of HTTP and network is 1 %
    saturation = _CONCURRENCY_1.concurrency / _CONCURRENCY_1.seconds
    cells = (
        *(cell for target, users in _SWEEPS for cell in target.crowd_cells(users, window)),
        # Not rho = .5: half of the requests would not wait, and noise would decide the median.
        # The warm-up is five correlation lengths.
        _CONCURRENCY_1.steady_cell(0.6 * saturation, seconds, min(4.5, seconds / 5)),
        _CONCURRENCY_1.steady_cell(0.7 * saturation, seconds, min(8.8, seconds / 5)),
        _CONCURRENCY_1.steady_cell(1.5 * saturation, 0.4 * seconds, min(2.0, seconds / 15)),
        frozen.steady_cell(_FREEZE_RATE, seconds, min(2.0, seconds / 5)),
    )
    fastapi = tuple(cell for name in _FASTAPI_LEVELS for cell in _fastapi_cells(name, window))
    sessions = (
        Session("places", 0.0, cells, app="targets.reference_server:app"),
        Session("fastapi", 0.0, fastapi),
    )
    note = (
        "One server process serves all reference routes, another serves FastAPI's routes. Each load"
        " starts when the one before has drained."
    )
    # the overload's queue takes half as long again
    return Plan(0.0, sessions, (note,), follow_up_seconds=0.2 * seconds)
