"""Formats estimates for readers: a duration, its bound or its range."""

import math

from reports.stats.quantiles import Estimate
from results.formatting import format_seconds


def format_estimate(estimate: Estimate | None) -> str:
    """Return a duration, its lower bound or its range; `~` where another run may well differ."""
    if estimate is None:
        return "-"
    if estimate.exact is None and math.isfinite(estimate.high):
        return f"{format_seconds(estimate.low)} to {format_seconds(estimate.high)}"
    if estimate.exact is None:
        return f">= {format_seconds(estimate.low)}"
    return f"~{format_seconds(estimate.low)}" if estimate.is_grey else format_seconds(estimate.low)


def format_change(before: Estimate | None, after: Estimate | None) -> str:
    """Return two durations: `1.71 ms -> 3.28 s`; a unit that both have stands once."""
    first, last = format_estimate(before), format_estimate(after)
    unit = last[last.rfind(" ") :]
    return f"{first.removesuffix(unit)} -> {last}"
