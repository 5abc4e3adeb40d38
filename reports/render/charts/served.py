"""Throughput x unloaded service time against users.

On the diagonal all users are served at once; a plateau is a pool.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_number, format_served_at_once
from reports.metrics.model import RouteMetrics, RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    set_user_ticks,
    spread_labels,
    tidy_axes,
    variant_style,
)
from results.schema import Variant

_AXIS_TICKS = (1, 2, 4, 8, 16, 32, 64, 128)


def _served_points(route: RouteMetrics) -> list[tuple[int, float]]:
    """Users and served at once, level by level."""
    return [
        (level.users, route.served_at_level(level))
        for level in route.median_levels
        if route.unloaded_mean and level.throughput
    ]


def _served_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """The routes with at least one level and a service time."""
    return [route for route in run_metrics.routes if _served_points(route)]


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence."""
    served_counts = {
        route.variant: route.served_at_once
        for route in _served_routes(run_metrics)
        if route.served_at_once
    }
    best, worst = served_counts.get(Variant.ASYNC), served_counts.get(Variant.BROKEN_ASYNC)
    if best and worst:
        return f"The same work, served {round(best)} at once or {round(worst)}: one keyword decides"
    return "How many requests each route serves at once"


def draw(run_metrics: RunMetrics) -> Figure | str:
    """One square panel, both axes log2 with the same limits."""
    routes = _served_routes(run_metrics)
    if not routes:
        return "No crowd was measured to its end, so there is nothing to count."
    has_pauses = any(level.think_time for route in routes for level in route.median_levels)
    method_text = "closed loop, throughput x service time of one user" + (
        " · users pause between requests: at least so many" if has_pauses else ""
    )
    subtitle = method_subtitle(run_metrics, method_text)
    figure = create_figure(7.6, 6.4, title(run_metrics), subtitle)
    axes = figure.subplots()
    max_users = max(8, *(users for route in routes for users, _ in _served_points(route)))
    low, high = 0.7, max_users * 1.25
    axes.plot([low, high], [low, high], color=INK, alpha=0.35, linewidth=1)
    axes.text(
        3.4,
        4.3,
        "everyone served at once",
        rotation=45,
        rotation_mode="anchor",
        fontsize=8.5,
        color=INK,
        alpha=0.8,
        transform_rotates_text=True,
        ha="center",
    )
    for route in routes:
        _draw_route(axes, route, high)
    ends = [_served_points(route)[-1] for route in routes]
    heights = spread_labels([math.log2(value) for _, value in ends], 0.26)
    for route, (crowd, value), height in zip(routes, ends, heights, strict=True):
        axes.annotate(
            f"{variant_style(route.variant).name} {format_number(value)}",
            (crowd, value),
            (high * 1.04, 2**height),
            textcoords="data",
            fontsize=9.5,
            color=INK,
            va="center",
            annotation_clip=False,
        )
    axes.set(xscale="log", yscale="log", aspect="equal")
    set_user_ticks(axes.xaxis, _AXIS_TICKS)
    set_user_ticks(axes.yaxis, _AXIS_TICKS)
    axes.set(xlim=(low, high), ylim=(low, high))
    tidy_axes(axes, grid="both")
    axes.set_xlabel("users at the same time", fontsize=9.5, color=INK)
    axes.set_ylabel("requests served at once", fontsize=9.5, color=INK)
    return figure


def _draw_route(axes: Axes, route: RouteMetrics, high: float) -> None:
    """A route's line, and the number of places that its mechanism should have."""
    places = route.expected_concurrency
    if places and route.mechanism and places < high:
        axes.axhline(places, color=INK, alpha=0.4, linewidth=0.9, linestyle=(0, (4, 3)))
        label = f"{route.mechanism}: {places:g}"
        axes.text(1.25, places / 1.06, label, fontsize=8.5, color=INK, alpha=0.85, va="top")
    style = variant_style(route.variant)
    users, values = zip(*_served_points(route), strict=True)
    shape: dict[str, Any] = {"marker": style.marker, "linestyle": style.dash}
    axes.plot(users, values, color=style.colour, **shape, linewidth=2, markersize=7)


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("variant", "users", "requests per second", "served at once", "predicted limit")
    return head, [
        (
            variant_style(route.variant).name,
            str(level.users),
            format_number(level.throughput),
            format_served_at_once(route.served_at_level(level)),
            (
                f"{route.mechanism}: {route.expected_concurrency:g}"
                if route.expected_concurrency
                else "none"
            ),
        )
        for route in _served_routes(run_metrics)
        for level in route.median_levels
        if route.unloaded_mean
    ]
