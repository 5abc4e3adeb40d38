"""Throughput x unloaded service time against users.

On the diagonal all users are served at once; a plateau is a pool.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from results.formatting import format_number, format_served_at_once
from results.schema import Variant

_AXIS_TICKS = (1, 2, 4, 8, 16, 32, 64, 128)


def _served_points(route: RouteMetrics) -> list[tuple[int, float]]:
    """Return users and served at once, level by level."""
    return [
        (level.users, route.served_at_level(level))
        for level in route.median_levels
        if route.unloaded_mean and level.throughput
    ]


def _served_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    return [route for route in run_metrics.routes if _served_points(route)]


def _build_title(run_metrics: RunMetrics) -> str:
    counts = {route.variant: route.served_at_once for route in _served_routes(run_metrics)}
    best, worst = counts.get(Variant.ASYNC), counts.get(Variant.BROKEN_ASYNC)
    if best and worst:
        return f"The same work, served {round(best)} at once or {round(worst)}: one keyword decides"
    return "How many requests each route serves at once"


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw one square panel, both axes log2 with the same limits."""
    routes = _served_routes(run_metrics)
    if not routes:
        return "No crowd was measured to the end, so there is nothing to count."
    method = "closed loop, throughput x service time of one user"
    if any(level.think_time for route in routes for level in route.median_levels):
        method += " · users pause between requests: lower bounds"
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, (7.6, 6.4))
    axes = figure.subplots()
    max_users = max(8, *(users for route in routes for users, _ in _served_points(route)))
    low, high = 0.7, max_users * 1.25
    axes.plot([low, high], [low, high], color=style.INK, alpha=0.35, linewidth=1)
    diagonal: dict[str, Any] = {"rotation": 45, "transform_rotates_text": True}
    diagonal |= {"rotation_mode": "anchor", "ha": "center"}
    axes.text(3.4, 4.3, "all users served at once", alpha=0.8, **diagonal)
    for route in routes:
        _draw_served(axes, route, high)
    ends = [(style.variant_style(r.variant).name, _served_points(r)[-1][1]) for r in routes]
    labels = [(f"{name} {format_number(value)}", value) for name, value in ends]
    style.label_line_ends(axes, high * 1.04, labels, 0.26 * math.log10(2), fontsize=9.5)
    axes.set(xscale="log", yscale="log", aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        style.set_user_ticks(axis, _AXIS_TICKS)
    axes.set(xlim=(low, high), ylim=(low, high))
    style.tidy_axes(axes, grid="both")
    axes.set(xlabel="users at the same time", ylabel="requests served at once")
    return figure


def _draw_served(axes: Axes, route: RouteMetrics, high: float) -> None:
    """Draw a route's line, and the number of places that its mechanism should have."""
    places = route.expected_concurrency
    if places and route.mechanism and places < high:
        axes.axhline(places, color=style.INK, alpha=0.4, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(1.25, places / 1.06, f"{route.mechanism}: {places:g}", alpha=0.85, va="top")
    points = zip(*_served_points(route), strict=True)
    axes.plot(*points, **style.variant_style(route.variant).line, linewidth=2, markersize=7)


CHART: Chart[RouteMetrics, CrowdMetrics] = Chart(
    stem="served",
    caption=(
        "How many requests are really served at once? On the diagonal no request waits. A plateau"
        " is a pool, and its height is the size of the pool."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "variant": lambda route, _: style.variant_style(route.variant).name,
        "users": lambda _, level: str(level.users),
        "requests per second": lambda _, level: format_number(level.throughput),
        "served at once": lambda route, level: format_served_at_once(route.served_at_level(level)),
        "predicted limit": lambda route, _: (
            f"{route.mechanism}: {route.expected_concurrency:g}"
            if route.expected_concurrency
            else "none"
        ),
    },
    rows=lambda run_metrics: [
        (route, level) for route in _served_routes(run_metrics) for level in route.median_levels
    ],
)
