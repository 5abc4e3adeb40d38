"""One burst per variant, request by request: waiting, being served, waiting to leave.

Bars come from the moments that the probe stamped around the handler, never from client times:
behind middleware that suspends, all answers leave together and would hide the stairs.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from reports.formatting import format_count, format_seconds
from reports.metrics.burst import BurstMetrics
from reports.metrics.model import RouteMetrics, RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    tidy_axes,
    variant_style,
)
from reports.verdicts.load_sentences import describe_burst
from results.schema import Variant

_ROUNDING_ERROR = 1e-6  # seconds that writing two moments down may make them overlap
_TimeBar = tuple[float, float, float]  # from, to (seconds since the cell run began), row


def _burst_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """The routes whose burst was measured with handler moments."""
    return [
        route
        for route in run_metrics.routes
        if route.first_burst and route.first_burst.has_handler_times
    ]


def _burst_duration(burst: BurstMetrics) -> float:
    """Seconds from the start of the cell run to the last answer."""
    return max(
        timestamp for timestamp in [*burst.done, *burst.handler_end] if math.isfinite(timestamp)
    )


def _max_open_handlers(burst: BurstMetrics) -> int:
    """The largest number of handlers that ran at the same moment."""
    edges = sorted(
        [(t, 1) for t in burst.handler_start]
        + [(t - _ROUNDING_ERROR, -1) for t in burst.handler_end]
    )
    running = max_running = 0
    for _, step in edges:
        running += step
        max_running = max(max_running, running)
    return max_running


def _count_rounds(route: RouteMetrics, burst: BurstMetrics) -> int:
    """How many service times the whole burst took."""
    return max(1, round(_burst_duration(burst) / route.unloaded_mean)) if route.unloaded_mean else 1


def _is_answered_together(route: RouteMetrics, burst: BurstMetrics) -> bool:
    """Whether requests served in turn were answered together, as middleware or a server may do."""
    return _count_rounds(route, burst) > 1 and burst.count_answer_steps(route.unloaded_mean) == 1


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence."""
    broken = run_metrics.find_route(Variant.BROKEN_ASYNC)
    if (
        broken
        and broken in _burst_routes(run_metrics)
        and broken.first_burst
        and _max_open_handlers(broken.first_burst) == 1
    ):
        ending = (
            ", and answers them all at one moment"
            if _is_answered_together(broken, broken.first_burst)
            else ""
        )
        return f"Blocking inside async def serves requests one after another{ending}"
    return "What each request of a burst waited for"


def draw(run_metrics: RunMetrics) -> Figure | str:
    """Small multiples with one shared time axis."""
    routes = _burst_routes(run_metrics)
    if not routes:
        return (
            "No burst was measured with the handlers' own moments: without the probe the stairs"
            " cannot be drawn."
        )
    subtitle = method_subtitle(
        run_metrics,
        "grey: waiting to be begun · colour: inside the handler · all sent at the same instant",
    )
    figure = create_figure(11, 4.3, title(run_metrics), subtitle)
    panels = figure.subplots(1, len(routes), sharex=True, squeeze=False)[0]
    axis_end = (
        max(_burst_duration(route.first_burst) for route in routes if route.first_burst) * 1.04
    )
    for axes, route in zip(panels, routes, strict=True):
        assert route.first_burst  # noqa: S101 - `_burst_routes` checked
        _draw_burst_panel(axes, route, route.first_burst)
        axes.set_xlim(0, axis_end)
    figure.supxlabel("seconds since the burst", fontsize=9.5, color=INK)
    return figure


def _draw_burst_panel(axes: Axes, route: RouteMetrics, burst: BurstMetrics) -> None:
    """One variant's burst, the first served on top."""
    style, row_numbers = variant_style(route.variant), range(burst.size)
    _draw_time_bars(
        axes, [(burst.sent[i], burst.handler_start[i], i) for i in row_numbers], INK, 0.16
    )
    _draw_time_bars(
        axes,
        [(burst.handler_start[i], burst.handler_end[i], i) for i in row_numbers],
        style.colour,
        1.0,
    )
    _draw_time_bars(
        axes,
        [
            (burst.handler_end[i], burst.done[i], i)
            for i in row_numbers
            if math.isfinite(burst.done[i])
        ],
        INK,
        0.55,
        height=0.22,
    )
    axes.set_ylim(burst.size, -0.4)
    axes.set_yticks([0.4, burst.size - 0.6], ["1", str(burst.size)])
    tidy_axes(axes, grid="x")
    axes.set_title(style.name, fontsize=11, color=INK, loc="left", fontweight="bold")
    rounds_text = format_count(_count_rounds(route, burst), "round")
    label = f"{burst.size} requests took {format_seconds(_burst_duration(burst))}:\n" + (
        "one after another" if _max_open_handlers(burst) == 1 else rounds_text
    )
    if _is_answered_together(route, burst):
        label += ",\nanswered all at one moment"
    if route.variant == Variant.TO_THREAD:
        label += ",\nwaiting for a thread\ninside the handler"
    # Lines start alike: a viewer with another font than matplotlib's would end them raggedly.
    text_style: dict[str, Any] = {
        "ha": "right",
        "va": "top",
        "multialignment": "left",
        "transform": axes.transAxes,
    }
    axes.text(0.97, 0.95, label, fontsize=9, color=INK, **text_style)


def _draw_time_bars(
    axes: Axes, bars: list[_TimeBar], colour: str, alpha: float, height: float = 0.8
) -> None:
    """Many bars as one path, so that the picture stays small."""
    corners: list[tuple[float, float]] = []
    codes: list[Any] = []
    for left, right, row in bars:
        top, bottom = row + 0.4 - height / 2, row + 0.4 + height / 2
        corners += [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(corners, codes), facecolor=colour, edgecolor="none", alpha=alpha))


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = (
        "variant",
        "requests",
        "rounds",
        "handlers open at a time, at most",
        "answered",
        "last answer after",
    )
    return (*head, "first handler began after", "last handler began after"), [
        (
            variant_style(route.variant).name,
            str(route.first_burst.size),
            str(_count_rounds(route, route.first_burst)),
            str(_max_open_handlers(route.first_burst)),
            describe_burst(route.first_burst, route.unloaded_mean),
            format_seconds(_burst_duration(route.first_burst)),
            format_seconds(min(route.first_burst.handler_start)),
            format_seconds(max(route.first_burst.handler_start)),
        )
        for route in _burst_routes(run_metrics)
        if route.first_burst
    ]
