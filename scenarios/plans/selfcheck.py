"""The plan of `atonce selfcheck`: loads on servers whose truth is known, within five minutes.

Rates and durations follow from that truth - c places, D seconds each, capacity c / D. What is measured never uses it:
the report finds D and c from the answers and only then compares (`reports/selfcheck.py`).
"""

from dataclasses import dataclass, replace

from results.schema import Arrivals, Cell, Law, Pool, Scenario, Variant
from scenarios.plans.model import Act, Plan, places

OPEN = 60.0  # seconds of arrivals in each open load
CAP = 900  # requests in flight: far more than any of these queues holds
WARM = 300  # connections opened before a load: enough for its longest queue, and for those that rested too long


@dataclass(frozen=True, slots=True)
class Target:
    """One route of known places and service time (seconds); `users` of its sweep, one and two levels beyond its places."""

    route: str
    path: str
    places: int
    seconds: float
    users: tuple[int, ...] = ()

    def cell(self, scenario: Scenario, level: float) -> Cell:
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

    def crowd(self, users: int, window: float) -> Cell:
        """N users; two rounds warm up."""
        lap = self.seconds * max(1.0, users / self.places)
        cell, stagger = self.cell(Scenario.CROWD, users), self.seconds * (1 - 1 / users)
        return replace(cell, users=users, warm_up=2 * lap, window=window, stagger=stagger)

    def steady(self, rate: float, seconds: float, warm_up: float) -> Cell:
        """Poisson arrivals on connections that are opened before."""
        profile = ((seconds, rate, rate),)
        arrivals = Arrivals(law=Law.POISSON, profile=profile, pool=Pool.WARM, warm=WARM, cap=CAP)
        return replace(self.cell(Scenario.STEADY, rate), arrivals=arrivals, warm_up=warm_up, window=seconds - warm_up)

    def sweep(self, window: float) -> list[Cell]:
        """All its crowds."""
        return [self.crowd(users, window) for users in self.users]


def known(places: int, seconds: float, users: tuple[int, ...]) -> Target:
    """A server of known truth."""
    return Target(f"GET /places/{places}", f"/places/{places}?seconds={seconds:g}", places, seconds, users)


ONE, SIX, FORTY = known(1, 0.1, (1, 2, 4)), known(6, 0.05, (1, 8, 12)), known(40, 0.2, (1, 50, 64))
FASTAPI: dict[str, tuple[float, ...]] = {  # levels above its places, as multiples of them
    Variant.BROKEN_ASYNC: (2, 4),
    Variant.TO_THREAD: (4 / 3, 2),
    Variant.SYNC: (1.25, 1.6),
}
FULL = 200.0  # requests per second at saturation, at most: well within what one core answers
FREEZING = 100.0  # requests per second at the server that freezes, which is half its capacity


def on_fastapi(variant: str) -> Target:
    """The bundled route of a variant, whose places follow from the pool that it waits for."""
    c = places(variant)
    seconds, users = max(0.05, c / FULL), (1, *(round(c * level) for level in FASTAPI[variant]))
    return Target(f"GET /{variant}", f"/{variant}?seconds={seconds:g}", c, seconds, users)


def plan_of(scale: float = 1.0) -> Plan:
    """All acts; `scale` shortens the loads for a test."""
    seconds, window = OPEN * scale, max(1.0, 3 * scale)
    halfway = round(FREEZING * seconds / 2)
    frozen = Target("GET /places/1, frozen", f"/places/1?seconds=0.005&freeze_at={halfway}", 1, 0.005)
    full = ONE.places / ONE.seconds  # 0.1 s, so that a millisecond of HTTP and network is 1 %
    cells = (
        *[cell for one in (ONE, SIX, FORTY) for cell in one.sweep(window)],
        # Not rho = .5: half of the requests would not wait, and the median would be whichever of them met the most noise.
        ONE.steady(0.6 * full, seconds, min(4.5, seconds / 5)),  # five correlation lengths warm up
        ONE.steady(0.7 * full, seconds, min(8.8, seconds / 5)),
        ONE.steady(1.5 * full, 0.4 * seconds, min(2.0, seconds / 15)),
        frozen.steady(FREEZING, seconds, min(2.0, seconds / 5)),
    )
    acts = (
        Act("places", 0.0, cells, app="targets.reference_server:app"),
        Act("fastapi", 0.0, tuple(cell for one in FASTAPI for cell in on_fastapi(one).sweep(window))),
    )
    notes = ("One server process for all known places, one for FastAPI's routes; loads follow one another, drained in between.",)
    return Plan(0.0, acts, notes, afterwards=0.2 * seconds)  # the overload's queue takes half as long again
