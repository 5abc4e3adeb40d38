"""Is it slow, or is it waiting? Each variant's mean latency, part by part and level by level.

Client and server record the timestamps between the parts. All panels have one scale, so growth
is visible. The bracket spans what a timer in the app's outermost middleware measured in this run:
it is never assumed, because what suspends in front of the handler changes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.metrics.breakdown import LatencyBreakdown
from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from results.formatting import format_count, format_seconds, format_share
from results.schema import Variant

_MIN_LABEL_WIDTH = 0.3  # of the axis: a segment that is wider carries its name inside
_MIN_LABELLED_WAIT = 0.05  # of the latency: a wait that is shorter is not worth a name
_SEGMENTS = {  # how solid each is; those inside the handler are in the variant's colour
    "generator lag": 0.5,
    "before the app": 0.16,
    "for a thread": 0.32,
    "served": 1.0,
    "in the handler": 0.3,
    "to be sent": 0.5,
}
_HANDLER_SEGMENTS = ("served", "in the handler")


@dataclass(frozen=True, slots=True)
class BreakdownBar:
    """One row of one panel: a level's mean latency and its parts, in seconds."""

    route: RouteMetrics
    level: CrowdMetrics
    breakdown: LatencyBreakdown
    row: int

    @property
    def segments(self) -> dict[str, float]:
        """The parts by name; handler time is cut where the unloaded handler would have ended."""
        lag, before_app, for_thread, served, to_be_sent = self.breakdown.parts
        unloaded = self.route.lone_handler_time
        work = served if unloaded is None else min(served, unloaded)
        parts = (lag, before_app, for_thread, work, served - work, to_be_sent)
        return dict(zip(_SEGMENTS, parts, strict=True))

    @property
    def work_share(self) -> float:
        """Share of the latency that is work."""
        return self.segments["served"] / self.breakdown.total if self.breakdown.total else 0.0


def breakdown_bars(run_metrics: RunMetrics) -> list[list[BreakdownBar]]:
    """Return the bars of each panel: one user, a crowd in the middle, the largest crowd.

    The middle is the crowd that most variants share, else one in the middle of a route's levels.
    Where a route has fewer levels, the middle is left out first, then the largest.
    """
    route_bars: list[list[BreakdownBar]] = []
    for route in run_metrics.routes:
        levels = {level.users: level for level in route.levels}.values()
        if bars := _create_bars(route, levels, len(route_bars)):
            route_bars.append(bars)
    crowd_sizes = sorted(bar.level.users for bars in route_bars for bar in bars[1:-1])
    shared_size = max(crowd_sizes, key=crowd_sizes.count, default=None)
    middle = [
        next((bar for bar in bars[1:-1] if bar.level.users == shared_size), bars[len(bars) // 2])
        for bars in route_bars
        if len(bars) > 2  # noqa: PLR2004 - else the middle is one of the ends
    ]
    last = [bars[-1] for bars in route_bars if len(bars) > 1]
    return [bars for bars in ([bars[0] for bars in route_bars], middle, last) if bars]


def _create_bars(
    route: RouteMetrics, levels: Iterable[CrowdMetrics], row: int = 0
) -> list[BreakdownBar]:
    """Create a bar per level; none where no probe saw it."""
    return [BreakdownBar(route, level, level.breakdown, row) for level in levels if level.breakdown]


def _build_title(run_metrics: RunMetrics) -> str:
    for bar in (breakdown_bars(run_metrics) or [[]])[-1]:
        before_app, total = bar.breakdown.before_app, bar.breakdown.total
        if bar.route.variant == Variant.BROKEN_ASYNC and before_app > total / 2:
            return (
                f"Not slow but waiting: {format_share(before_app / total)} of the blocking route's"
                " time passes before the app"
            )
    return "Where the time of a request goes: waiting or being served"


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw a row per variant, a panel per level, one axis of time."""
    panel_bars = breakdown_bars(run_metrics)
    if not panel_bars:
        return (
            "No crowd has the server's own timestamps: without the probe in the app, waiting and"
            " serving cannot be separated."
        )
    breakdowns = [bar.breakdown for bars in panel_bars for bar in bars]
    known, total = sum(item.known for item in breakdowns), sum(item.count for item in breakdowns)
    method = f"closed loop, means; all timestamps known for {known:,} of {total:,} requests"
    rows = [style.variant_style(bar.route.variant).name for bar in panel_bars[0]]
    size = 11, 1.7 + 0.95 * len(rows)
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, size)
    axis_end = max(item.total for item in breakdowns) * 1.04
    for axes, bars in style.create_panels(figure, panel_bars, "xy"):
        users = [format_count(bar.level.users, "user") for bar in bars]
        is_same_crowd = len(set(users)) == 1
        for bar, users_text in zip(bars, users, strict=True):
            _draw_stacked_bar(axes, bar, axis_end, "" if is_same_crowd else f"{users_text}, ")
        axes.set(xlim=(0, axis_end), ylim=(len(rows) - 0.35, -0.62))
        style.tidy_axes(axes, users[0] if is_same_crowd else "the largest crowd", grid="x")
    figure.axes[0].set_yticks(range(len(rows)), rows, fontweight="bold")
    figure.supxlabel("mean seconds per request; all panels have the same scale")
    return figure


def _draw_stacked_bar(axes: Axes, bar: BreakdownBar, axis_end: float, users_text: str) -> None:
    """Draw a bar, its longest wait named; above it the shares, below it the server's timer."""
    left, row, handler_colour = 0.0, bar.row, style.variant_style(bar.route.variant).colour
    longest, longest_name = max((x, name) for name, x in bar.segments.items() if name != "served")
    is_wide = longest > _MIN_LABEL_WIDTH * axis_end
    for name, width in bar.segments.items():
        colour = handler_colour if name in _HANDLER_SEGMENTS else style.INK
        paint: dict[str, Any] = {"color": colour, "alpha": _SEGMENTS[name], "linewidth": 0}
        axes.barh(row, width, left=left, height=0.3, **paint)
        if name == longest_name and is_wide:
            axes.text(left + width / 2, row + 0.01, name, fontsize=8, ha="center", va="center")
        left += width
    if longest > _MIN_LABELLED_WAIT * bar.breakdown.total and not is_wide:
        x = left + 0.02 * axis_end
        axes.text(x, row + 0.01, f"waiting {longest_name}", fontsize=8, va="center")
    text = (
        f"{users_text}{format_seconds(bar.breakdown.total)}: {bar.work_share:.0%} served,"
        f" {1 - bar.work_share:.0%} waiting"
    )
    axes.text(0, row - 0.2, text.replace("%", " %"), va="bottom")
    if bar.breakdown.timer is not None:
        _draw_timer_bracket(axes, bar, bar.breakdown.timer, axis_end)


def _draw_timer_bracket(axes: Axes, bar: BreakdownBar, timer: float, axis_end: float) -> None:
    """Draw from the mean moment a timer in the app starts to the one it stops, and its value."""
    start, y = bar.breakdown.lag + bar.breakdown.before_app, bar.row + 0.21
    stop = start + timer
    axes.plot([start, start, stop, stop], [y, y + 0.06, y + 0.06, y], color=style.INK, linewidth=1)
    x, side = (stop, "right") if stop > axis_end / 2 else (start, "left")
    text = f"server's timer {format_seconds(timer)}"
    axes.text(x, y + 0.09, text, fontsize=7.5, ha=side, va="top")


def _format_segment(name: str, bar: BreakdownBar) -> str:
    return format_seconds(bar.segments[name])


CHART: Chart[BreakdownBar] = Chart(
    stem="split",
    caption=(
        "Is the route slow, or do its requests wait? Grey: waiting before the app, or (darker) for"
        " a thread. Colour: as long in the handler as an unloaded request; pale: longer, which with"
        " `asyncio.to_thread` is the wait for a thread of the executor. Bracket: what a timer in"
        " the app's outermost middleware measured."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "variant": lambda bar: style.variant_style(bar.route.variant).name,
        "users": lambda bar: str(bar.level.users),
        "timestamps known": lambda bar: f"{bar.breakdown.known:,} of {bar.breakdown.count:,}",
        "mean": lambda bar: format_seconds(bar.breakdown.total),
        **{name: partial(_format_segment, name) for name in _SEGMENTS},
        "share served": lambda bar: format_share(bar.work_share),
        "server's timer": lambda bar: format_seconds(bar.breakdown.timer),
    },
    rows=lambda run_metrics: [
        (bar,) for route in run_metrics.routes for bar in _create_bars(route, route.levels)
    ],
)
