"""Latency against users, per variant: p50, p95 and p99 where the sample supports them, else the longest; theory drawn thin."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import seconds, times
from reports.metrics.model import Route, Study
from reports.render.charts.style import INK, apart, canvas, look, method, tidy, time_ticks, user_ticks
from results.schema import Variant

SHORTEST = 1e-4  # seconds; nothing that crosses a socket takes less, and a log axis has no zero


def shown(study: Study) -> list[Route]:
    """The routes with at least one level."""
    return [route for route in study.routes if route.levels]


def title(study: Study) -> str:
    """The finding as a sentence."""
    broken = study.route(Variant.BROKEN_ASYNC)
    if broken and broken.top and broken.service and broken.top.mean.low > 2 * broken.service:
        ratio, users = broken.top.mean.low / broken.service, broken.top.users
        return f"With {users} users the blocking route answers {times(ratio).removeprefix('x')} times more slowly"
    return "What a user waits, with how many others"


def draw(study: Study) -> Figure | str:
    """One panel per variant, the same log axis of time."""
    routes = shown(study)
    if not routes:
        return "No crowd was measured to its end, so there is no latency to draw."
    text = method(study, "closed loop, latency from the moment the user asks, connections open")
    figure = canvas(11, 4.4, title(study), text)
    panels = figure.subplots(1, len(routes), sharey=True, squeeze=False)[0]
    longest = max(level.longest.low for route in routes for level in route.steps)
    shortest = min(level.mean.low for route in routes for level in route.steps)
    low, high = max(SHORTEST, shortest * 0.55), max(2 * SHORTEST, longest * 1.9)
    for axes, route in zip(panels, routes, strict=True):
        panel(axes, route)
        axes.set(ylim=(low, high))
        time_ticks(axes.yaxis, low, high)
    figure.supxlabel("users at the same time", fontsize=9.5, color=INK)
    panels[0].set_ylabel("latency", fontsize=9.5, color=INK)
    return figure


def panel(axes: Axes, route: Route) -> None:
    """One variant: theory, then p50 to p99, each labelled at its end."""
    style, users = look(route.variant), [level.users for level in route.steps]
    axes.set(xscale="log", yscale="log")
    predicted = [level.predicted_mean for level in route.steps]
    if all(predicted):
        axes.plot(users, predicted, color=INK, alpha=0.55, linewidth=0.9, linestyle=(0, (2, 2)))  # type: ignore[arg-type]
    ends: list[tuple[str, float]] = []
    for name, width in (("p50", 2.4), ("p95", 1.5), ("p99", 1.0)):
        line = [(level.users, one.low) for level in route.steps if (one := level.quantiles[name])]
        if line:
            drawn: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.dash}
            axes.plot(*zip(*line, strict=True), **drawn, markersize=5, linewidth=width)
            if line[-1][0] == users[-1]:
                ends.append((name, line[-1][1]))
    ends.append(("max", route.steps[-1].longest.low))
    axes.plot([users[-1]], [ends[-1][1]], marker="_", markersize=11, color=INK, alpha=0.8)
    for level in route.steps:
        if level.longest.exact is None:  # requests that were never answered make it a lower bound
            axes.plot([level.users], [level.longest.low], marker="^", markersize=9, markerfacecolor="none", color=style.colour)
    heights = apart([math.log10(max(value, SHORTEST)) for _, value in ends], 0.115)
    for (name, value), height in zip(ends, heights, strict=True):
        axes.annotate(
            f"{name} {seconds(value)}", (users[-1] * 1.22, 10**height), fontsize=8.5, color=INK, va="center", annotation_clip=False
        )
    axes.set_xlim(0.8, users[-1] * 6)
    user_ticks(axes.xaxis, users)
    tidy(axes)
    axes.set_title(style.name, fontsize=11, color=INK, loc="left", fontweight="bold")
    if not any(predicted):
        return
    law = f"thin: max(D, N D / {route.places:g})" if route.places else "thin: D, whatever N"
    axes.text(0.03, 0.03, law, transform=axes.transAxes, fontsize=8, color=INK, alpha=0.8)


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("variant", "users", "requests", "mean", "predicted mean", "p50", "p95", "p99", "longest", "unanswered")
    return head, [
        (
            look(route.variant).name,
            str(level.users),
            str(level.count),
            bound(level.mean.low, level.mean.exact),
            seconds(level.predicted_mean),
            *(bound(one.low, one.exact) if (one := level.quantiles[name]) else "too few" for name in ("p50", "p95", "p99")),
            bound(level.longest.low, level.longest.exact),
            str(level.unfinished),
        )
        for route in shown(study)
        for level in route.steps
    ]


def bound(low: float, exact: float | None) -> str:
    """A duration, or what it is at least."""
    return seconds(low) if exact is not None else f">= {seconds(low)}"
