"""One frozen route on two event loops, warm and cold: same throughput, other tails.

A blocked loop also chooses which request comes next. One server that never idles has the same
throughput and mean in any order; median and tail depend on the order.
"""

from dataclasses import dataclass
from operator import attrgetter

from reports.claims.model import Claim, MissingData, PartResult, is_near
from reports.formatting import format_estimate
from reports.metrics.fairness import FairnessStats
from reports.metrics.model import CrowdMetrics, RunMetrics
from reports.stats.queueing import closed_loop_rate
from results.formatting import format_count, format_number, format_ratio, format_seconds
from results.schema import Variant

# how near throughput and mean must lie to theory, and the throughputs to each other
_RATE_TOLERANCE = 0.05
MIN_TAIL_RATIO = 3.0  # times: how far the longest waits must lie apart
_CONDITIONS = ("asyncio warm", "asyncio cold", "uvloop warm", "uvloop cold")


@dataclass(frozen=True, slots=True)
class FairnessCondition:
    """One loop and one kind of connections: the crowd, and each user's number of turns."""

    name: str
    unloaded_mean: float
    level: CrowdMetrics
    fairness: FairnessStats

    @property
    def longest_wait(self) -> float:
        """The longest wait of any request, in seconds."""
        return self.fairness.latency.longest.low


def _follows_theory(condition: FairnessCondition) -> bool:
    """Return whether throughput and mean are those of one place, in any order of service."""
    level, mean = condition.level, condition.fairness.latency.mean.exact
    rate = closed_loop_rate(level.users, condition.unloaded_mean, 1)
    if mean is None or not is_near(level.throughput, rate, _RATE_TOLERANCE):
        return False
    return is_near(mean, condition.fairness.predicted_mean, _RATE_TOLERANCE)


def _summarise_condition(condition: FairnessCondition) -> str:
    latency, starved = condition.fairness.latency, condition.fairness.starved_users
    text = (
        f"{condition.name} {format_number(condition.level.throughput)} req/s, mean"
        f" {format_estimate(latency.mean)}, p50 {format_estimate(latency.quantiles['p50'])},"
        f" longest {format_estimate(latency.longest)}"
    )
    return f"{text}, {format_count(starved, 'user')} starved" if starved else text


def fairness_conditions(run_metrics: RunMetrics) -> list[FairnessCondition]:
    """Return the conditions that were measured."""
    conditions = []
    for name in _CONDITIONS:
        route = run_metrics.find_route(f"{Variant.BROKEN_ASYNC} {name}")
        level = route.top_level if route else None
        if route and route.unloaded_mean and level and level.fairness:
            conditions.append(FairnessCondition(name, route.unloaded_mean, level, level.fairness))
    return conditions


def _judge_loop_fairness(run_metrics: RunMetrics) -> PartResult:
    """Expect throughput and mean of theory, and longest waits that differ."""
    conditions = fairness_conditions(run_metrics)
    if len(conditions) < len(_CONDITIONS):
        raise MissingData("the frozen route on both loops, warm and cold (atonce reproduce --full)")
    first, rates = conditions[0], [condition.level.throughput for condition in conditions]
    users, service = first.level.users, first.unloaded_mean
    has_one_rate = max(rates) / min(rates) - 1 <= _RATE_TOLERANCE
    follows_theory = has_one_rate and all(map(_follows_theory, conditions))
    fair, *_, unfair = sorted(conditions, key=attrgetter("longest_wait"))
    tail_ratio = unfair.longest_wait / fair.longest_wait
    apart = format_ratio(tail_ratio)
    return PartResult(
        f"in any order of service 1 / D = {format_number(closed_loop_rate(users, service, 1))}"
        f" req/s, and a mean of N D = {format_seconds(users * service)} once all queue,"
        f" {format_seconds(first.fairness.predicted_mean)} with first and last round; any tail",
        "; ".join(map(_summarise_condition, conditions)),
        {
            "throughput or mean differ from theory, in any order of service": not follows_theory,
            f"the longest waits lie only {apart} apart: both loops are about equally fair": (
                follows_theory and tail_ratio < MIN_TAIL_RATIO
            ),
        },
        why=_explain_fairness(fair, unfair, conditions),
    )


def _explain_fairness(
    fair: FairnessCondition, unfair: FairnessCondition, conditions: list[FairnessCondition]
) -> str:
    """Explain the choice of the next request; the mechanism only where it is known (uvloop)."""
    warm = [condition.longest_wait for condition in conditions if condition.name.endswith("warm")]
    text = (
        "the loop chooses which request is served next"
        f" ({format_ratio(unfair.longest_wait / fair.longest_wait)}, {unfair.name} against"
        f" {fair.name}; both warm {format_ratio(max(warm) / min(warm))})"
    )
    if unfair.name != "uvloop cold":
        return text
    return (
        f"{text}; uvloop accepts one new connection per turn, and here a turn is a whole wait: it"
        " serves open connections again and again while the others wait to be accepted"
    )


LOOP_FAIRNESS = Claim(
    id="loop-fairness",
    sentence="On a frozen route the event loop decides which user waits: same rate, other tails.",
    source="Beyond the lesson",
    needs=tuple(f"crowd/{Variant.BROKEN_ASYNC} {condition}/" for condition in _CONDITIONS),
    parts=(_judge_loop_fairness,),
)
