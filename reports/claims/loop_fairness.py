"""One frozen route on two event loops, warm and cold: same throughput, other tails.

Beyond the lesson: whoever blocks a loop also hands it the choice of who is served next. Theory
protects throughput and mean, because one server that never idles finishes as much in any order;
median and tail belong to the order.
"""

from dataclasses import dataclass

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, MissingData, is_near
from reports.formatting import (
    format_count,
    format_estimate,
    format_number,
    format_ratio,
    format_seconds,
)
from reports.metrics.fairness import FairnessStats
from reports.metrics.model import CrowdMetrics, RunMetrics
from reports.stats.queueing import closed_loop_rate
from results.schema import Variant

_RATE_TOLERANCE = (
    0.05  # how near throughput and mean must lie to theory, and the throughputs to each other
)


MIN_TAIL_RATIO = 3.0  # times: how far the longest waits must lie apart
_CONDITIONS = ("asyncio warm", "asyncio cold", "uvloop warm", "uvloop cold")


@dataclass(frozen=True, slots=True)
class FairnessCondition:
    """One loop and one kind of connections: the crowd, and who got how many turns."""

    name: str
    unloaded_mean: float
    level: CrowdMetrics
    fairness: FairnessStats

    @property
    def longest_wait(self) -> float:
        """The longest wait of any request, in seconds."""
        return self.fairness.latency.longest.low

    @property
    def summary(self) -> str:
        """The four numbers, and who starved."""
        latency = self.fairness.latency
        hungry = (
            f", {format_count(self.fairness.starved_users, 'user')} starved"
            if self.fairness.starved_users
            else ""
        )
        p50 = latency.quantiles["p50"]
        rest = (
            f"mean {format_estimate(latency.mean)}, p50 {format_estimate(p50)}, longest"
            f" {format_estimate(latency.longest)}"
        )
        return f"{self.name} {format_number(self.level.throughput)} req/s, {rest}{hungry}"


def fairness_conditions(run_metrics: RunMetrics) -> list[FairnessCondition]:
    """The conditions that were measured."""
    conditions = []
    for name in _CONDITIONS:
        route = run_metrics.find_route(f"{Variant.BROKEN_ASYNC} {name}")
        if route and route.top_level and route.top_level.fairness and route.unloaded_mean:
            conditions.append(
                FairnessCondition(
                    name, route.unloaded_mean, route.top_level, route.top_level.fairness
                )
            )
    return conditions


def _judge_loop_fairness(run_metrics: RunMetrics) -> ClaimResult:
    """Throughput and mean must follow theory; the longest waits must differ."""
    conditions = fairness_conditions(run_metrics)
    if len(conditions) < len(_CONDITIONS):
        raise MissingData(
            "the frozen route on both loops, warmed and cold (atonce reproduce --full)"
        )
    rates = [condition.level.throughput for condition in conditions]
    users, service = conditions[0].level.users, conditions[0].unloaded_mean
    matches_theory = max(rates) / min(rates) - 1 <= _RATE_TOLERANCE and all(
        is_near(
            condition.level.throughput,
            closed_loop_rate(users, condition.unloaded_mean, 1),
            _RATE_TOLERANCE,
        )
        and _has_predicted_mean(condition.fairness)
        for condition in conditions
    )
    fair, unfair = (
        min(conditions, key=lambda condition: condition.longest_wait),
        max(conditions, key=lambda condition: condition.longest_wait),
    )
    tail_ratio = unfair.longest_wait / fair.longest_wait
    predicted = (
        f"in any order of service 1 / D = {format_number(closed_loop_rate(users, service, 1))}"
        f" req/s, and a mean of N D = {format_seconds(users * service)} once all queue,"
        f" {format_seconds(conditions[0].fairness.predicted_mean)} with first and last round;"
        " tails: anything"
    )
    holds = matches_theory and tail_ratio >= MIN_TAIL_RATIO
    return ClaimResult(
        predicted=predicted,
        measured="; ".join(condition.summary for condition in conditions),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=(
            _explain_fairness(fair, unfair, conditions)
            if holds
            else _explain_unconfirmed(tail_ratio, matches_theory=matches_theory)
        ),
    )


def _has_predicted_mean(fairness: FairnessStats) -> bool:
    """Whether the mean over all requests is that of one place, whatever the order."""
    mean = fairness.latency.mean.exact
    return mean is not None and is_near(mean, fairness.predicted_mean, _RATE_TOLERANCE)


def _explain_fairness(
    fair: FairnessCondition, unfair: FairnessCondition, conditions: list[FairnessCondition]
) -> str:
    """Explain who is served next. Name the mechanism only where it was measured (uvloop)."""
    warm = [condition.longest_wait for condition in conditions if condition.name.endswith("warm")]
    ratio_text = format_ratio(unfair.longest_wait / fair.longest_wait)
    how_much = (
        f"{ratio_text}, {unfair.name} against {fair.name}; both warmed"
        f" {format_ratio(max(warm) / min(warm))}"
    )
    uvloop_note = (
        "; uvloop lets one new connection in per turn, and here a turn is a whole wait: those"
        " inside are served again and again, the others wait at the door"
    )
    return f"the loop chooses who is served next ({how_much})" + (
        uvloop_note if unfair.name == "uvloop cold" else ""
    )


def _explain_unconfirmed(tail_ratio: float, *, matches_theory: bool) -> str:
    """Which half did not hold."""
    if not matches_theory:
        return "throughput or mean left what theory promises for any order of service"
    return (
        f"the longest waits lie {format_ratio(tail_ratio)} apart at most: here both loops are about"
        " equally fair"
    )


LOOP_FAIRNESS = Claim(
    id="loop-fairness",
    sentence=(
        "Who waits on a frozen route is up to the event loop and to when connections are opened:"
        " asyncio and uvloop, warmed and cold, answer as many per second, with tails several times"
        " apart."
    ),
    source="Beyond the lesson",
    judge=_judge_loop_fairness,
    needs=tuple(f"crowd/{Variant.BROKEN_ASYNC} {condition}/" for condition in _CONDITIONS),
)
