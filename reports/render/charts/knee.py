"""The knee: latency against the offered rate, up to and past the capacity; theory drawn thin.

Overloaded loads are open arrows: their latency grows with the length of the test, so there is no
height to draw.
"""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from reports.formatting import format_estimate, format_number, format_seconds, format_share
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
from reports.stats.queueing import mdc_queue
from reports.verdicts.load_sentences import UNQUEUED_RATIO
from results.schema import ArrivalDistribution

_MAX_PANELS_PER_ROW = 3  # panels beside each other
_THEORY_UTILIZATIONS = tuple(i / 50 for i in range(2, 50))  # utilization, where theory is drawn
_MAX_THEORY_CONCURRENCY = 200  # beyond, theory is a flat line up to the edge


def _knee_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """The routes that were asked at two rates or more."""
    return [
        route
        for route in run_metrics.routes
        if len({load.nominal_rate for load in route.open_loads if load.latency}) > 1
    ]


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence: the fullest load that a route could bear."""
    for route in _knee_routes(run_metrics):
        steady_loads = [load for load in route.open_loads if not load.overloaded and load.latency]
        fullest_load = max(steady_loads, key=lambda load: load.sent_rate, default=None)
        unloaded = route.unloaded_mean or min(
            (load.unloaded_latency for load in steady_loads if load.unloaded_latency), default=None
        )
        if fullest_load and fullest_load.latency and unloaded:
            load_text = (
                f"{format_share(fullest_load.sent_rate / route.capacity)} of its capacity"
                if route.capacity
                else f"{format_number(fullest_load.sent_rate)} req/s"
            )
            ratio = fullest_load.latency.mean.low / unloaded
            if ratio <= UNQUEUED_RATIO:
                return f"At {load_text} {route.route} is as fast as unloaded"
            return (
                f"At {load_text} {route.route} takes {format_number(ratio)} times as long as"
                " unloaded"
            )
    return "What a request waits as the rate rises"


def draw(run_metrics: RunMetrics) -> Figure | str:
    """One panel per route, the same log axis of time."""
    routes = _knee_routes(run_metrics)
    if not routes:
        return "No route was asked at two rates or more, so there is no knee to look for."
    column_count = min(_MAX_PANELS_PER_ROW, len(routes))
    row_count = math.ceil(len(routes) / column_count)
    subtitle = method_subtitle(run_metrics, "open model, latency from the planned moment")
    figure = create_figure(11, 1.0 + 3.4 * row_count, title(run_metrics), subtitle)
    panels = figure.subplots(row_count, column_count, sharey=True, squeeze=False).flatten()
    latencies = [entry.latency for route in routes for entry in route.open_loads if entry.latency]
    low, high = (
        min(entry.mean.low for entry in latencies) * 0.6,
        max(entry.longest.low for entry in latencies) * 1.8,
    )
    for axes, route in zip(panels, routes, strict=False):
        axes.set(yscale="log", ylim=(low, high))
        _draw_knee_panel(axes, route)
        _format_rate_axis(axes, route.capacity, tick_intervals=5 if column_count == 1 else 2)
        set_time_ticks(axes.yaxis, low, high)
    for axes in panels[len(routes) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("latency", fontsize=9.5, color=INK)
    return figure


def _draw_knee_panel(axes: Axes, route: RouteMetrics) -> None:
    """One route: theory, the quantiles that its samples support, and what overloaded it."""
    style, loads = (
        variant_style(route.variant),
        sorted(route.open_loads, key=lambda entry: entry.sent_rate),
    )
    axes.set_xlim(0, max(entry.sent_rate for entry in loads) * 1.25)
    _draw_knee_theory(axes, route)
    ends: list[tuple[str, float, float]] = []
    steady_loads = [entry for entry in loads if not entry.overloaded and entry.latency]
    for name, width, filled in (("p50", 2.2, True), ("p95", 1.4, True), ("p99", 0.9, False)):
        points = [
            (load.sent_rate, entry.low)
            for load in steady_loads
            if load.latency and (entry := load.latency.quantiles[name])
        ]
        if points:
            fill = style.colour if filled else "none"
            axes.plot(
                *zip(*points, strict=True),
                style.marker,
                color=style.colour,
                markersize=6,
                markerfacecolor=fill,
                linestyle=style.dash,
                linewidth=width,
            )
            ends.append((f"{name} {format_seconds(points[-1][1])}", *points[-1]))
    for load in loads:
        if load.overloaded and load.latency:
            axes.plot(
                [load.sent_rate],
                [load.latency.mean.low],
                marker="^",
                markersize=10,
                markerfacecolor="none",
                color=style.colour,
            )
            axes.annotate(
                "overloaded",
                (load.sent_rate, load.latency.mean.low),
                (0, -15),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=INK,
            )
    heights = spread_labels([math.log10(end[2]) for end in ends], 0.11)
    edge = max([route.capacity or 0.0, *(end[1] for end in ends)])  # to the right of all lines
    for (label, _, _), height in zip(ends, heights, strict=True):
        axes.annotate(
            label,
            (edge, 10**height),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    tidy_axes(axes)
    axes.set_title(style.name, fontsize=11, color=INK, loc="left", fontweight="bold")


def _draw_knee_theory(axes: Axes, route: RouteMetrics) -> None:
    """M/D/c from the run's own capacity, for Poisson arrivals below it."""
    concurrency = route.open_loads[0].concurrency
    if (
        not route.capacity
        or not concurrency
        or concurrency > _MAX_THEORY_CONCURRENCY
        or any(item.law != ArrivalDistribution.POISSON for item in route.open_loads)
    ):
        return
    queues = [
        mdc_queue(step * route.capacity, concurrency / route.capacity, concurrency)
        for step in _THEORY_UTILIZATIONS
    ]
    for heights in ([item.mean() for item in queues], [item.quantile(0.95) for item in queues]):
        axes.plot(
            [item.lam for item in queues],
            heights,
            color=INK,
            alpha=0.5,
            linewidth=0.9,
            linestyle=(0, (2, 2)),
        )
    theory_text = f"thin: M/D/{concurrency} in theory, mean and p95"
    axes.text(
        0.03,
        0.97,
        theory_text,
        transform=axes.transAxes,
        fontsize=8,
        color=INK,
        alpha=0.8,
        va="top",
    )


def _format_rate_axis(axes: Axes, capacity: float | None, tick_intervals: int) -> None:
    """The axis of rates, in requests per second.

    With a known capacity also in per cent of it, in `tick_intervals` up to it.
    """
    axes.set_xlabel("offered, req/s", fontsize=9.5, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if not capacity:
        return
    axes.axvline(capacity, color=INK, alpha=0.45, linewidth=1)
    top_share = axes.get_xlim()[1] / capacity
    axes.xaxis.set_major_locator(
        FixedLocator(
            [
                step / tick_intervals * capacity
                for step in range(int(tick_intervals * top_share) + 1)
            ]
        )
    )
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda rate, _: f"{100 * rate / capacity:.0f} %\n{rate:.3g}")
    )
    axes.set_xlabel("offered, % of the capacity measured, and req/s", fontsize=9.5, color=INK)


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = (
        "route",
        "offered req/s",
        "of capacity",
        "answered req/s",
        "mean",
        "p50",
        "p95",
        "p99",
        "longest",
        "overloaded",
    )
    return head, [
        _knee_row(route, load) for route in _knee_routes(run_metrics) for load in route.open_loads
    ]


def _knee_row(route: RouteMetrics, load: OpenLoadMetrics) -> tuple[str, ...]:
    latency = load.latency
    quantiles = [
        format_estimate(latency.quantiles[name]) if latency else "-"
        for name in ("p50", "p95", "p99")
    ]
    utilization = format_share(load.sent_rate / route.capacity) if route.capacity else "-"
    latency_cells = (
        (format_estimate(latency.mean), *quantiles, format_estimate(latency.longest))
        if latency
        else ("-", *quantiles, "-")
    )
    return (
        route.route,
        format_number(load.sent_rate),
        utilization,
        format_number(load.throughput),
        *latency_cells,
        "yes" if load.overloaded else "no",
    )
