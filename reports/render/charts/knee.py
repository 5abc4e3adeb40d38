"""The knee: latency against the offered rate, up to and past the capacity; theory drawn thin.

Overloaded loads are open arrows: their latency grows with the length of the test, so there is no
height to draw.
"""

import math
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.formatting import format_estimate
from reports.metrics.model import OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from reports.stats.quantiles import QUANTILES
from reports.stats.queueing import mdc_queue
from reports.verdicts.load_sentences import UNQUEUED_RATIO
from results.formatting import format_number, format_seconds, format_share
from results.schema import ArrivalDistribution

_MAX_PANELS_PER_ROW = 3
_THEORY_UTILIZATIONS = tuple(i / 50 for i in range(2, 50))  # utilization, where theory is drawn
_MAX_THEORY_CONCURRENCY = 200  # beyond, theory is a flat line up to the edge


def _knee_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """Return the routes that were loaded at two rates or more."""
    return [
        route
        for route in run_metrics.routes
        if len({load.nominal_rate for load in route.open_loads if load.latency}) > 1
    ]


def _build_title(run_metrics: RunMetrics) -> str:
    """Name the fullest load that a route could carry."""
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
            times = format_number(ratio)
            return f"At {load_text} {route.route} takes {times} times as long as unloaded"
    return "How long a request waits as the rate rises"


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw one panel per route, the same log axis of time."""
    routes = _knee_routes(run_metrics)
    if not routes:
        return "No route was loaded at two rates or more, so there is no knee to show."
    height = 1.0 + 3.4 * math.ceil(len(routes) / _MAX_PANELS_PER_ROW)
    method = "open model, latency from the planned time"
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, (11, height))
    latencies = [load.latency for route in routes for load in route.open_loads if load.latency]
    low = min(latency.mean.low for latency in latencies) * 0.6
    high = max(latency.longest.low for latency in latencies) * 1.8
    for axes, route in style.create_panels(figure, routes, "y", _MAX_PANELS_PER_ROW):
        axes.set(yscale="log", ylim=(low, high))
        _draw_knee(axes, route)
        _format_rate_axis(axes, route.capacity, tick_intervals=5 if len(routes) == 1 else 2)
        style.set_time_ticks(axes.yaxis, low, high)
    figure.axes[0].set_ylabel("latency")
    return figure


def _draw_knee(axes: Axes, route: RouteMetrics) -> None:
    """Draw one route: theory, the quantiles that its samples support, and what overloaded it."""
    variant = style.variant_style(route.variant)
    loads = sorted(route.open_loads, key=lambda load: load.sent_rate)
    axes.set_xlim(0, loads[-1].sent_rate * 1.25)
    _draw_theory(axes, route)
    ends: list[tuple[str, float]] = []
    edge = route.capacity or 0.0  # to the right of all lines
    for name, width in (("p50", 2.2), ("p95", 1.4), ("p99", 0.9)):
        points = [
            (load.sent_rate, quantile.low)
            for load in loads
            if not load.overloaded and load.latency and (quantile := load.latency.quantiles[name])
        ]
        if points:
            fill = "none" if name == "p99" else variant.colour
            line = {**variant.line, "markersize": 6, "markerfacecolor": fill}
            axes.plot(*zip(*points, strict=True), **line, linewidth=width)
            ends.append((f"{name} {format_seconds(points[-1][1])}", points[-1][1]))
            edge = max(edge, points[-1][0])
    for load in loads:
        if load.overloaded and load.latency:
            point = load.sent_rate, load.latency.mean.low
            style.mark_lower_bound(axes, *point, variant.colour)
            style.label_point(axes, "overloaded", point, (0, -15), ha="center")
    style.label_line_ends(axes, edge, ends, 0.11, shift=8)
    style.tidy_axes(axes, variant.name)


def _draw_theory(axes: Axes, route: RouteMetrics) -> None:
    """Draw M/D/c from the run's own capacity, for Poisson arrivals below it."""
    concurrency = route.open_loads[0].concurrency
    if (
        not route.capacity
        or not concurrency
        or concurrency > _MAX_THEORY_CONCURRENCY
        or any(load.law != ArrivalDistribution.POISSON for load in route.open_loads)
    ):
        return
    queues = [
        mdc_queue(step * route.capacity, concurrency / route.capacity, concurrency)
        for step in _THEORY_UTILIZATIONS
    ]
    rates = [queue.lam for queue in queues]
    for heights in ([queue.mean() for queue in queues], [queue.quantile(0.95) for queue in queues]):
        axes.plot(rates, heights, color=style.INK, alpha=0.5, linewidth=0.9, linestyle=(0, (2, 2)))
    text = f"thin: theory (M/D/{concurrency}), mean and p95"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, fontsize=8, alpha=0.8, va="top")


def _format_rate_axis(axes: Axes, capacity: float | None, tick_intervals: int) -> None:
    """Label the axis of rates, in requests per second.

    With a known capacity also in per cent of it, in `tick_intervals` up to it.
    """
    if not capacity:
        axes.set_xlabel("offered rate, req/s")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        return
    axes.axvline(capacity, color=style.INK, alpha=0.45, linewidth=1)
    tick_count = int(tick_intervals * axes.get_xlim()[1] / capacity) + 1
    ticks = [step / tick_intervals * capacity for step in range(tick_count)]
    style.set_ticks(axes.xaxis, ticks, lambda rate: f"{100 * rate / capacity:.0f} %\n{rate:.3g}")
    axes.set_xlabel("offered rate: % of the measured capacity, and req/s")


def _format_latency(name: str, _route: RouteMetrics, load: OpenLoadMetrics) -> str:
    if not load.latency:
        return "-"
    ends = {"mean": load.latency.mean, "longest": load.latency.longest}
    return format_estimate({**load.latency.quantiles, **ends}[name])


CHART: Chart[RouteMetrics, OpenLoadMetrics] = Chart(
    stem="knee",
    caption=(
        "Where is the knee, and how near is the load to it? Up to the vertical line the route keeps"
        " up. An arrow is an overload: its latency grows with the length of the test."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "route": lambda route, _: route.route,
        "offered req/s": lambda _, load: format_number(load.sent_rate),
        "of capacity": lambda route, load: (
            format_share(load.sent_rate / route.capacity) if route.capacity else "-"
        ),
        "answered req/s": lambda _, load: format_number(load.throughput),
        **{name: partial(_format_latency, name) for name in ("mean", *QUANTILES, "longest")},
        "overloaded": lambda _, load: "yes" if load.overloaded else "no",
    },
    rows=lambda run_metrics: [
        (route, load) for route in _knee_routes(run_metrics) for load in route.open_loads
    ],
)
