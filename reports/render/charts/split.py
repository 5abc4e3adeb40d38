"""Is it slow, or is it waiting? Each variant's mean latency, part by part and level by level.

Client and server stamp the moments between the parts. One scale for all panels, so that what grows
is seen to grow. The bracket spans what a timer in the app's outermost middleware measured in this
run; it is never assumed, because what suspends in front of the handler changes it.
"""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_count, format_seconds, format_share
from reports.metrics.breakdown import LatencyBreakdown
from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    tidy_axes,
    variant_style,
)
from results.schema import Variant

_MAX_PANELS = 3
_MIN_LABEL_WIDTH = 0.3  # of the axis: a segment that is wider carries its name inside
_MIN_LABELLED_WAIT = 0.05  # of the latency: a wait that is shorter is not worth a name
_SEGMENT_NAMES = (
    "generator lag",
    "before the app",
    "for a thread",
    "served",
    "in the handler",
    "to be sent",
)


@dataclass(frozen=True, slots=True)
class BreakdownBar:
    """One row of one panel: a level's mean latency and its parts, in seconds."""

    route: RouteMetrics
    level: CrowdMetrics
    breakdown: LatencyBreakdown
    lone_handler_time: float  # the handler's time with one user
    row: int

    @property
    def segments(self) -> tuple[float, ...]:
        """As `_SEGMENT_NAMES`; handler time is cut where the unloaded handler would have ended."""
        lag, before_app, for_thread, served, to_be_sent = self.breakdown.parts
        work = min(served, self.lone_handler_time)
        return (lag, before_app, for_thread, work, served - work, to_be_sent)

    @property
    def work_share(self) -> float:
        """Share of the latency that is work."""
        return self.segments[3] / self.breakdown.total if self.breakdown.total else 0.0


def breakdown_bars(run_metrics: RunMetrics) -> list[list[BreakdownBar]]:
    """Per panel its bars: one user; the crowd most variants share, else a middle one; the largest.

    Where a route has fewer levels, the middle is left out first, then the largest.
    """
    known_routes = [route for route in run_metrics.routes if _choose_levels(route, None)]
    crowd_sizes = [
        level.users for route in known_routes for level in _choose_levels(route, None)[1:-1]
    ]
    shared_size = max(sorted(set(crowd_sizes)), key=crowd_sizes.count, default=None)
    route_bars = [
        [_create_bar(route, level, row) for level in _choose_levels(route, shared_size)]
        for row, route in enumerate(known_routes)
    ]
    first, middle, last = (
        [group[:1] for group in route_bars],
        [group[1:-1] for group in route_bars],
        [group[-1:] for group in route_bars if len(group) > 1],
    )
    return [
        [bar for group in column for bar in group if bar]
        for column in (first, middle, last)
        if any(column)
    ]


def _create_bar(route: RouteMetrics, level: CrowdMetrics, row: int = 0) -> BreakdownBar | None:
    """A level's bar; None where no probe saw it."""
    if level.breakdown is None:
        return None
    return BreakdownBar(
        route,
        level,
        level.breakdown,
        level.breakdown.served if route.lone_handler_time is None else route.lone_handler_time,
        row,
    )


def _choose_levels(route: RouteMetrics, shared_size: int | None) -> list[CrowdMetrics]:
    """Up to three levels with a breakdown, ascending; the middle one of `shared_size` if any."""
    known_levels = [
        level
        for level in {level.users: level for level in route.levels}.values()
        if level.breakdown
    ]
    if shared_size is None or len(known_levels) <= _MAX_PANELS:
        return known_levels
    middle = [level for level in known_levels[1:-1] if level.users == shared_size]
    return [known_levels[0], *(middle or [known_levels[len(known_levels) // 2]]), known_levels[-1]]


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence."""
    tops = {
        bar.route.variant: bar.breakdown
        for column in breakdown_bars(run_metrics)[-1:]
        for bar in column
    }
    broken = tops.get(Variant.BROKEN_ASYNC)
    if broken and broken.before_app > broken.total / 2:
        return (
            f"Not slow but waiting: {format_share(broken.before_app / broken.total)} of a request's"
            " time on the blocking route, before the app sees it"
        )
    return "What a request's time is spent on: waiting, or being served"


def draw(run_metrics: RunMetrics) -> Figure | str:
    """A row per variant, a panel per level, one axis of time."""
    panel_bars = breakdown_bars(run_metrics)
    if not panel_bars:
        return (
            "No crowd was measured with the server's own moments: without the probe in the app,"
            " waiting and serving cannot be told apart."
        )
    known, total = (
        sum(getattr(bar.breakdown, name) for column in panel_bars for bar in column)
        for name in ("known", "count")
    )
    subtitle = method_subtitle(
        run_metrics, f"closed loop, means; all moments known for {known:,} of {total:,} requests"
    )
    figure = create_figure(11, 1.7 + 0.95 * len(panel_bars[0]), title(run_metrics), subtitle)
    panels = figure.subplots(1, len(panel_bars), sharex=True, sharey=True, squeeze=False)[0]
    axis_end = max(bar.breakdown.total for column in panel_bars for bar in column) * 1.04
    for axes, column in zip(panels, panel_bars, strict=True):
        users = [bar.level.users for bar in column]
        is_same_crowd = min(users) == max(users)
        for bar in column:
            _draw_stacked_bar(
                axes,
                bar,
                axis_end,
                "" if is_same_crowd else f"{format_count(bar.level.users, 'user')}, ",
            )
        heading = format_count(users[0], "user") if is_same_crowd else "the largest crowd"
        axes.set_title(heading, fontsize=11, color=INK, loc="left", fontweight="bold")
        axes.set(xlim=(0, axis_end), ylim=(len(panel_bars[0]) - 0.35, -0.62))
        tidy_axes(axes, grid="x")
    panels[0].set_yticks(
        range(len(panel_bars[0])),
        [variant_style(bar.route.variant).name for bar in panel_bars[0]],
        fontweight="bold",
    )
    figure.supxlabel(
        "seconds per request, on average: one scale for all panels", fontsize=9.5, color=INK
    )
    return figure


def _draw_stacked_bar(axes: Axes, bar: BreakdownBar, axis_end: float, users_label: str) -> None:
    """One bar, its longest wait named; above what its time went on, below the server's timer."""
    left, row = 0.0, bar.row
    colour = variant_style(bar.route.variant).colour
    paints = ((INK, 0.5), (INK, 0.16), (INK, 0.32), (colour, 1.0), (colour, 0.3), (INK, 0.5))
    longest = max(
        part for part in zip(bar.segments, _SEGMENT_NAMES, strict=True) if part[1] != "served"
    )
    for name, width, (paint, alpha) in zip(_SEGMENT_NAMES, bar.segments, paints, strict=True):
        axes.barh(row, width, left=left, height=0.3, color=paint, alpha=alpha, linewidth=0)
        if name == longest[1] and width > _MIN_LABEL_WIDTH * axis_end:
            axes.text(
                left + width / 2, row + 0.01, name, fontsize=8, color=INK, ha="center", va="center"
            )
        left += width
    if _MIN_LABELLED_WAIT * bar.breakdown.total < longest[0] <= _MIN_LABEL_WIDTH * axis_end:
        axes.text(
            left + 0.02 * axis_end,
            row + 0.01,
            f"waiting {longest[1]}",
            fontsize=8,
            color=INK,
            va="center",
        )
    bar_text = (
        f"{users_label}{format_seconds(bar.breakdown.total)}: {bar.work_share:.0%} served,"
        f" {1 - bar.work_share:.0%} waiting"
    )
    axes.text(0, row - 0.2, bar_text.replace("%", " %"), fontsize=8.5, color=INK, va="bottom")
    if bar.breakdown.timer is not None:
        _draw_timer_bracket(axes, row + 0.21, bar, axis_end)


def _draw_timer_bracket(axes: Axes, row: float, bar: BreakdownBar, axis_end: float) -> None:
    """From the mean moment a timer in the app starts to the one it stops, with what it says."""
    assert bar.breakdown.timer is not None  # noqa: S101 - the caller checked
    begin = bar.breakdown.lag + bar.breakdown.before_app
    stop = begin + bar.breakdown.timer
    axes.plot(
        [begin, begin, stop, stop], [row, row + 0.06, row + 0.06, row], color=INK, linewidth=1
    )
    is_far = stop > axis_end / 2
    anchor = (stop, "right") if is_far else (begin, "left")
    axes.text(
        anchor[0],
        row + 0.09,
        f"server's timer {format_seconds(bar.breakdown.timer)}",
        fontsize=7.5,
        color=INK,
        ha=anchor[1],
        va="top",
    )


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers, every level."""
    head = (
        "variant",
        "users",
        "moments known",
        "mean",
        *_SEGMENT_NAMES,
        "of it served",
        "the server's timer",
    )
    known_bars = [
        bar
        for route in run_metrics.routes
        for level in route.levels
        if (bar := _create_bar(route, level))
    ]
    return head, [
        (
            variant_style(bar.route.variant).name,
            str(bar.level.users),
            f"{bar.breakdown.known:,} of {bar.breakdown.count:,}",
            format_seconds(bar.breakdown.total),
            *map(format_seconds, bar.segments),
            format_share(bar.work_share),
            format_seconds(bar.breakdown.timer),
        )
        for bar in known_bars
    ]
