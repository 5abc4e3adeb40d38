"""Under N users the broken route answers in N D, the good ones in D."""

from reports.claims.model import (
    Claim,
    ClaimOutcome,
    ClaimResult,
    MissingData,
    is_near,
    measured_route,
)
from reports.formatting import format_count, format_ratio, format_seconds
from reports.metrics.model import CrowdMetrics, RunMetrics
from reports.stats.queueing import closed_loop_mean
from results.schema import Variant

_TOLERANCE = 0.10
_MAX_GOOD_SLOWDOWN = 1.5  # times the unloaded service time: a good route's mean under load


def _judge_latency_spike(run_metrics: RunMetrics) -> ClaimResult:
    """The mean, because it does not depend on the order of service; the good ones while their pool has room."""
    _, top, service, _ = measured_route(run_metrics, Variant.BROKEN_ASYNC)
    predicted = closed_loop_mean(top.users, service, 1)
    good = [
        _largest_fitting_crowd(run_metrics, variant) for variant in (Variant.ASYNC, Variant.SYNC)
    ]
    spikes = is_near(top.mean.low, predicted, _TOLERANCE) and top.mean.exact is not None
    calm = all(level.mean.high <= _MAX_GOOD_SLOWDOWN * base for level, base in good)
    good_means = ", ".join(
        f"{level.cell.split('/')[1]} with {format_count(level.users, 'user')}"
        f" {format_seconds(level.mean.low)}"
        for level, _ in good
    )
    return ClaimResult(
        predicted=(
            f"N D = {top.users} x {format_seconds(service)} = {format_seconds(predicted)}; the good"
            f" ones {format_seconds(service)}"
        ),
        measured=(
            f"mean {format_seconds(top.mean.low)} ({format_ratio(top.mean.low / service)});"
            f" {good_means}"
        ),
        outcome=ClaimOutcome.CONFIRMED if spikes and calm else ClaimOutcome.REFUTED,
        why=(
            "every user waits for all the others; on a good route nobody waits while its pool has"
            " room"
            if spikes and calm
            else "the broken route did not slow down with its users, or a good one did"
        ),
    )


def _largest_fitting_crowd(run_metrics: RunMetrics, variant: Variant) -> tuple[CrowdMetrics, float]:
    """The largest crowd that the variant's pool has room for, and its service time in seconds."""
    route, _, service, _ = measured_route(run_metrics, variant)
    if route.mechanism and route.expected_concurrency is None:
        raise MissingData(f"the size of the {route.mechanism}, which the probe reads in the app")
    fitting = [
        level
        for level in route.median_levels
        if 1 < level.users <= (route.expected_concurrency or level.users)
    ]
    if not fitting:
        raise MissingData(f"a crowd on /{variant} that its pool has room for")
    return fitting[-1], service


CLAIM = Claim(
    id="latency-spike",
    sentence=(
        "Under load the broken route queues: N users wait N times as long; the same work done well"
        " takes as long as alone."
    ),
    source="async def vs def in FastAPI; its warning",
    judge=_judge_latency_spike,
    needs=("crowd/broken-async/", "crowd/async/", "crowd/sync/1"),
)
