"""What `async def` and `def` cost when they do nothing."""

import math

import numpy as np

from reports.claims.model import Claim, MissingData, PartResult
from reports.metrics.model import CrowdMetrics, RunMetrics
from reports.metrics.repeats import format_repeated_value, pair_ratios
from reports.stats.intervals import RepeatedValue
from reports.stats.quantiles import mean_margin
from results.formatting import format_seconds, format_share, format_with_interval
from results.thresholds import FULL_CORE_SHARE

# seconds for a hop into a thread and back, as published of another machine
# (invoke-ai/InvokeAI#9436)
_PUBLISHED_HOP_TIME = 0.00016


def _turn_rates(levels: tuple[CrowdMetrics, ...]) -> RepeatedValue:
    return RepeatedValue(tuple(level.throughput for level in levels))


def _turn_costs(levels: tuple[CrowdMetrics, ...]) -> RepeatedValue:
    """Return the CPU seconds per request of each turn."""
    return RepeatedValue(tuple((level.cpu or math.nan) / level.throughput for level in levels))


def _format_capacity(run_metrics: RunMetrics, levels: tuple[CrowdMetrics, ...]) -> str:
    """Return the capacity of a full core; else a lower bound from CPU per request."""
    core_share = float(np.mean([level.cpu or 0.0 for level in levels]))
    if core_share >= FULL_CORE_SHARE:
        return f"capacity {format_repeated_value(_turn_rates(levels), 'req/s')}"
    names = {level.cell for level in levels}
    counts = [entry for entry in run_metrics.cell_counts if entry.cell in names]
    busy = max((entry.health.generator_cpu or 0.0 for entry in counts), default=0.0)
    affordable = RepeatedValue(tuple(1 / cost for cost in _turn_costs(levels).values))
    return (
        f"capacity at least {format_repeated_value(affordable, 'req/s')} (1 / CPU per request:"
        f" its core was {format_share(core_share)} full, the generator's {format_share(busy)})"
    )


def _judge_overhead(run_metrics: RunMetrics) -> PartResult:
    """Compare turn by turn; the whole interval of the ratio must lie above 1."""
    awaited, threaded = (_find_turns(run_metrics, f"{kind} noop") for kind in ("async", "sync"))
    cost, threaded_cost = _turn_costs(awaited), _turn_costs(threaded)
    cost_ratio = pair_ratios(threaded_cost, cost)
    rate_ratio = pair_ratios(_turn_rates(awaited), _turn_rates(threaded))
    interval = cost_ratio.interval if cost_ratio else None
    if not cost_ratio or not rate_ratio or not interval or not cost_ratio.estimate > 0:
        raise MissingData("five pairs of turns on both no-op routes, with the server's CPU")
    hop, margin = mean_margin(np.subtract(threaded_cost.values, cost.values))
    return PartResult(
        "CPU per request: `def` / `async def` > 1, by one hop into a thread and back (about"
        f" {format_seconds(_PUBLISHED_HOP_TIME)})",
        f"CPU per request {format_repeated_value(cost, 's')} as `async def`,"
        f" {format_repeated_value(threaded_cost, 's')} as `def`:"
        f" {format_with_interval(cost_ratio.estimate, interval)} times; `async def`"
        f" {_format_capacity(run_metrics, awaited)}, `def`"
        f" {_format_capacity(run_metrics, threaded)};"
        f" `async def` answered {format_with_interval(rate_ratio.estimate, rate_ratio.interval)}"
        " times as many",
        {"the hop into a thread did not show in the server's CPU": interval[0] <= 1},
        why=(
            f"a hop costs {format_seconds(hop)} of CPU (within {format_seconds(margin)}): next to"
            " any real work it is small, and only the empty route shows it"
        ),
        bars=(
            ("async def: CPU, ms", 1000 * cost.estimate),
            ("def: CPU, ms", 1000 * threaded_cost.estimate),
        ),
    )


def _find_turns(run_metrics: RunMetrics, variant: str) -> tuple[CrowdMetrics, ...]:
    route = run_metrics.find_route(variant)
    if route is None or not route.levels:
        raise MissingData(f"the turns of {variant}")
    return route.levels


OVERHEAD = Claim(
    id="overhead",
    sentence="`async def` costs least per request; `def` pays for a hop into a thread and back.",
    source="async def vs def in FastAPI",
    needs=("crowd/async noop/", "crowd/sync noop/"),
    parts=(_judge_overhead,),
)
