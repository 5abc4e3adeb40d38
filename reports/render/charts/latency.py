"""Latency against users, per variant: p50, p95 and p99, or the longest; theory drawn thin.

A percentile is drawn where the sample supports it, the longest latency everywhere.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_ratio, format_seconds
from reports.metrics.model import RouteMetrics, RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    set_time_ticks,
    set_user_ticks,
    spread_labels,
    tidy_axes,
    variant_style,
)
from results.schema import Variant

# seconds; nothing that crosses a socket takes less, and a log axis has no zero
_MIN_AXIS_SECONDS = 1e-4


def _latency_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """The routes with at least one level."""
    return [route for route in run_metrics.routes if route.levels]


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence."""
    broken = run_metrics.find_route(Variant.BROKEN_ASYNC)
    if (
        broken
        and broken.top_level
        and broken.unloaded_mean
        and broken.top_level.mean.low > 2 * broken.unloaded_mean
    ):
        ratio, users = broken.top_level.mean.low / broken.unloaded_mean, broken.top_level.users
        return (
            f"With {users} users the blocking route answers {format_ratio(ratio).removeprefix('x')}"
            " times more slowly"
        )
    return "What a user waits, with how many others"


def draw(run_metrics: RunMetrics) -> Figure | str:
    """One panel per variant, the same log axis of time."""
    routes = _latency_routes(run_metrics)
    if not routes:
        return "No crowd was measured to its end, so there is no latency to draw."
    subtitle = method_subtitle(
        run_metrics, "closed loop, latency from the moment the user asks, connections open"
    )
    figure = create_figure(11, 4.4, title(run_metrics), subtitle)
    panels = figure.subplots(1, len(routes), sharey=True, squeeze=False)[0]
    longest = max(level.longest.low for route in routes for level in route.median_levels)
    shortest = min(level.mean.low for route in routes for level in route.median_levels)
    low, high = max(_MIN_AXIS_SECONDS, shortest * 0.55), max(2 * _MIN_AXIS_SECONDS, longest * 1.9)
    for axes, route in zip(panels, routes, strict=True):
        _draw_latency_panel(axes, route)
        axes.set(ylim=(low, high))
        set_time_ticks(axes.yaxis, low, high)
    figure.supxlabel("users at the same time", fontsize=9.5, color=INK)
    panels[0].set_ylabel("latency", fontsize=9.5, color=INK)
    return figure


def _draw_latency_panel(axes: Axes, route: RouteMetrics) -> None:
    """One variant: theory, then p50 to p99, each labelled at its end."""
    style, users = variant_style(route.variant), [level.users for level in route.median_levels]
    axes.set(xscale="log", yscale="log")
    predicted = [level.predicted_mean for level in route.median_levels]
    if all(predicted):
        axes.plot(
            users,
            predicted,  # type: ignore[arg-type]
            color=INK,
            alpha=0.55,
            linewidth=0.9,
            linestyle=(0, (2, 2)),
        )
    ends: list[tuple[str, float]] = []
    for name, width in (("p50", 2.4), ("p95", 1.5), ("p99", 1.0)):
        points = [
            (level.users, quantile.low)
            for level in route.median_levels
            if (quantile := level.quantiles[name])
        ]
        if points:
            line_style: dict[str, Any] = {
                "color": style.colour,
                "marker": style.marker,
                "linestyle": style.dash,
            }
            axes.plot(*zip(*points, strict=True), **line_style, markersize=5, linewidth=width)
            if points[-1][0] == users[-1]:
                ends.append((name, points[-1][1]))
    ends.append(("max", route.median_levels[-1].longest.low))
    axes.plot([users[-1]], [ends[-1][1]], marker="_", markersize=11, color=INK, alpha=0.8)
    for level in route.median_levels:
        if level.longest.exact is None:  # requests that were never answered make it a lower bound
            axes.plot(
                [level.users],
                [level.longest.low],
                marker="^",
                markersize=9,
                markerfacecolor="none",
                color=style.colour,
            )
    heights = spread_labels([math.log10(max(value, _MIN_AXIS_SECONDS)) for _, value in ends], 0.115)
    for (name, value), height in zip(ends, heights, strict=True):
        axes.annotate(
            f"{name} {format_seconds(value)}",
            (users[-1] * 1.22, 10**height),
            fontsize=8.5,
            color=INK,
            va="center",
            annotation_clip=False,
        )
    axes.set_xlim(0.8, users[-1] * 6)
    set_user_ticks(axes.xaxis, users)
    tidy_axes(axes)
    axes.set_title(style.name, fontsize=11, color=INK, loc="left", fontweight="bold")
    if not any(predicted):
        return
    theory_text = (
        f"thin: max(D, N D / {route.expected_concurrency:g})"
        if route.expected_concurrency
        else "thin: D, whatever N"
    )
    axes.text(0.03, 0.03, theory_text, transform=axes.transAxes, fontsize=8, color=INK, alpha=0.8)


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = (
        "variant",
        "users",
        "requests",
        "mean",
        "predicted mean",
        "p50",
        "p95",
        "p99",
        "longest",
        "unanswered",
    )
    return head, [
        (
            variant_style(route.variant).name,
            str(level.users),
            str(level.count),
            _format_bound(level.mean.low, level.mean.exact),
            format_seconds(level.predicted_mean),
            *(
                (
                    _format_bound(quantile.low, quantile.exact)
                    if (quantile := level.quantiles[name])
                    else "too few"
                )
                for name in ("p50", "p95", "p99")
            ),
            _format_bound(level.longest.low, level.longest.exact),
            str(level.unfinished),
        )
        for route in _latency_routes(run_metrics)
        for level in route.median_levels
    ]


def _format_bound(low: float, exact: float | None) -> str:
    """A duration, or what it is at least."""
    return format_seconds(low) if exact is not None else f">= {format_seconds(low)}"
