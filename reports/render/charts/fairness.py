"""The same frozen route on two event loops, with warm and cold connections: each user's wait.

One panel per condition, one bar per user, the users ascending: flat is fair. The same throughput
stands over all of them.
"""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from reports.claims.loop_fairness import MIN_TAIL_RATIO, FairnessCondition, fairness_conditions
from reports.formatting import (
    format_count,
    format_estimate,
    format_number,
    format_ratio,
    format_seconds,
)
from reports.metrics.model import RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    tidy_axes,
    variant_style,
)
from results.schema import Variant

_BARS_WIDTH_POINTS = 130.0  # points: what all bars of a panel are wide together
_CONNECTION_LABELS = {"warm": "connections opened before", "cold": "connections opened by the load"}


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence."""
    conditions = fairness_conditions(run_metrics)
    if not conditions:
        return "Who waits on a frozen route, by event loop"
    fair, unfair = (
        pick(conditions, key=lambda condition: condition.longest_wait) for pick in (min, max)
    )
    if unfair.longest_wait < MIN_TAIL_RATIO * fair.longest_wait:
        return (
            "The same frozen route, the same rate: each loop and kind of connections is about as"
            " fair"
        )
    ratio = format_ratio(unfair.longest_wait / fair.longest_wait).removeprefix("x")
    loop, _, kind = unfair.name.partition(" ")
    return (
        f"The same route, the same rate: on {loop} with {kind} connections users wait up to {ratio}"
        " times as long"
    )


def draw(run_metrics: RunMetrics) -> Figure | str:
    """A panel per condition, the same axis of time, from zero."""
    conditions = fairness_conditions(run_metrics)
    if not conditions:
        return "The frozen route was not asked on both loops; atonce reproduce --full does."
    level = conditions[0].level
    load_text = (
        f"GET /{Variant.BROKEN_ASYNC}, {level.users} users in a closed loop, a wait of"
        f" {format_seconds(conditions[0].unloaded_mean)} each, all answered"
    )
    figure = create_figure(
        11, 4.2, title(run_metrics), method_subtitle(run_metrics, load_text, own_conditions=True)
    )
    panels = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
    max_wait = max(condition.longest_wait for condition in conditions)
    for axes, condition in zip(panels, conditions, strict=True):
        _draw_fairness_panel(axes, condition, max_wait)
    fair_wait = level.users * conditions[0].unloaded_mean
    panels[0].text(
        0,
        fair_wait + max_wait * 0.02,
        f"everybody in turn: {format_seconds(fair_wait)}",
        fontsize=8.5,
        color=INK,
        va="bottom",
    )
    panels[0].set_ylabel("longest wait of each user, s", fontsize=9.5, color=INK)
    figure.supxlabel(
        f"each bar is one of the {level.users} users, ordered by their longest wait",
        fontsize=9.5,
        color=INK,
    )
    return figure


def _draw_fairness_panel(axes: Axes, condition: FairnessCondition, max_wait: float) -> None:
    """One condition: a bar per user, the fair wait as a line, the numbers in words."""
    waits, fair_wait = (
        condition.fairness.longest_waits,
        condition.level.users * condition.unloaded_mean,
    )
    x_values = [x for i in range(len(waits)) for x in (i, i, math.nan)]
    y_values = [y for wait in waits for y in (0.0, wait, math.nan)]
    colour, bar_width = (
        variant_style(Variant.BROKEN_ASYNC).colour,
        _BARS_WIDTH_POINTS / max(len(waits), 1),
    )
    # A single path: bars would be 100 KB.
    axes.plot(x_values, y_values, color=colour, linewidth=bar_width, solid_capstyle="butt")
    axes.axhline(fair_wait, color=INK, alpha=0.7, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.set(xlim=(-1, max(len(waits), 1)), ylim=(0, max_wait * 1.3), xticks=[])
    axes.yaxis.set_major_locator(
        FixedLocator(
            [
                condition
                for condition in MaxNLocator(6).tick_values(0, max_wait)
                if condition <= max_wait
            ]
        )
    )
    loop, _, kind = condition.name.partition(" ")
    axes.set_title(f"{loop}, {kind}", fontsize=11, color=INK, loc="left", fontweight="bold")
    median = condition.fairness.latency.quantiles["p50"]
    caption_lines = [
        _CONNECTION_LABELS[kind],
        f"{format_number(condition.level.throughput)} req/s, median {format_estimate(median)}",
        f"longest wait {format_seconds(condition.longest_wait)}",
    ]
    axes.text(
        0.02,
        0.98,
        "\n".join(caption_lines),
        transform=axes.transAxes,
        fontsize=9,
        color=INK,
        va="top",
        linespacing=1.5,
    )
    tidy_axes(axes)


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("loop and connections", "req/s", "requests", "mean", "predicted mean")
    return (*head, "p50", "p95", "longest", "answers per user", "starved"), [
        _fairness_row(condition) for condition in fairness_conditions(run_metrics)
    ]


def _fairness_row(condition: FairnessCondition) -> tuple[str, ...]:
    latency, answers = condition.fairness.latency, condition.fairness.answers_per_user
    quantiles = [format_estimate(latency.quantiles[name]) for name in ("p50", "p95")]
    answers_text = f"{answers[0]} to {answers[-1]}"
    means = (format_estimate(latency.mean), format_seconds(condition.fairness.predicted_mean))
    starved_text = format_count(condition.fairness.starved_users, "user")
    return (
        condition.name.replace(" ", ", "),
        format_number(condition.level.throughput),
        str(latency.count),
        *means,
        *quantiles,
        format_estimate(latency.longest),
        answers_text,
        starved_text,
    )
