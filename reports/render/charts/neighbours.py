"""What two innocent routes felt: p90 alone (hollow) and while a route was pressed (solid), one row per pressed route.

Both to the right: the event loop is held. Only the `def` one: the threads are taken.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import seconds, times
from reports.metrics.model import Bystander, Route, Study
from reports.render.charts.style import INK, canvas, look, method, tidy, time_ticks
from reports.verdicts.neighbours import suffers

OFFSETS = {"async": -0.17, "def": 0.17}


def shown(study: Study) -> list[Route]:
    """The routes beside which both neighbours were asked, the one that harms most first."""
    routes = [route for route in study.routes if any(one.ratio for one in route.bystanders.values())]
    return sorted(routes, key=lambda route: -max(one.ratio or 0 for one in route.bystanders.values()))


def title(study: Study) -> str:
    """The finding as a sentence."""
    hurt = [route for route in shown(study) if (one := route.bystanders.get("async")) and suffers(one)]
    if len(hurt) == 1:
        return "One blocking route stalls every neighbour"
    return "What innocent routes felt while another was pressed"


def draw(study: Study) -> Figure | str:
    """A dumbbell per pressed route and neighbour, on a log axis of time."""
    routes = shown(study)
    if not routes:
        return "The neighbours were not asked often enough, idle and under load, for a p90."
    pings = {ping["rate"] for cell in study.run["plan"]["cells"] for ping in cell["neighbours"]}
    rate = " or ".join(f"{one:g}" for one in sorted(pings))
    text = method(study, f"two innocent routes at {rate} Poisson requests/s each, p90, idle and beside the largest crowd")
    figure = canvas(11, 1.9 + 0.85 * len(routes), title(study), text)
    axes = figure.subplots()
    values = []
    for row, route in enumerate(routes):
        for kind, one in route.bystanders.items():
            if one.idle and one.loaded:
                dumbbell(axes, row + OFFSETS[kind], one, look(route.variant).colour)
                values += [one.idle.low, one.loaded.low]
    low, high = min(values) * 0.6, max(values) * 7
    axes.set(xscale="log", xlim=(low, high), ylim=(len(routes) - 0.5, -0.5))
    time_ticks(axes.xaxis, low, high)
    names = [f"{look(route.variant).name}, {route.top.users if route.top else '?'} users" for route in routes]
    axes.set_yticks(range(len(routes)), names)
    tidy(axes, grid="x")
    axes.set_xlabel("p90 of the innocent route (hollow: alone, solid: beside the crowd)", fontsize=9.5, color=INK)
    return figure


def dumbbell(axes: Axes, y: float, one: Bystander, colour: str) -> None:
    """Idle and loaded, joined, with the change in words."""
    assert one.idle and one.loaded and one.ratio  # noqa: S101, PT018 - the caller looked
    idle, loaded = one.idle.low, one.loaded.low
    axes.plot([idle, loaded], [y, y], color=colour, linewidth=2, alpha=0.75)
    axes.plot([idle], [y], marker="o", markersize=8, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.6)
    axes.plot([loaded], [y], marker="o" if one.loaded.exact else ">", markersize=8, color=colour)
    change = f"{one.kind}: {seconds(idle)} to {'' if one.loaded.exact else '>= '}{seconds(loaded)}, {times(one.ratio)}"
    axes.annotate(change, (max(idle, loaded), y), (10, 0), textcoords="offset points", va="center", fontsize=9, color=INK)


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("pressed route", "innocent route", "p90 alone", "pings", "p90 beside the crowd", "pings")
    return (*head, "change", "predicted by replay"), [
        (
            look(route.variant).name,
            one.kind,
            seconds(one.idle.low if one.idle else None),
            str(one.idle_pings),
            ("" if one.loaded and one.loaded.exact else ">= ") + seconds(one.loaded.low if one.loaded else None),
            str(one.loaded_pings),
            times(one.ratio) if one.ratio else "-",
            seconds(one.predicted),
        )
        for route in shown(study)
        for one in route.bystanders.values()
    ]
