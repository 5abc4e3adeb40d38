"""What `async def` and `def` cost when they do nothing."""

import math

import numpy as np

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, MissingData
from reports.formatting import format_seconds, format_share, format_with_interval
from reports.metrics.model import CrowdMetrics, RunMetrics
from reports.metrics.repeats import format_repeated_value, pair_ratios
from reports.stats.intervals import RepeatedValue
from reports.verdicts.neighbours import FULL_CORE
from results.unloaded import student_t

# seconds for a hop into a thread and back, as published of another machine
# (invoke-ai/InvokeAI#9436)
_PUBLISHED_HOP_TIME = 0.00016


def _judge_overhead(run_metrics: RunMetrics) -> ClaimResult:
    """Compare turn by turn; the whole interval of the ratio must lie above 1."""
    async_levels, sync_levels = (
        _route_levels(run_metrics, "async noop"),
        _route_levels(run_metrics, "sync noop"),
    )
    costs = [
        RepeatedValue(tuple((level.cpu or math.nan) / level.throughput for level in levels))
        for levels in (async_levels, sync_levels)
    ]
    rates = [
        RepeatedValue(tuple(level.throughput for level in levels))
        for levels in (async_levels, sync_levels)
    ]
    cost_ratio, rate_ratio = pair_ratios(costs[1], costs[0]), pair_ratios(*rates)
    if (
        cost_ratio is None
        or rate_ratio is None
        or cost_ratio.interval is None
        or not cost_ratio.estimate > 0
    ):
        raise MissingData("five pairs of turns on the no-op pair, with the server's CPU")
    extra = np.subtract(costs[1].values, costs[0].values)
    hop, margin = (
        float(extra.mean()),
        student_t(len(extra) - 1) * float(extra.std(ddof=1)) / math.sqrt(len(extra)),
    )
    holds = cost_ratio.interval[0] > 1
    return ClaimResult(
        predicted=(
            "CPU per request: `def` / `async def` > 1, by one hop into a thread and back (some"
            f" {format_seconds(_PUBLISHED_HOP_TIME)})"
        ),
        measured=(
            f"CPU per request {format_repeated_value(costs[0], 's')} as `async def`,"
            f" {format_repeated_value(costs[1], 's')} as `def`:"
            f" {format_with_interval(cost_ratio.estimate, cost_ratio.interval)} times; `async def`"
            f" {_format_capacity_limit(run_metrics, async_levels, costs[0])}, `def`"
            f" {_format_capacity_limit(run_metrics, sync_levels, costs[1])}; `async def` answered"
            f" {format_with_interval(rate_ratio.estimate, rate_ratio.interval)} times as many"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=(
            f"a hop costs {format_seconds(hop)} of CPU (within {format_seconds(margin)}): next to"
            " any real work it is small, and only the empty route shows it"
            if holds
            else "the hop into a thread did not show in the server's CPU"
        ),
        bars=(
            ("async def: CPU, ms", 1000 * costs[0].estimate),
            ("def: CPU, ms", 1000 * costs[1].estimate),
        ),
    )


def _format_capacity_limit(
    run_metrics: RunMetrics, levels: list[CrowdMetrics], costs: RepeatedValue
) -> str:
    """The measured capacity of a full core; else a lower bound from CPU per request."""
    core_share = float(np.mean([level.cpu or 0.0 for level in levels]))
    if core_share >= FULL_CORE:
        capacity = RepeatedValue(tuple(level.throughput for level in levels))
        return f"capacity {format_repeated_value(capacity, 'req/s')}"
    names = {level.cell for level in levels}
    counts = [counts for counts in run_metrics.cell_counts if counts.cell in names]
    busy = max((entry.health.generator_cpu or 0.0 for entry in counts), default=0.0)
    affordable = RepeatedValue(tuple(1 / cost for cost in costs.values))
    return (
        f"capacity at least {format_repeated_value(affordable, 'req/s')} (1 / CPU per request: its"
        f" core was {format_share(core_share)} full, the generator's {format_share(busy)})"
    )


def _route_levels(run_metrics: RunMetrics, variant: str) -> list[CrowdMetrics]:
    """All turns of one route, in their order. Raises MissingData without any."""
    route = run_metrics.find_route(variant)
    if route is None or not route.levels:
        raise MissingData(f"the turns of {variant}")
    return list(route.levels)


OVERHEAD = Claim(
    id="overhead",
    sentence="`async def` costs least per request; `def` pays for a hop into a thread and back.",
    source="async def vs def in FastAPI",
    judge=_judge_overhead,
    needs=("crowd/async noop/", "crowd/sync noop/"),
)
