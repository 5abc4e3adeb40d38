"""Throughput x unloaded service time against users: everybody on the diagonal is served at once; a plateau is a pool."""

import math

from matplotlib.figure import Figure

from reports.formatting import number, places
from reports.metrics.model import Route, Study
from reports.render.charts.style import INK, apart, canvas, look, method, tidy, user_ticks
from results.schema import Variant

TICKS = (1, 2, 4, 8, 16, 32, 64, 128)


def points(route: Route) -> list[tuple[int, float]]:
    """Users and served at once, level by level."""
    return [(level.users, route.served_at(level)) for level in route.steps if route.service and level.rate]


def shown(study: Study) -> list[Route]:
    """The routes with at least one level and a service time."""
    return [route for route in study.routes if points(route)]


def title(study: Study) -> str:
    """The finding as a sentence."""
    served = {route.variant: route.served for route in shown(study) if route.served}
    best, worst = served.get(Variant.ASYNC), served.get(Variant.BROKEN_ASYNC)
    if best and worst:
        return f"The same work, served {round(best)} at once or {round(worst)}: one keyword decides"
    return "How many requests each route serves at once"


def draw(study: Study) -> Figure | str:
    """One square panel, both axes log2 with the same limits."""
    routes = shown(study)
    if not routes:
        return "No crowd was measured to its end, so there is nothing to count."
    pauses = any(level.think for route in routes for level in route.steps)
    how = "closed loop, throughput x service time of one user" + (
        " · users pause between requests: at least so many" if pauses else ""
    )
    text = method(study, how)
    figure = canvas(7.6, 6.4, title(study), text)
    axes = figure.subplots()
    most = max(8, *(users for route in routes for users, _ in points(route)))
    low, high = 0.7, most * 1.25
    axes.plot([low, high], [low, high], color=INK, alpha=0.35, linewidth=1)
    axes.text(
        3.4, 4.3, "everyone served at once", rotation=45, rotation_mode="anchor", fontsize=8.5, color=INK, alpha=0.8,
        transform_rotates_text=True, ha="center",
    )  # fmt: skip
    for route in routes:
        if route.places and route.mechanism and route.places < high:
            axes.axhline(route.places, color=INK, alpha=0.4, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.text(1.25, route.places / 1.06, f"{route.mechanism}: {route.places:g}",
                      fontsize=8.5, color=INK, alpha=0.85, va="top")  # fmt: skip
        style = look(route.variant)
        users, values = zip(*points(route), strict=True)
        axes.plot(users, values, color=style.colour, marker=style.marker, linestyle=style.dash, linewidth=2, markersize=7)
    ends = [points(route)[-1] for route in routes]
    heights = apart([math.log2(value) for _, value in ends], 0.26)
    for route, (crowd, value), height in zip(routes, ends, heights, strict=True):
        axes.annotate(
            f"{look(route.variant).name} {number(value)}", (crowd, value), (high * 1.04, 2**height), textcoords="data",
            fontsize=9.5, color=INK, va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", aspect="equal")
    user_ticks(axes.xaxis, TICKS)
    user_ticks(axes.yaxis, TICKS)
    axes.set(xlim=(low, high), ylim=(low, high))
    tidy(axes, grid="both")
    axes.set_xlabel("users at the same time", fontsize=9.5, color=INK)
    axes.set_ylabel("requests served at once", fontsize=9.5, color=INK)
    return figure


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("variant", "users", "requests per second", "served at once", "predicted limit")
    return head, [
        (
            look(route.variant).name,
            str(level.users),
            number(level.rate),
            places(route.served_at(level)),
            f"{route.mechanism}: {route.places:g}" if route.places else "none",
        )
        for route in shown(study)
        for level in route.steps
        if route.service
    ]
