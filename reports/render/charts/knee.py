"""The knee: latency against the rate that was offered, up to and past what the route can answer; theory drawn thin.

Overloaded loads are open arrows: their latency grows with the length of the test, so there is no height to draw.
"""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from reports.formatting import number, seconds, share, value
from reports.metrics.model import Offered, Route, Study
from reports.render.charts.style import INK, apart, canvas, look, method, tidy, time_ticks
from reports.stats.queueing import mdc
from reports.verdicts.load_table import QUIET
from results.schema import Law

ACROSS = 3  # panels beside each other
STEPS = tuple(i / 50 for i in range(2, 50))  # utilization, where theory is drawn
MOST_PLACES = 200  # beyond, theory is a flat line up to the edge


def shown(study: Study) -> list[Route]:
    """The routes that were asked at two rates or more."""
    return [route for route in study.routes if len({one.nominal for one in route.offered if one.latency}) > 1]


def title(study: Study) -> str:
    """The finding as a sentence: the fullest load that a route could bear, or the first that it could not."""
    for route in shown(study):
        good = [one for one in route.offered if not one.overloaded and one.latency]
        best = max(good, key=lambda one: one.rate, default=None)
        unloaded = route.service or min((one.floor for one in good if one.floor), default=None)
        if best and best.latency and unloaded:
            full = f"{share(best.rate / route.capacity)} of its capacity" if route.capacity else f"{number(best.rate)} req/s"
            ratio = best.latency.mean.low / unloaded
            if ratio <= QUIET:
                return f"At {full} {route.route} is as fast as unloaded"
            return f"At {full} {route.route} takes {number(ratio)} times as long as unloaded"
    return "What a request waits as the rate rises"


def draw(study: Study) -> Figure | str:
    """One panel per route, the same log axis of time."""
    routes = shown(study)
    if not routes:
        return "No route was asked at two rates or more, so there is no knee to look for."
    across = min(ACROSS, len(routes))
    down = math.ceil(len(routes) / across)
    text = method(study, "open model, latency from the planned moment")
    figure = canvas(11, 1.0 + 3.4 * down, title(study), text)
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flatten()
    found = [one.latency for route in routes for one in route.offered if one.latency]
    low, high = min(one.mean.low for one in found) * 0.6, max(one.longest.low for one in found) * 1.8
    for axes, route in zip(panels, routes, strict=False):
        axes.set(yscale="log", ylim=(low, high))
        panel(axes, route)
        scale(axes, route.capacity, steps=5 if across == 1 else 2)
        time_ticks(axes.yaxis, low, high)
    for axes in panels[len(routes) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("latency", fontsize=9.5, color=INK)
    return figure


def panel(axes: Axes, route: Route) -> None:
    """One route: theory, the quantiles that its samples support, and what overloaded it."""
    style, loads = look(route.variant), sorted(route.offered, key=lambda one: one.rate)
    axes.set_xlim(0, max(one.rate for one in loads) * 1.25)
    theory(axes, route)
    ends: list[tuple[str, float, float]] = []
    good = [one for one in loads if not one.overloaded and one.latency]
    for name, width, filled in (("p50", 2.2, True), ("p95", 1.4, True), ("p99", 0.9, False)):
        points = [(load.rate, one.low) for load in good if load.latency and (one := load.latency.quantiles[name])]
        if points:
            fill = style.colour if filled else "none"
            axes.plot(*zip(*points, strict=True), style.marker, color=style.colour, markersize=6, markerfacecolor=fill,
                      linestyle=style.dash, linewidth=width)  # fmt: skip
            ends.append((f"{name} {seconds(points[-1][1])}", *points[-1]))
    for load in loads:
        if load.overloaded and load.latency:
            axes.plot([load.rate], [load.latency.mean.low], marker="^", markersize=10, markerfacecolor="none", color=style.colour)
            axes.annotate("overloaded", (load.rate, load.latency.mean.low), (0, -15), textcoords="offset points",
                          ha="center", fontsize=8.5, color=INK)  # fmt: skip
    heights = apart([math.log10(end[2]) for end in ends], 0.11)
    edge = max([route.capacity or 0.0, *(end[1] for end in ends)])  # to the right of all lines
    for (words, _, _), height in zip(ends, heights, strict=True):
        axes.annotate(words, (edge, 10**height), (8, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK)
    tidy(axes)
    axes.set_title(style.name, fontsize=11, color=INK, loc="left", fontweight="bold")


def theory(axes: Axes, route: Route) -> None:
    """M/D/c from the run's own capacity, for Poisson arrivals below it."""
    places = route.offered[0].places
    if not route.capacity or not places or places > MOST_PLACES or any(one.law != Law.POISSON for one in route.offered):
        return
    queues = [mdc(step * route.capacity, places / route.capacity, places) for step in STEPS]
    for heights in ([one.mean() for one in queues], [one.quantile(0.95) for one in queues]):
        axes.plot([one.lam for one in queues], heights, color=INK, alpha=0.5, linewidth=0.9, linestyle=(0, (2, 2)))
    words = f"thin: M/D/{places} in theory, mean and p95"
    axes.text(0.03, 0.97, words, transform=axes.transAxes, fontsize=8, color=INK, alpha=0.8, va="top")


def scale(axes: Axes, capacity: float | None, steps: int) -> None:
    """The axis of rates: in requests per second, and in per cent of the capacity where it is known, in `steps` up to it."""
    axes.set_xlabel("offered, req/s", fontsize=9.5, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if not capacity:
        return
    axes.axvline(capacity, color=INK, alpha=0.45, linewidth=1)
    top = axes.get_xlim()[1] / capacity
    axes.xaxis.set_major_locator(FixedLocator([step / steps * capacity for step in range(int(steps * top) + 1)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate / capacity:.0f} %\n{rate:.3g}"))
    axes.set_xlabel("offered, % of the capacity measured, and req/s", fontsize=9.5, color=INK)


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("route", "offered req/s", "of capacity", "answered req/s", "mean", "p50", "p95", "p99", "longest", "overloaded")
    return head, [line(route, one) for route in shown(study) for one in route.offered]


def line(route: Route, one: Offered) -> tuple[str, ...]:
    """One load's numbers."""
    found = one.latency
    quantiles = [value(found.quantiles[name]) if found else "-" for name in ("p50", "p95", "p99")]
    full = share(one.rate / route.capacity) if route.capacity else "-"
    ends = (value(found.mean), *quantiles, value(found.longest)) if found else ("-", *quantiles, "-")
    return (route.route, number(one.rate), full, number(one.throughput), *ends, "yes" if one.overloaded else "no")
