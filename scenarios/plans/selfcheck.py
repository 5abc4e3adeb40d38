"""The plan of `atonce selfcheck`: loads on servers whose truth is known, within five minutes.

Rates and durations follow from that truth - c at once, D seconds each, capacity c / D. What is
measured never uses it: the report finds D and c from the answers and only then compares
(`reports/selfcheck.py`).
"""

from dataclasses import dataclass, replace

from results.schema import ArrivalDistribution, Arrivals, Cell, ConnectionMode, Scenario, Variant
from scenarios.plans.model import Plan, Session, expected_concurrency

_OPEN_LOAD_SECONDS = 60.0  # seconds of arrivals in each open load
_MAX_IN_FLIGHT = 900  # requests in flight: far more than any of these queues holds
# connections opened before a load: enough for its longest queue, and for those that rested too long
_WARM_CONNECTIONS = 300


@dataclass(frozen=True, slots=True)
class _IdealTarget:
    """One route of known concurrency and service time (seconds), and the `users` of its sweep.

    The sweep has one user and two levels beyond the concurrency.
    """

    route: str
    path: str
    concurrency: int
    seconds: float
    users: tuple[int, ...] = ()

    def base_cell(self, scenario: Scenario, level: float) -> Cell:
        """A cell without its durations."""
        return Cell(
            name=f"{scenario}/{self.route.removeprefix('GET /')}/{level:g}",
            scenario=scenario,
            variant=self.route,
            route=self.route,
            path=self.path,
            expects=f'{{"waited":{self.seconds!r}}}',
            users=0,
            warm_up=0.0,
            window=0.0,
            drain=20.0,
        )

    def crowd_cell(self, users: int, window: float) -> Cell:
        """N users; two rounds warm up."""
        cycle = self.seconds * max(1.0, users / self.concurrency)
        cell, stagger = self.base_cell(Scenario.CROWD, users), self.seconds * (1 - 1 / users)
        return replace(cell, users=users, warm_up=2 * cycle, window=window, stagger=stagger)

    def steady_cell(self, rate: float, seconds: float, warm_up: float) -> Cell:
        """Poisson arrivals on connections that are opened before."""
        profile = ((seconds, rate, rate),)
        arrivals = Arrivals(
            law=ArrivalDistribution.POISSON,
            profile=profile,
            pool=ConnectionMode.WARM,
            warm=_WARM_CONNECTIONS,
            cap=_MAX_IN_FLIGHT,
        )
        return replace(
            self.base_cell(Scenario.STEADY, rate),
            arrivals=arrivals,
            warm_up=warm_up,
            window=seconds - warm_up,
        )

    def sweep_cells(self, window: float) -> list[Cell]:
        """All its crowds."""
        return [self.crowd_cell(users, window) for users in self.users]


def _ideal_target(concurrency: int, seconds: float, users: tuple[int, ...]) -> _IdealTarget:
    return _IdealTarget(
        f"GET /places/{concurrency}",
        f"/places/{concurrency}?seconds={seconds:g}",
        concurrency,
        seconds,
        users,
    )


_CONCURRENCY_1, _CONCURRENCY_6, _CONCURRENCY_40 = (
    _ideal_target(1, 0.1, (1, 2, 4)),
    _ideal_target(6, 0.05, (1, 8, 12)),
    _ideal_target(40, 0.2, (1, 50, 64)),
)
_FASTAPI_LEVELS: dict[str, tuple[float, ...]] = {  # levels as multiples of the concurrency
    Variant.BROKEN_ASYNC: (2, 4),
    Variant.TO_THREAD: (4 / 3, 2),
    Variant.SYNC: (1.25, 1.6),
}
# requests per second at saturation, at most: well within what one core answers
_SATURATION_RATE = 200.0
_FREEZE_RATE = 100.0  # requests per second at the server that freezes, which is half its capacity


def _fastapi_target(variant: str) -> _IdealTarget:
    """The bundled route of a variant, whose concurrency follows from the pool it waits for."""
    c = expected_concurrency(variant)
    seconds, users = (
        max(0.05, c / _SATURATION_RATE),
        (1, *(round(c * level) for level in _FASTAPI_LEVELS[variant])),
    )
    return _IdealTarget(f"GET /{variant}", f"/{variant}?seconds={seconds:g}", c, seconds, users)


def selfcheck_plan(scale: float = 1.0) -> Plan:
    """All sessions; `scale` shortens the loads for a test."""
    seconds, window = _OPEN_LOAD_SECONDS * scale, max(1.0, 3 * scale)
    halfway = round(_FREEZE_RATE * seconds / 2)
    frozen = _IdealTarget(
        "GET /places/1, frozen", f"/places/1?seconds=0.005&freeze_at={halfway}", 1, 0.005
    )
    # 0.1 s each, so that a millisecond of HTTP and network is 1 %
    saturation = _CONCURRENCY_1.concurrency / _CONCURRENCY_1.seconds
    cells = (
        *[
            cell
            for target in (_CONCURRENCY_1, _CONCURRENCY_6, _CONCURRENCY_40)
            for cell in target.sweep_cells(window)
        ],
        # Not rho = .5: half of the requests would not wait, and the median would be whichever of
        # them met the most noise.
        # The warm-up is five correlation lengths.
        _CONCURRENCY_1.steady_cell(0.6 * saturation, seconds, min(4.5, seconds / 5)),
        _CONCURRENCY_1.steady_cell(0.7 * saturation, seconds, min(8.8, seconds / 5)),
        _CONCURRENCY_1.steady_cell(1.5 * saturation, 0.4 * seconds, min(2.0, seconds / 15)),
        frozen.steady_cell(_FREEZE_RATE, seconds, min(2.0, seconds / 5)),
    )
    sessions = (
        Session("places", 0.0, cells, app="targets.reference_server:app"),
        Session(
            "fastapi",
            0.0,
            tuple(
                cell
                for target in _FASTAPI_LEVELS
                for cell in _fastapi_target(target).sweep_cells(window)
            ),
        ),
    )
    notes = (
        (
            "One server process for all known places, one for FastAPI's routes; loads follow one"
            " another, drained in between."
        ),
    )
    # the overload's queue takes half as long again
    return Plan(0.0, sessions, notes, follow_up_seconds=0.2 * seconds)
