"""The whole tail of one load per route: measured, replayed in order, and as in a closed loop.

Each line ends where ten requests lie beyond. What was never answered leaves a line open upwards.
"""

import math
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.formatting import (
    format_count,
    format_estimate,
    format_number,
    format_ratio,
    format_seconds,
)
from reports.metrics.model import OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    set_time_ticks,
    spread_labels,
    tidy_axes,
    variant_style,
)
from reports.stats.model import Curve, ReplayFit
from reports.stats.quantiles import MIN_BEYOND, LatencyStats
from reports.verdicts.load_sentences import MIN_OMISSION_RATIO, find_omission, load_label

_MAX_PANELS, _MAX_PANELS_PER_ROW = 4, 2  # panels in all, and beside each other
_PERCENTILE_TICKS = {
    1.0: "0 %",
    2.0: "p50",
    10.0: "p90",
    100.0: "p99",
    1000.0: "p99.9",
    10_000.0: "p99.99",
}
_UNSURE_ALPHA = 0.45  # where fewer than ten independent requests lie beyond
_MIN_LINE_REACH = 2.0  # how far a line has to reach: 1 / (1 - q)
_TWO_DECIMALS_FROM = 99.9  # per cent, from which a percentile needs two decimals
_TITLE_WIDTH = 60  # characters of a panel's title
_GAP_COLOUR = "#E69F00"  # for areas only: too pale for a line


def _percentile_loads(run_metrics: RunMetrics) -> list[tuple[RouteMetrics, OpenLoadMetrics]]:
    """Per route its fullest load that was not overloaded; only the longest tails of many routes."""
    candidates = []
    for route in run_metrics.routes:
        steady_loads = [
            load
            for load in route.open_loads
            if load.curves and load.curves.measured and _line_ends(load)[0][0] >= _MIN_LINE_REACH
        ]
        if steady_loads:
            candidates.append((route, max(steady_loads, key=lambda load: load.sent_rate)))
    return sorted(candidates, key=lambda load: -_line_ends(load[1])[0][1])[:_MAX_PANELS]


def _line_ends(load: OpenLoadMetrics) -> list[tuple[float, float]]:
    """The last point of every line: measured, replayed, closed."""
    assert load.curves  # noqa: S101 - `_percentile_loads` checked
    return [
        line[-1]
        for line in (load.curves.measured, load.curves.replayed, load.curves.closed_loop)
        if line
    ]


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence: what a closed loop hides, or overtaking, the larger factor."""
    candidates: list[tuple[float, str]] = []
    for route, load in _percentile_loads(run_metrics):
        omission, replay = find_omission(load), load.replay_result
        if omission and omission.ratio >= MIN_OMISSION_RATIO:
            sentence = (
                f"users waited {format_seconds(omission.measured)} ({omission.name}), a closed-loop"
                f" tool says {format_seconds(omission.closed_loop)}"
            )
            candidates.append((omission.ratio, f"{route.route}: {sentence}"))
        if replay and replay.is_unfair and (tail_ratio := replay.unfairness("p99")):
            sentence = (
                f"{route.route} serves out of order: its p99 is about {format_number(tail_ratio)}"
                " times that of serving in turn"
            )
            candidates.append((tail_ratio, sentence))
        elif replay and replay.model is ReplayFit.HOLDS and load.latency:
            candidates.append(
                (
                    0.0,
                    (
                        f"{route.route}: its own arrivals explain the waiting, mean"
                        f" {format_estimate(load.latency.mean)}"
                    ),
                )
            )
    return max(
        candidates, default=(0.0, "How long the tail is, and what its own arrivals explain of it")
    )[1]


def draw(run_metrics: RunMetrics) -> Figure | str:
    """One panel per route, the same log axes."""
    charted_loads = _percentile_loads(run_metrics)
    if not charted_loads:
        return "No route was asked at a rate that it could bear, often enough for a percentile."
    column_count = min(_MAX_PANELS_PER_ROW, len(charted_loads))
    row_count = math.ceil(len(charted_loads) / column_count)
    subtitle = method_subtitle(
        run_metrics,
        "open model, latency from the planned moment",
        "replayed: the same sends through ideal places, in order",
        "closed loop: only what its users would have sent, at the answers of the full load, so too"
        " long rather than too short",
    )
    figure = create_figure(11, 1.2 + 3.6 * row_count, title(run_metrics), subtitle)
    panels = figure.subplots(
        row_count, column_count, sharex=True, sharey=True, squeeze=False
    ).flatten()
    all_curves = [load.curves for _, load in charted_loads if load.curves]
    lines = [
        line for load in all_curves for line in (load.measured, load.replayed, load.closed_loop)
    ]
    # The first is the quickest of all, perhaps a bound
    points = [point for line in lines for point in line[1:]]
    low, high = min(point[1] for point in points) * 0.8, max(point[1] for point in points) * 1.6
    max_x = max(point[0] for point in points)
    for axes, (route, load) in zip(panels, charted_loads, strict=False):
        axes.set(
            xscale="log",
            yscale="log",
            ylim=(low, high),
            xlim=(1, max_x ** (1.35 if column_count == 1 else 1.75)),
        )
        _draw_percentile_panel(axes, route, load)
        _format_percentile_axis(axes, max_x)
        set_time_ticks(axes.yaxis, low, high)
    for axes in panels[len(charted_loads) :]:
        axes.set_visible(False)
    figure.supxlabel("share of the requests that were answered sooner", fontsize=9.5, color=INK)
    figure.supylabel("latency", fontsize=9.5, color=INK)
    return figure


def _draw_percentile_panel(axes: Axes, route: RouteMetrics, load: OpenLoadMetrics) -> None:
    """One load: its three lines, named at their ends, and the gaps between them."""
    style = variant_style(route.variant)
    _draw_curves(axes, load, style.colour)
    _draw_gap(axes, load)
    _label_curves(axes, load)
    tidy_axes(axes)
    samples_text = f", n = {load.latency.count:,}" if load.latency else ""
    heading = textwrap.fill(f"{style.name} at {load_label(load)}{samples_text}", _TITLE_WIDTH)
    axes.set_title(heading, fontsize=10.5, color=INK, loc="left", fontweight="bold")


def _draw_curves(axes: Axes, load: OpenLoadMetrics, colour: str) -> None:
    """As measured, as replayed, and as a closed loop; fainter where few samples lie beyond."""
    curves = load.curves
    assert curves  # noqa: S101 - `_percentile_loads` checked
    thin: dict[str, Any] = {"color": INK, "linewidth": 1.1}
    axes.plot(*_split_points(curves.closed_loop), **thin, linestyle=(0, (1, 1.6)))
    effective_count = load.latency.effective_count if load.latency else None
    limit = (effective_count or math.inf) / MIN_BEYOND
    certain_points = [point for point in curves.measured if point[0] <= limit]
    axes.plot(*_split_points(certain_points), color=colour, linewidth=2.6)
    unsure_points = curves.measured[max(0, len(certain_points) - 1) :]
    axes.plot(*_split_points(unsure_points), color=colour, linewidth=2.6, alpha=_UNSURE_ALPHA)
    axes.plot(*_split_points(curves.replayed), **thin, linestyle=(0, (5, 2)))
    if curves.upper_bound != curves.measured:  # some requests were never answered
        x, upper_bounds = _split_points(curves.upper_bound)
        heights = [_read_height(curves.measured, at) for at in x]
        axes.fill_between(x, upper_bounds, heights, color=colour, alpha=0.25, linewidth=0)
        marker: dict[str, Any] = {"marker": "^", "markersize": 10, "markerfacecolor": "none"}
        axes.plot(*curves.measured[-1], **marker, color=colour)


def _label_curves(axes: Axes, load: OpenLoadMetrics) -> None:
    """The name of each line at its end, spread so that none covers another."""
    curves, replay = load.curves, load.replay_result
    assert curves  # noqa: S101 - `_percentile_loads` checked
    bound = ">= " if curves.upper_bound != curves.measured else ""
    labels = [f"measured {bound}{_end_label(curves.measured)}"]
    if replay and replay.is_unfair:
        ratio = format_ratio(replay.unfairness("p99") or 1.0)
        labels[0] += f"\novertaken: p99 {ratio} the replay's"
    if curves.replayed and replay:
        places = format_count(replay.places, "place")
        labels.append(f"replayed, {places}: {_end_label(curves.replayed)}")
    if curves.closed_loop:
        users = format_count(curves.users, "user")
        end_label = _end_label(curves.closed_loop)
        labels.append(f"as a closed-loop tool ({users})\nwould have told it: {end_label}")
    log_bottom, log_top = (math.log10(limit) for limit in axes.get_ylim())
    ends = list(_line_ends(load))
    heights = spread_labels([math.log10(end[1]) for end in ends], 0.1 * (log_top - log_bottom))
    edge = curves.measured[-1][0]
    text_style: dict[str, Any] = {"va": "center", "fontsize": 8.5, "color": INK}
    for label, end, height in zip(labels, ends, heights, strict=True):
        position = (edge * 1.04, 10**height)
        axes.plot([end[0], position[0]], [end[1], position[1]], color=INK, linewidth=0.6, alpha=0.4)
        axes.annotate(label, position, (4, 0), textcoords="offset points", **text_style)


def _draw_gap(axes: Axes, load: OpenLoadMetrics) -> None:
    """Name what closed-loop timing hides, in its shade; else shade what unfair order adds."""
    curves, omission = load.curves, find_omission(load)
    assert curves  # noqa: S101 - `_percentile_loads` checked
    if omission and omission.ratio >= MIN_OMISSION_RATIO and curves.closed_loop:
        x, closed_loop_values = _split_points(curves.closed_loop)
        axes.fill_between(
            x,
            closed_loop_values,
            [_read_height(curves.measured, at) for at in x],
            color=_GAP_COLOUR,
            alpha=0.28,
            linewidth=0,
        )
        middle = math.sqrt(closed_loop_values[-1] * _read_height(curves.measured, x[-1]))
        gap_text = (
            f"what a closed-loop tool leaves out:\nits {omission.name} is"
            f" {format_ratio(omission.ratio)[1:]} times too low, at least"
        )
        axes.annotate(
            gap_text,
            (x[-1], middle),
            (-8, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    elif load.replay_result and load.replay_result.is_unfair and curves.replayed:
        x, replayed_values = _split_points(curves.replayed)
        measured_values = [_read_height(curves.measured, at) for at in x]
        axes.fill_between(
            x,
            replayed_values,
            [max(pair) for pair in zip(replayed_values, measured_values, strict=True)],
            color=_GAP_COLOUR,
            alpha=0.28,
            linewidth=0,
        )


def _end_label(curve: Curve) -> str:
    """How far a line goes: `865 ms (p99.3)`."""
    x, y = curve[-1]
    percent = 100 * (1 - 1 / x)
    return f"{format_seconds(y)} (p{percent:.{4 if percent > _TWO_DECIMALS_FROM else 3}g})"


def _read_height(curve: Curve, at: float) -> float:
    """The height of a line at one place."""
    return next((y for x, y in curve if x >= at), curve[-1][1])


def _split_points(curve: Curve | list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """A line's places and heights."""
    return [x for x, _ in curve], [y for _, y in curve]


def _format_percentile_axis(axes: Axes, max_x: float) -> None:
    """Percentiles as people name them, as far as the lines reach."""
    axes.xaxis.set_major_locator(
        FixedLocator([tick for tick in _PERCENTILE_TICKS if tick <= max_x])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: _PERCENTILE_TICKS.get(round(x, 3), ""))
    )


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("route", "load", "line", "requests", "mean", "p50", "p95", "p99", "longest")
    table_rows = []
    for route, open_load in _percentile_loads(run_metrics):
        assert open_load.curves  # noqa: S101 - `_percentile_loads` checked
        row_head = (route.route, load_label(open_load))
        table_rows.append(
            (*row_head, "measured", *_percentile_cells(open_load.curves.window_latency))
        )
        if open_load.replay_result and open_load.curves.replayed:
            replay = open_load.replay_result
            replay_cells = [
                format_seconds(time) if replay.has_support(name) else "-"
                for name, time in replay.replayed.items()
            ]
            table_rows.append((*row_head, "replayed", f"{replay.count:,}", *replay_cells))
        table_rows.append(
            (
                *row_head,
                f"closed loop, {format_count(open_load.curves.users, 'user')}",
                *_percentile_cells(open_load.curves.closed_loop_latency),
            )
        )
    return head, table_rows


def _percentile_cells(latency: LatencyStats | None) -> tuple[str, ...]:
    """Count, mean, quantiles and longest; `-` for what is not supported."""
    if not latency:
        return ("-",) * 6
    quantiles = [format_estimate(latency.quantiles[name]) for name in ("p50", "p95", "p99")]
    return (
        f"{latency.count:,}",
        format_estimate(latency.mean),
        *quantiles,
        format_estimate(latency.longest),
    )
