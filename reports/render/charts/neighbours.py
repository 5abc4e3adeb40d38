"""The p90 of two neighbour routes, unloaded and while another route is loaded; a row per load."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.metrics.model import NeighbourMetrics, RouteMetrics, RunMetrics
from reports.render.charts import style
from reports.render.charts.model import Chart
from results.formatting import format_ratio, format_seconds
from results.judgement.predicates import is_neighbour_harmed

_ROW_OFFSETS = {"async": -0.17, "def": 0.17}


def _max_slowdown(route: RouteMetrics) -> float:
    return max((neighbour.slowdown or 0 for neighbour in route.neighbours.values()), default=0)


def _find_routes(run_metrics: RunMetrics) -> list[RouteMetrics]:
    """Return the routes whose neighbours were measured, the one that slows them most first."""
    return sorted(filter(_max_slowdown, run_metrics.routes), key=_max_slowdown, reverse=True)


def _build_title(run_metrics: RunMetrics) -> str:
    harmful_routes = [
        route
        for route in _find_routes(run_metrics)
        if (neighbour := route.neighbours.get("async")) and is_neighbour_harmed(neighbour.effect)
    ]
    if len(harmful_routes) == 1:
        return "One blocking route stalls every neighbour"
    return "The p90 of the neighbour routes while another route is under load"


def _paint(run_metrics: RunMetrics) -> Figure | str:
    """Draw a dumbbell per loaded route and neighbour, on a log axis of time."""
    routes = _find_routes(run_metrics)
    if not routes:
        return "The neighbour routes got too few requests, unloaded and under load, for a p90."
    cells = run_metrics.run.plan.cells
    rates = sorted({ping.rate for cell in cells for ping in cell.neighbours})
    method = (
        f"two neighbour routes at {' or '.join(f'{rate:g}' for rate in rates)} Poisson requests/s"
        " each, p90, unloaded and with the largest crowd"
    )
    size = 11, 1.9 + 0.85 * len(routes)
    figure = style.create_figure(run_metrics, _build_title(run_metrics), method, size)
    axes = figure.subplots()
    values: list[float] = []
    names: list[str] = []
    for row, route in enumerate(routes):
        variant = style.variant_style(route.variant)
        names.append(f"{variant.name}, {route.top_level.users if route.top_level else '?'} users")
        for kind, neighbour in route.neighbours.items():
            values += _draw_dumbbell(axes, row + _ROW_OFFSETS[kind], neighbour, variant.colour)
    low, high = min(values) * 0.6, max(values) * 7
    axes.set(xscale="log", xlim=(low, high), ylim=(len(routes) - 0.5, -0.5))
    style.set_time_ticks(axes.xaxis, low, high)
    axes.set_yticks(range(len(routes)), names)
    style.tidy_axes(axes, grid="x")
    axes.set_xlabel("p90 of the neighbour route (hollow: unloaded, solid: with the largest crowd)")
    return figure


def _draw_dumbbell(
    axes: Axes, y: float, neighbour: NeighbourMetrics, colour: str
) -> tuple[float, ...]:
    """Draw idle and loaded p90, joined, with the change in words; return both in seconds."""
    if not (neighbour.idle and neighbour.loaded and neighbour.slowdown):
        return ()
    idle, loaded = neighbour.idle.low, neighbour.loaded.low
    axes.plot([idle, loaded], [y, y], color=colour, linewidth=2, alpha=0.75)
    edge: dict[str, Any] = {"markeredgecolor": colour, "markeredgewidth": 1.6}
    axes.plot([idle], [y], marker="o", markersize=8, markerfacecolor="none", **edge)
    marker = "o" if neighbour.loaded.exact else ">"
    axes.plot([loaded], [y], marker=marker, markersize=8, color=colour)
    text = (
        f"{neighbour.kind}: {format_seconds(idle)} to {style.format_bound(neighbour.loaded)},"
        f" {format_ratio(neighbour.slowdown)}"
    )
    style.label_point(axes, text, (max(idle, loaded), y), (10, 0), va="center", fontsize=9)
    return idle, loaded


CHART: Chart[RouteMetrics, NeighbourMetrics] = Chart(
    stem="neighbours",
    caption=(
        "Which other routes become slow? Both neighbours: the route holds the event loop. Only the"
        " `def` neighbour: the route takes the threads."
    ),
    title=_build_title,
    paint=_paint,
    columns={
        "loaded route": lambda route, _: style.variant_style(route.variant).name,
        "neighbour route": lambda _, neighbour: neighbour.kind,
        "p90 unloaded": lambda _, neighbour: style.format_bound(neighbour.idle),
        "requests unloaded": lambda _, neighbour: str(neighbour.idle_pings),
        "p90 under load": lambda _, neighbour: style.format_bound(neighbour.loaded),
        "requests under load": lambda _, neighbour: str(neighbour.loaded_pings),
        "change": lambda _, neighbour: (
            format_ratio(neighbour.slowdown) if neighbour.slowdown else "-"
        ),
        "predicted by replay": lambda _, neighbour: format_seconds(neighbour.predicted_p90),
    },
    rows=lambda run_metrics: [
        (route, neighbour)
        for route in _find_routes(run_metrics)
        for neighbour in route.neighbours.values()
    ],
)
