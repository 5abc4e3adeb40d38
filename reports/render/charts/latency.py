"""Latency against users, per variant: p50, p95 and p99, or the longest; theory drawn thin.

A percentile is drawn where the sample supports it, the longest latency everywhere.
"""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from reports.stats.quantiles import QUANTILES
from results.formatting import format_ratio, format_seconds
from results.schema import Variant


def _build_title(run_metrics: RunMetrics) -> str:
    broken = run_metrics.find_route(Variant.BROKEN_ASYNC)
    if broken and broken.top_level and broken.unloaded_mean:
        ratio = broken.top_level.mean.low / broken.unloaded_mean
        if ratio > 2:  # noqa: PLR2004 - less is no finding
            return (
                f"With {broken.top_level.users} users the blocking route answers"
                f" {format_ratio(ratio).removeprefix('x')} times more slowly"
            )
    return "How long a user waits, by number of users"


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw one panel per variant, the same log axis of time."""
    routes = [route for route in run_metrics.routes if route.levels]
    if not routes:
        return "No crowd was measured to the end, so there is no latency to draw."
    method = "closed loop, latency from the moment the user sends, connections open"
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, (11, 4.4))
    levels = [level for route in routes for level in route.median_levels]
    low = max(style.MIN_AXIS_SECONDS, min(level.mean.low for level in levels) * 0.55)
    high = max(2 * style.MIN_AXIS_SECONDS, max(level.longest.low for level in levels) * 1.9)
    for axes, route in style.create_panels(figure, routes, "y"):
        _draw_latencies(axes, route)
        axes.set(ylim=(low, high))
        style.set_time_ticks(axes.yaxis, low, high)
    figure.supxlabel("users at the same time")
    figure.axes[0].set_ylabel("latency")
    return figure


def _draw_latencies(axes: Axes, route: RouteMetrics) -> None:
    """Draw one variant: theory, then p50 to p99, each labelled at its end."""
    variant, levels = style.variant_style(route.variant), route.median_levels
    users = [level.users for level in levels]
    axes.set(xscale="log", yscale="log")
    predicted = [level.predicted_mean for level in levels if level.predicted_mean]
    if len(predicted) == len(levels):
        axes.plot(
            users, predicted, color=style.INK, alpha=0.55, linewidth=0.9, linestyle=(0, (2, 2))
        )
    ends: list[tuple[str, float]] = []
    for name, width in (("p50", 2.4), ("p95", 1.5), ("p99", 1.0)):
        points = [(level.users, at.low) for level in levels if (at := level.quantiles[name])]
        if points:
            axes.plot(*zip(*points, strict=True), **variant.line, markersize=5, linewidth=width)
            if points[-1][0] == users[-1]:
                ends.append((name, points[-1][1]))
    ends.append(("max", levels[-1].longest.low))
    axes.plot([users[-1]], [ends[-1][1]], marker="_", markersize=11, color=style.INK, alpha=0.8)
    for level in levels:
        if level.longest.exact is None:  # requests that were never answered make it a lower bound
            style.mark_lower_bound(axes, level.users, level.longest.low, variant.colour, size=9)
    labels = [(f"{name} {format_seconds(value)}", value) for name, value in ends]
    style.label_line_ends(axes, users[-1] * 1.22, labels, 0.115)
    axes.set_xlim(0.8, users[-1] * 6)
    style.set_user_ticks(axes.xaxis, users)
    style.tidy_axes(axes, variant.name)
    if predicted:
        places = route.expected_concurrency
        theory_text = f"thin: max(D, N D / {places:g})" if places else "thin: D for any N"
        axes.text(0.03, 0.03, theory_text, transform=axes.transAxes, fontsize=8, alpha=0.8)


def _format_quantile(name: str, _route: RouteMetrics, level: CrowdMetrics) -> str:
    return style.format_bound(level.quantiles[name]) if level.quantiles[name] else "too few"


CHART: Chart[RouteMetrics, CrowdMetrics] = Chart(
    stem="latency",
    caption=(
        "How long does a user wait, by number of users? A percentile is drawn only where at least"
        " ten samples lie beyond it; the dash is the longest wait."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "variant": lambda route, _: style.variant_style(route.variant).name,
        "users": lambda _, level: str(level.users),
        "requests": lambda _, level: str(level.count),
        "mean": lambda _, level: style.format_bound(level.mean),
        "predicted mean": lambda _, level: format_seconds(level.predicted_mean),
        **{name: partial(_format_quantile, name) for name in QUANTILES},
        "longest": lambda _, level: style.format_bound(level.longest),
        "unanswered": lambda _, level: str(level.unfinished),
    },
    rows=lambda run_metrics: [
        (route, level) for route in run_metrics.routes for level in route.median_levels
    ],
)
