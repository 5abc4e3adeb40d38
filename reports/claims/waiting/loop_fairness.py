"""The same frozen route on two event loops, on warmed and on cold connections: the same throughput, very different tails.

Beyond the lesson: whoever blocks a loop also hands it the choice of who is served next. Theory protects throughput and
mean, because one server that never idles finishes as much in any order; median and tail belong to the order.
"""

from dataclasses import dataclass

from reports.claims.model import Claim, Judgement, Outcome, Untestable, near
from reports.formatting import count, number, seconds, times, value
from reports.metrics.fairness import Turns
from reports.metrics.model import Level, Study
from reports.stats.queueing import closed_loop_rate
from results.schema import Variant

ALIKE = 0.05  # how near throughput and mean must lie to theory, and the throughputs to each other
SEVERAL = 3.0  # times: how far the longest waits must lie apart
CONDITIONS = ("asyncio warm", "asyncio cold", "uvloop warm", "uvloop cold")


@dataclass(frozen=True, slots=True)
class Frozen:
    """One loop and one kind of connections: the crowd, and who got how many turns."""

    name: str
    service: float
    level: Level
    turns: Turns

    @property
    def longest(self) -> float:
        """The longest wait of any request, in seconds."""
        return self.turns.latency.longest.low

    @property
    def told(self) -> str:
        """The four numbers, and who starved."""
        latency = self.turns.latency
        hungry = f", {count(self.turns.starved, 'user')} starved" if self.turns.starved else ""
        p50 = latency.quantiles["p50"]
        rest = f"mean {value(latency.mean)}, p50 {value(p50)}, longest {value(latency.longest)}"
        return f"{self.name} {number(self.level.rate)} req/s, {rest}{hungry}"


def frozen(study: Study) -> list[Frozen]:
    """The conditions that were measured."""
    found = []
    for name in CONDITIONS:
        route = study.route(f"{Variant.BROKEN_ASYNC} {name}")
        if route and route.top and route.top.turns and route.service:
            found.append(Frozen(name, route.service, route.top, route.top.turns))
    return found


def judge(study: Study) -> Judgement:
    """Throughput and mean must agree with theory everywhere, and the longest waits must not agree with each other."""
    found = frozen(study)
    if len(found) < len(CONDITIONS):
        raise Untestable("the frozen route on both loops, warmed and cold (atonce reproduce --full)")
    rates = [one.level.rate for one in found]
    users, service = found[0].level.users, found[0].service
    obeys = max(rates) / min(rates) - 1 <= ALIKE and all(
        near(one.level.rate, closed_loop_rate(users, one.service, 1), ALIKE) and keeps_the_mean(one.turns) for one in found
    )
    fair, unfair = min(found, key=lambda one: one.longest), max(found, key=lambda one: one.longest)
    apart = unfair.longest / fair.longest
    predicted = (
        f"in any order of service 1 / D = {number(closed_loop_rate(users, service, 1))} req/s, and a mean of N D = "
        f"{seconds(users * service)} once all queue, {seconds(found[0].turns.predicted_mean)} with first and last round; tails: anything"
    )
    holds = obeys and apart >= SEVERAL
    return Judgement(
        predicted=predicted,
        measured="; ".join(one.told for one in found),
        outcome=Outcome.CONFIRMED if holds else Outcome.REFUTED,
        why=explained(fair, unfair, found) if holds else refuted(apart, obeys=obeys),
    )


def keeps_the_mean(turns: Turns) -> bool:
    """Whether the mean over all requests is that of one place, whatever the order."""
    mean = turns.latency.mean.exact
    return mean is not None and near(mean, turns.predicted_mean, ALIKE)


def explained(fair: Frozen, unfair: Frozen, found: list[Frozen]) -> str:
    """What differs is who is served next. The mechanism is named only where it was measured apart (field notes, on uvloop)."""
    warm = [one.longest for one in found if one.name.endswith("warm")]
    apart = times(unfair.longest / fair.longest)
    how_much = f"{apart}, {unfair.name} against {fair.name}; both warmed {times(max(warm) / min(warm))}"
    door = (
        "; uvloop lets one new connection in per turn, and here a turn is a whole wait: those inside are served again and again, "
        "the others wait at the door"
    )
    return f"the loop chooses who is served next ({how_much})" + (door if unfair.name == "uvloop cold" else "")


def refuted(apart: float, *, obeys: bool) -> str:
    """Which half did not hold."""
    if not obeys:
        return "throughput or mean left what theory promises for any order of service"
    return f"the longest waits lie {times(apart)} apart at most: here both loops are about equally fair"


CLAIM = Claim(
    id="loop-fairness",
    sentence="Who waits on a frozen route is up to the event loop and to when connections are opened: asyncio and uvloop, warmed and "
    "cold, answer as many per second, with tails several times apart.",
    source="Beyond the lesson",
    judge=judge,
    needs=tuple(f"crowd/{Variant.BROKEN_ASYNC} {one}/" for one in CONDITIONS),
)
