"""The whole tail of one load per route: measured, replayed in order, and as in a closed loop.

Each line ends where ten requests lie beyond. What was never answered leaves a line open upwards.
"""

import math
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_estimate
from reports.metrics.model import OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from reports.stats.model import Curve, PercentileCurves, ReplayFit
from reports.stats.quantiles import MIN_BEYOND, QUANTILES, LatencyStats
from reports.verdicts.load_sentences import MIN_OMISSION_RATIO, find_omission, load_label
from results.formatting import format_count, format_number, format_ratio, format_seconds

_MAX_PANELS, _MAX_PANELS_PER_ROW = 4, 2
_PERCENTILE_TICKS: dict[float, str] = {
    1: "0 %",
    2: "p50",
    10: "p90",
    100: "p99",
    1000: "p99.9",
    10_000: "p99.99",
}
_UNSURE_ALPHA = 0.45  # where fewer than ten independent requests lie beyond
_MIN_LINE_REACH = 2.0  # how far a line has to reach: 1 / (1 - q)
_TWO_DECIMALS_FROM = 99.9  # per cent, from which a percentile needs two decimals
_TITLE_WIDTH = 60  # characters of a panel's title
_GAP_COLOUR = "#E69F00"  # for areas only: too pale for a line


class _Tail(NamedTuple):
    """A load with the whole tail of its latencies."""

    route: RouteMetrics
    load: OpenLoadMetrics
    curves: PercentileCurves

    @property
    def lines(self) -> list[Curve]:
        """The lines that have points: measured, replayed, closed loop."""
        curves = self.curves
        return [line for line in (curves.measured, curves.replayed, curves.closed_loop) if line]

    @property
    def is_open(self) -> bool:
        """Whether some requests were never answered."""
        return self.curves.upper_bound != self.curves.measured


def _find_tails(run_metrics: RunMetrics) -> list[_Tail]:
    """Return each route's fullest load that was not overloaded; of many, the longest tails."""
    tails = []
    for route in run_metrics.routes:
        candidates = [
            _Tail(route, load, load.curves)
            for load in route.open_loads
            if load.curves and load.curves.measured
            if load.curves.measured[-1][0] >= _MIN_LINE_REACH
        ]
        if candidates:
            tails.append(max(candidates, key=lambda tail: tail.load.sent_rate))
    return sorted(tails, key=lambda tail: -tail.curves.measured[-1][1])[:_MAX_PANELS]


def _build_title(run_metrics: RunMetrics) -> str:
    """Name what a closed loop hides, or overtaking, the larger factor."""
    findings: list[tuple[float, str]] = []
    for route, load, _ in _find_tails(run_metrics):
        omission, replay = find_omission(load), load.replay_result
        if omission and omission.ratio >= MIN_OMISSION_RATIO:
            sentence = (
                f"{route.route}: users waited {format_seconds(omission.measured)}"
                f" ({omission.name}),"
                f" a closed-loop client reports {format_seconds(omission.closed_loop)}"
            )
            findings.append((omission.ratio, sentence))
        if replay and replay.is_unfair and (tail_ratio := replay.unfairness("p99")):
            sentence = (
                f"{route.route} serves out of order: its p99 is about {format_number(tail_ratio)}"
                " times that of first come, first served"
            )
            findings.append((tail_ratio, sentence))
        elif replay and replay.model is ReplayFit.HOLDS and load.latency:
            mean = format_estimate(load.latency.mean)
            findings.append(
                (0.0, f"{route.route}: its own arrivals explain the waiting, mean {mean}")
            )
    default = 0.0, "How long the tail is, and how much of it the arrivals explain"
    return max(findings, default=default)[1]


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw one panel per route, the same log axes."""
    tails = _find_tails(run_metrics)
    if not tails:
        return "No route got enough requests for a percentile, at a rate that it could sustain."
    method = (
        "open model, latency from the planned time · replayed: the same requests through ideal"
        " places, in order · closed loop: only what its users would have sent, with the latencies"
        " of the full load, so too long rather than too short"
    )
    height = 1.2 + 3.6 * math.ceil(len(tails) / _MAX_PANELS_PER_ROW)
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, (11, height))
    # The first is the quickest of all, perhaps a bound
    points = [point for tail in tails for line in tail.lines for point in line[1:]]
    low, high = min(y for _, y in points) * 0.8, max(y for _, y in points) * 1.6
    max_x, reach = max(x for x, _ in points), 1.35 if len(tails) == 1 else 1.75
    for axes, tail in style.create_panels(figure, tails, "xy", _MAX_PANELS_PER_ROW):
        axes.set(xscale="log", yscale="log", xlim=(1, max_x**reach), ylim=(low, high))
        _draw_tail(axes, tail)
        ticks = [tick for tick in _PERCENTILE_TICKS if tick <= max_x]
        style.set_ticks(axes.xaxis, ticks, lambda x: _PERCENTILE_TICKS.get(round(x, 3), ""))
        style.set_time_ticks(axes.yaxis, low, high)
    figure.supxlabel("percentile: share of the requests that were answered sooner")
    figure.supylabel("latency")
    return figure


def _draw_tail(axes: Axes, tail: _Tail) -> None:
    """Draw one load: its three lines, named at their ends, and the gaps between them."""
    variant, load = style.variant_style(tail.route.variant), tail.load
    _draw_curves(axes, tail, variant.colour)
    _draw_gap(axes, tail)
    _label_curves(axes, tail)
    samples_text = f", n = {load.latency.count:,}" if load.latency else ""
    heading = textwrap.fill(f"{variant.name} at {load_label(load)}{samples_text}", _TITLE_WIDTH)
    style.tidy_axes(axes)
    axes.set_title(heading, fontsize=10.5)


def _draw_curves(axes: Axes, tail: _Tail, colour: str) -> None:
    """Draw the load as measured, replayed, and in a closed loop; fainter where samples are few."""
    curves, latency = tail.curves, tail.load.latency
    thin: dict[str, Any] = {"color": style.INK, "linewidth": 1.1}
    axes.plot(*_split_points(curves.closed_loop), **thin, linestyle=(0, (1, 1.6)))
    limit = ((latency and latency.effective_count) or math.inf) / MIN_BEYOND
    certain_count = sum(x <= limit for x, _ in curves.measured)
    axes.plot(*_split_points(curves.measured[:certain_count]), color=colour, linewidth=2.6)
    unsure_points = curves.measured[max(0, certain_count - 1) :]
    axes.plot(*_split_points(unsure_points), color=colour, linewidth=2.6, alpha=_UNSURE_ALPHA)
    axes.plot(*_split_points(curves.replayed), **thin, linestyle=(0, (5, 2)))
    if tail.is_open:
        x, upper_bounds = _split_points(curves.upper_bound)
        heights = _read_heights(curves.measured, x)
        axes.fill_between(x, upper_bounds, heights, color=colour, alpha=0.25, linewidth=0)
        style.mark_lower_bound(axes, *curves.measured[-1], colour)


def _label_curves(axes: Axes, tail: _Tail) -> None:
    """Name each line at its end, spread so that no label covers another."""
    curves, replay = tail.curves, tail.load.replay_result
    labels = [f"measured {'>= ' if tail.is_open else ''}{_describe_end(curves.measured)}"]
    if replay and replay.is_unfair:
        ratio = format_ratio(replay.unfairness("p99") or 1.0)
        labels[0] += f"\novertaken: p99 {ratio} the replay's"
    if curves.replayed and replay:
        places = format_count(replay.places, "place")
        labels.append(f"replayed, {places}: {_describe_end(curves.replayed)}")
    if curves.closed_loop:
        users, text = format_count(curves.users, "user"), _describe_end(curves.closed_loop)
        labels.append(f"reported by a closed-loop\nclient ({users}): {text}")
    ends = [line[-1] for line in tail.lines]
    x = curves.measured[-1][0] * 1.04
    low, high = axes.get_ylim()
    named_ends = [(label, y) for label, (_, y) in zip(labels, ends, strict=True)]
    heights = style.label_line_ends(axes, x, named_ends, 0.1 * math.log10(high / low), shift=4)
    for end, height in zip(ends, heights, strict=True):
        axes.plot([end[0], x], [end[1], height], color=style.INK, linewidth=0.6, alpha=0.4)


def _draw_gap(axes: Axes, tail: _Tail) -> None:
    """Name what closed-loop timing hides, in its shade; else shade what unfair order adds."""
    curves, omission, replay = tail.curves, find_omission(tail.load), tail.load.replay_result
    shade: dict[str, Any] = {"color": _GAP_COLOUR, "alpha": 0.28, "linewidth": 0}
    if omission and omission.ratio >= MIN_OMISSION_RATIO and curves.closed_loop:
        x, lower = _split_points(curves.closed_loop)
        upper = _read_heights(curves.measured, x)
        axes.fill_between(x, lower, upper, **shade)
        text = (
            f"what a closed-loop client misses:\nits {omission.name} is at least"
            f" {format_ratio(omission.ratio)[1:]} times too low"
        )
        middle = (x[-1], math.sqrt(lower[-1] * upper[-1]))
        style.label_point(axes, text, middle, (-8, 0), ha="right", va="center")
    elif replay and replay.is_unfair and curves.replayed:
        x, lower = _split_points(curves.replayed)
        upper = [max(pair) for pair in zip(lower, _read_heights(curves.measured, x), strict=True)]
        axes.fill_between(x, lower, upper, **shade)


def _describe_end(curve: Curve) -> str:
    """Return how far a line goes: `865 ms (p99.3)`."""
    x, y = curve[-1]
    percent = 100 * (1 - 1 / x)
    return f"{format_seconds(y)} (p{percent:.{4 if percent > _TWO_DECIMALS_FROM else 3}g})"


def _read_heights(curve: Curve, places: list[float]) -> list[float]:
    """Return the heights of a line at these places."""
    return [next((y for x, y in curve if x >= place), curve[-1][1]) for place in places]


def _split_points(curve: Curve) -> tuple[list[float], list[float]]:
    """Return a line's places and heights."""
    return [x for x, _ in curve], [y for _, y in curve]


def _build_rows(run_metrics: RunMetrics) -> Iterator[tuple[_Tail, str, tuple[str, ...]]]:
    """Yield one row per line of a panel: the load, the line, and its numbers."""
    for tail in _find_tails(run_metrics):
        curves, replay = tail.curves, tail.load.replay_result
        yield tail, "measured", _format_latency(curves.window_latency)
        if replay and curves.replayed:
            times = [
                format_seconds(time) if replay.has_support(name) else "-"
                for name, time in replay.replayed.items()
            ]
            yield tail, "replayed", (f"{replay.count:,}", *times)
        name = f"closed loop, {format_count(curves.users, 'user')}"
        yield tail, name, _format_latency(curves.closed_loop_latency)


def _format_latency(latency: LatencyStats | None) -> tuple[str, ...]:
    """Return count, mean, quantiles and longest; `-` for what is not supported."""
    if not latency:
        return ("-",) * len(_LATENCY_HEAD)
    quantiles = [latency.quantiles[name] for name in QUANTILES]
    estimates = [latency.mean, *quantiles, latency.longest]
    return (f"{latency.count:,}", *map(format_estimate, estimates))


def _pick_cell(index: int, _tail: _Tail, _name: str, cells: tuple[str, ...]) -> str:
    return cells[index]


_LATENCY_HEAD = ("requests", "mean", *QUANTILES, "longest")
CHART: Chart[_Tail, str, tuple[str, ...]] = Chart(
    stem="percentile",
    caption=(
        "How long is the tail, and what does closed-loop timing hide? Replayed: the run's own"
        " requests through ideal places that serve in order. Where the measured line is higher,"
        " requests were overtaken, or the server stood still. Closed loop: only the requests that"
        " its users would have sent, because a user who waits sends nothing. Their latencies are"
        " those of the full load, so a real closed-loop client reports even less. A line ends"
        " where ten requests lie beyond it. It is pale where fewer than ten independent requests"
        " do: another run may differ there."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "route": lambda tail, *_: tail.route.route,
        "load": lambda tail, *_: load_label(tail.load),
        "line": lambda _, name, __: name,
        **{name: partial(_pick_cell, i) for i, name in enumerate(_LATENCY_HEAD)},
    },
    rows=_build_rows,
)
