"""The same blocking route on two event loops, with warm and cold connections: each user's wait.

One panel per condition, one bar per user, in ascending order: flat is fair. The throughput is the
same in all panels.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from reports.claims.loop_fairness import MIN_TAIL_RATIO, FairnessCondition, fairness_conditions
from reports.formatting import format_estimate
from reports.metrics.model import RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from results.formatting import format_count, format_number, format_ratio, format_seconds
from results.schema import Variant

_BARS_WIDTH_POINTS = 130.0  # points: what all bars of a panel are wide together
_CONNECTION_LABELS = {
    "warm": "connections open before the load",
    "cold": "connections opened by the load",
}


def _build_title(run_metrics: RunMetrics) -> str:
    conditions = fairness_conditions(run_metrics)
    if not conditions:
        return "How long each user waits on a blocking route, by event loop"
    conditions.sort(key=lambda condition: condition.longest_wait)
    fair, unfair = conditions[0], conditions[-1]
    ratio = unfair.longest_wait / fair.longest_wait
    if ratio < MIN_TAIL_RATIO:
        return "The same route, the same rate: all loops and connections are about equally fair"
    loop, _, kind = unfair.name.partition(" ")
    return (
        f"The same route, the same rate: on {loop} with {kind} connections users wait up to"
        f" {format_ratio(ratio).removeprefix('x')} times as long"
    )


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw a panel per condition, the same axis of time, from zero."""
    conditions = fairness_conditions(run_metrics)
    if not conditions:
        return "Only atonce reproduce --full measures the blocking route on both event loops."
    users, unloaded_mean = conditions[0].level.users, conditions[0].unloaded_mean
    method = (
        f"GET /{Variant.BROKEN_ASYNC}, {users} users in a closed loop, a wait of"
        f" {format_seconds(unloaded_mean)} each, all answered"
    )
    title = _build_title(run_metrics)
    figure = style.create_figure(run_metrics, title, method, (11, 4.2), own_conditions=True)
    max_wait = max(condition.longest_wait for condition in conditions)
    for axes, condition in style.create_panels(figure, conditions, "y"):
        _draw_condition(axes, condition, max_wait)
    fair_wait = users * unloaded_mean
    text = f"all users in turn: {format_seconds(fair_wait)}"
    figure.axes[0].text(0, fair_wait + max_wait * 0.02, text, va="bottom")
    figure.axes[0].set_ylabel("longest wait of each user, s")
    figure.supxlabel(f"each bar is one of the {users} users, ordered by their longest wait")
    return figure


def _draw_condition(axes: Axes, condition: FairnessCondition, max_wait: float) -> None:
    """Draw one condition: a bar per user, the fair wait as a line, the numbers in words."""
    waits = condition.fairness.longest_waits
    # A single path: bars would be 100 KB.
    axes.plot(
        [x for i in range(len(waits)) for x in (i, i, math.nan)],
        [y for wait in waits for y in (0.0, wait, math.nan)],
        color=style.variant_style(Variant.BROKEN_ASYNC).colour,
        linewidth=_BARS_WIDTH_POINTS / max(len(waits), 1),
        solid_capstyle="butt",
    )
    fair_wait = condition.level.users * condition.unloaded_mean
    axes.axhline(fair_wait, color=style.INK, alpha=0.7, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.set(xlim=(-1, max(len(waits), 1)), ylim=(0, max_wait * 1.3), xticks=[])
    ticks = MaxNLocator(6).tick_values(0, max_wait)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick <= max_wait]))
    text = (
        f"{_CONNECTION_LABELS[condition.name.split()[1]]}\n"
        f"{format_number(condition.level.throughput)} req/s, median"
        f" {format_estimate(condition.fairness.latency.quantiles['p50'])}\nlongest wait"
        f" {format_seconds(condition.longest_wait)}"
    )
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "linespacing": 1.5}
    axes.text(0.02, 0.98, text, fontsize=9, **place)
    style.tidy_axes(axes, condition.name.replace(" ", ", "))


CHART: Chart[FairnessCondition] = Chart(
    stem="fairness",
    caption=(
        "Which users wait longest on a blocking route, by event loop? All requests of the crowd"
        " count, from the first to the last answer, so starved users are included. Dashed: the wait"
        " if all users were served in turn, N D."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "loop and connections": lambda at: at.name.replace(" ", ", "),
        "req/s": lambda at: format_number(at.level.throughput),
        "requests": lambda at: str(at.fairness.latency.count),
        "mean": lambda at: format_estimate(at.fairness.latency.mean),
        "predicted mean": lambda at: format_seconds(at.fairness.predicted_mean),
        "p50": lambda at: format_estimate(at.fairness.latency.quantiles["p50"]),
        "p95": lambda at: format_estimate(at.fairness.latency.quantiles["p95"]),
        "longest": lambda at: format_estimate(at.fairness.latency.longest),
        "answers per user": lambda at: (
            f"{at.fairness.answers_per_user[0]} to {at.fairness.answers_per_user[-1]}"
        ),
        "starved": lambda at: format_count(at.fairness.starved_users, "user"),
    },
    rows=lambda run_metrics: [(condition,) for condition in fairness_conditions(run_metrics)],
)
