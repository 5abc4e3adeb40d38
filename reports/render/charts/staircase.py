"""One burst per variant, request by request: waiting, being served, waiting to leave.

Bars come from the timestamps that the probe takes around the handler, never from client times:
behind middleware that suspends, all answers leave together and would hide the steps.
"""

import math
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from reports.metrics.burst import BurstMetrics
from reports.metrics.model import RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from reports.verdicts.load_sentences import describe_burst
from results.formatting import format_count, format_seconds
from results.schema import Variant

_ROUNDING_ERROR = 1e-6  # seconds that writing two moments down may make them overlap


def _find_bursts(run_metrics: RunMetrics) -> list[tuple[RouteMetrics, BurstMetrics]]:
    return [
        (route, route.first_burst)
        for route in run_metrics.routes
        if route.first_burst and route.first_burst.has_handler_times
    ]


def _burst_duration(burst: BurstMetrics) -> float:
    """Return the seconds from the start of the burst to the last answer."""
    return max(filter(math.isfinite, [*burst.done, *burst.handler_end]))


def _max_open_handlers(burst: BurstMetrics) -> int:
    """Return the largest number of handlers that ran at the same moment."""
    starts = [(t, 1) for t in burst.handler_start]
    ends = [(t - _ROUNDING_ERROR, -1) for t in burst.handler_end]
    return max(accumulate(step for _, step in sorted(starts + ends)))


def _count_rounds(route: RouteMetrics, burst: BurstMetrics) -> int:
    """Return how many service times the whole burst took."""
    return max(1, round(_burst_duration(burst) / route.unloaded_mean)) if route.unloaded_mean else 1


def _is_answered_together(route: RouteMetrics, burst: BurstMetrics) -> bool:
    """Whether requests served in turn were answered together, as middleware or a server may do."""
    return _count_rounds(route, burst) > 1 and burst.count_answer_steps(route.unloaded_mean) == 1


def _build_title(run_metrics: RunMetrics) -> str:
    for route, burst in _find_bursts(run_metrics):
        if route.variant == Variant.BROKEN_ASYNC and _max_open_handlers(burst) == 1:
            together = _is_answered_together(route, burst)
            return "Blocking inside async def serves requests one after another" + (
                ", and answers them all at one moment" if together else ""
            )
    return "What each request of a burst waited for"


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw a panel per variant, with one shared time axis."""
    bursts = _find_bursts(run_metrics)
    if not bursts:
        return (
            "No burst has the handlers' own timestamps: without the probe in the app there are no"
            " bars to draw."
        )
    method = "grey: waiting to start · colour: inside the handler · all sent together"
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, (11, 4.3))
    axis_end = max(_burst_duration(burst) for _, burst in bursts) * 1.04
    for axes, (route, burst) in style.create_panels(figure, bursts, "x"):
        _draw_burst(axes, route, burst)
        axes.set_xlim(0, axis_end)
    figure.supxlabel("seconds since the burst")
    return figure


def _draw_burst(axes: Axes, route: RouteMetrics, burst: BurstMetrics) -> None:
    """Draw one variant's burst, the first request served on top."""
    variant = style.variant_style(route.variant)
    _draw_time_bars(axes, burst.sent, burst.handler_start, facecolor=style.INK, alpha=0.16)
    _draw_time_bars(
        axes, burst.handler_start, burst.handler_end, facecolor=variant.colour, alpha=1.0
    )
    _draw_time_bars(axes, burst.handler_end, burst.done, 0.22, facecolor=style.INK, alpha=0.55)
    axes.set_ylim(burst.size, -0.4)
    axes.set_yticks([0.4, burst.size - 0.6], ["1", str(burst.size)])
    style.tidy_axes(axes, variant.name, grid="x")
    rounds = (
        "one after another"
        if _max_open_handlers(burst) == 1
        else format_count(_count_rounds(route, burst), "round")
    )
    label = f"{burst.size} requests took {format_seconds(_burst_duration(burst))}:\n{rounds}"
    if _is_answered_together(route, burst):
        label += ",\nanswered all at one moment"
    if route.variant == Variant.TO_THREAD:
        label += ",\nwaiting for a thread\ninside the handler"
    # Lines start alike: a viewer with another font than matplotlib's would end them raggedly.
    place: dict[str, Any] = {"ha": "right", "va": "top", "multialignment": "left"}
    axes.text(0.97, 0.95, label, fontsize=9, transform=axes.transAxes, **place)


def _draw_time_bars(
    axes: Axes, starts: list[float], ends: list[float], height: float = 0.8, **paint: Any
) -> None:
    """Draw a bar per row as one path, so that the picture stays small; no bar without an end."""
    corners: list[tuple[float, float]] = []
    codes: list[Any] = []
    for row, (left, right) in enumerate(zip(starts, ends, strict=True)):
        if math.isfinite(right):
            top, bottom = row + 0.4 - height / 2, row + 0.4 + height / 2
            corners += [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
            codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(corners, codes), edgecolor="none", **paint))


CHART: Chart[RouteMetrics, BurstMetrics] = Chart(
    stem="staircase",
    caption=(
        "Are requests served one after another? Grey: waiting, from the moment the request was sent"
        " until its handler started. Colour: inside the handler, as the probe in the app recorded"
        " it. Thin: waiting for the answer to be sent. With `asyncio.to_thread` the handler starts"
        " at once and waits for its thread inside."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "variant": lambda route, _: style.variant_style(route.variant).name,
        "requests": lambda _, burst: str(burst.size),
        "rounds": lambda route, burst: str(_count_rounds(route, burst)),
        "most handlers open at once": lambda _, burst: str(_max_open_handlers(burst)),
        "answered": lambda route, burst: describe_burst(burst, route.unloaded_mean),
        "last answer after": lambda _, burst: format_seconds(_burst_duration(burst)),
        "first handler started after": lambda _, burst: format_seconds(min(burst.handler_start)),
        "last handler started after": lambda _, burst: format_seconds(max(burst.handler_start)),
    },
    rows=_find_bursts,
)
