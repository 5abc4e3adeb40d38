"""What two neighbours felt: p90 alone (hollow) and beside a loaded route (solid), a row per route.

Both to the right: the event loop is held. Only the `def` one: the threads are taken.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_ratio, format_seconds
from reports.metrics.model import NeighbourMetrics, RouteMetrics, RunMetrics
from reports.render.charts.style import (
    INK,
    create_figure,
    method_subtitle,
    set_time_ticks,
    tidy_axes,
    variant_style,
)
from reports.verdicts.neighbours import is_neighbour_harmed

_ROW_OFFSETS = {"async": -0.17, "def": 0.17}


def _routes_with_neighbours(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """The routes beside which both neighbours were asked, the one that harms most first."""
    routes = [
        route
        for route in run_metrics.routes
        if any(neighbour.slowdown for neighbour in route.neighbours.values())
    ]
    return sorted(
        routes,
        key=lambda route: -max(neighbour.slowdown or 0 for neighbour in route.neighbours.values()),
    )


def title(run_metrics: RunMetrics) -> str:
    """The finding as a sentence."""
    harmed_routes = [
        route
        for route in _routes_with_neighbours(run_metrics)
        if (neighbour := route.neighbours.get("async")) and is_neighbour_harmed(neighbour)
    ]
    if len(harmed_routes) == 1:
        return "One blocking route stalls every neighbour"
    return "What innocent routes felt while another was pressed"


def draw(run_metrics: RunMetrics) -> Figure | str:
    """A dumbbell per loaded route and neighbour, on a log axis of time."""
    routes = _routes_with_neighbours(run_metrics)
    if not routes:
        return "The neighbours were not asked often enough, idle and under load, for a p90."
    ping_rates = {
        ping["rate"] for cell in run_metrics.run["plan"]["cells"] for ping in cell["neighbours"]
    }
    rate_text = " or ".join(f"{neighbour:g}" for neighbour in sorted(ping_rates))
    subtitle = method_subtitle(
        run_metrics,
        f"two innocent routes at {rate_text} Poisson requests/s each, p90, idle and beside the"
        " largest crowd",
    )
    figure = create_figure(11, 1.9 + 0.85 * len(routes), title(run_metrics), subtitle)
    axes = figure.subplots()
    values = []
    for row, route in enumerate(routes):
        for kind, neighbour in route.neighbours.items():
            if neighbour.idle and neighbour.loaded:
                _draw_dumbbell(
                    axes, row + _ROW_OFFSETS[kind], neighbour, variant_style(route.variant).colour
                )
                values += [neighbour.idle.low, neighbour.loaded.low]
    low, high = min(values) * 0.6, max(values) * 7
    axes.set(xscale="log", xlim=(low, high), ylim=(len(routes) - 0.5, -0.5))
    set_time_ticks(axes.xaxis, low, high)
    names = [
        f"{variant_style(route.variant).name}, {route.top_level.users if route.top_level else '?'}"
        " users"
        for route in routes
    ]
    axes.set_yticks(range(len(routes)), names)
    tidy_axes(axes, grid="x")
    axes.set_xlabel(
        "p90 of the innocent route (hollow: alone, solid: beside the crowd)",
        fontsize=9.5,
        color=INK,
    )
    return figure


def _draw_dumbbell(axes: Axes, y: float, neighbour: NeighbourMetrics, colour: str) -> None:
    """Idle and loaded, joined, with the change in words."""
    # The caller checked
    assert neighbour.idle and neighbour.loaded and neighbour.slowdown  # noqa: S101, PT018
    idle, loaded = neighbour.idle.low, neighbour.loaded.low
    axes.plot([idle, loaded], [y, y], color=colour, linewidth=2, alpha=0.75)
    axes.plot(
        [idle],
        [y],
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=1.6,
    )
    axes.plot(
        [loaded], [y], marker="o" if neighbour.loaded.exact else ">", markersize=8, color=colour
    )
    change_text = (
        f"{neighbour.kind}: {format_seconds(idle)} to"
        f" {'' if neighbour.loaded.exact else '>= '}{format_seconds(loaded)},"
        f" {format_ratio(neighbour.slowdown)}"
    )
    axes.annotate(
        change_text,
        (max(idle, loaded), y),
        (10, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=INK,
    )


def rows(run_metrics: RunMetrics) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = (
        "pressed route",
        "innocent route",
        "p90 alone",
        "pings",
        "p90 beside the crowd",
        "pings",
    )
    return (*head, "change", "predicted by replay"), [
        (
            variant_style(route.variant).name,
            neighbour.kind,
            format_seconds(neighbour.idle.low if neighbour.idle else None),
            str(neighbour.idle_pings),
            ("" if neighbour.loaded and neighbour.loaded.exact else ">= ")
            + format_seconds(neighbour.loaded.low if neighbour.loaded else None),
            str(neighbour.loaded_pings),
            format_ratio(neighbour.slowdown) if neighbour.slowdown else "-",
            format_seconds(neighbour.predicted_p90),
        )
        for route in _routes_with_neighbours(run_metrics)
        for neighbour in route.neighbours.values()
    ]
