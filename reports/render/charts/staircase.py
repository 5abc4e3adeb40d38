"""One burst per variant, request by request: waiting, being served, waiting to leave.

Bars come from the moments that the probe stamped around the handler, never from client times: behind middleware that
suspends, all answers leave together and would hide the stairs.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from reports.formatting import count, seconds
from reports.metrics.burst import Burst
from reports.metrics.model import Route, Study
from reports.render.charts.style import INK, canvas, look, method, tidy
from reports.verdicts.load_table import answered
from results.schema import Variant

ROUNDED = 1e-6  # seconds that writing two moments down may make them overlap
Bar = tuple[float, float, float]  # from, to (seconds since the cue), row


def shown(study: Study) -> list[Route]:
    """The routes whose burst was measured with handler moments."""
    return [route for route in study.routes if route.burst and route.burst.has_handler_moments]


def took(burst: Burst) -> float:
    """Seconds from the cue to the last answer."""
    return max(moment for moment in [*burst.done, *burst.end] if math.isfinite(moment))


def at_once(burst: Burst) -> int:
    """The largest number of handlers that ran at the same moment."""
    edges = sorted([(t, 1) for t in burst.begin] + [(t - ROUNDED, -1) for t in burst.end])
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


def in_rounds(route: Route, burst: Burst) -> int:
    """How many service times the whole burst took."""
    return max(1, round(took(burst) / route.service)) if route.service else 1


def is_held_back(route: Route, burst: Burst) -> bool:
    """Whether requests that were served in turn were answered all at one moment: a middleware, or a server, may do that."""
    return in_rounds(route, burst) > 1 and burst.steps(route.service) == 1


def title(study: Study) -> str:
    """The finding as a sentence."""
    broken = study.route(Variant.BROKEN_ASYNC)
    if broken and broken in shown(study) and broken.burst and at_once(broken.burst) == 1:
        at_the_end = ", and answers them all at one moment" if is_held_back(broken, broken.burst) else ""
        return f"Blocking inside async def serves requests one after another{at_the_end}"
    return "What each request of a burst waited for"


def draw(study: Study) -> Figure | str:
    """Small multiples with one shared time axis."""
    routes = shown(study)
    if not routes:
        return "No burst was measured with the handlers' own moments: without the probe the stairs cannot be drawn."
    text = method(study, "grey: waiting to be begun · colour: inside the handler · all sent at the same instant")
    figure = canvas(11, 4.3, title(study), text)
    panels = figure.subplots(1, len(routes), sharex=True, squeeze=False)[0]
    end = max(took(route.burst) for route in routes if route.burst) * 1.04
    for axes, route in zip(panels, routes, strict=True):
        assert route.burst  # noqa: S101 - `shown` looked
        panel(axes, route, route.burst)
        axes.set_xlim(0, end)
    figure.supxlabel("seconds since the burst", fontsize=9.5, color=INK)
    return figure


def panel(axes: Axes, route: Route, burst: Burst) -> None:
    """One variant's burst, the first served on top."""
    style, rows = look(route.variant), range(burst.size)
    stripes(axes, [(burst.sent[i], burst.begin[i], i) for i in rows], INK, 0.16)
    stripes(axes, [(burst.begin[i], burst.end[i], i) for i in rows], style.colour, 1.0)
    stripes(axes, [(burst.end[i], burst.done[i], i) for i in rows if math.isfinite(burst.done[i])], INK, 0.55, height=0.22)
    axes.set_ylim(burst.size, -0.4)
    axes.set_yticks([0.4, burst.size - 0.6], ["1", str(burst.size)])
    tidy(axes, grid="x")
    axes.set_title(style.name, fontsize=11, color=INK, loc="left", fontweight="bold")
    rounds = count(in_rounds(route, burst), "round")
    label = f"{burst.size} requests took {seconds(took(burst))}:\n" + ("one after another" if at_once(burst) == 1 else rounds)
    if is_held_back(route, burst):
        label += ",\nanswered all at one moment"
    if route.variant == Variant.TO_THREAD:
        label += ",\nwaiting for a thread\ninside the handler"
    # Lines start alike: a viewer with another font than matplotlib's would end them raggedly.
    place: dict[str, Any] = {"ha": "right", "va": "top", "multialignment": "left", "transform": axes.transAxes}
    axes.text(0.97, 0.95, label, fontsize=9, color=INK, **place)


def stripes(axes: Axes, bars: list[Bar], colour: str, alpha: float, height: float = 0.8) -> None:
    """Many bars as one path, so that the picture stays small."""
    corners: list[tuple[float, float]] = []
    codes: list[Any] = []
    for left, right, row in bars:
        top, bottom = row + 0.4 - height / 2, row + 0.4 + height / 2
        corners += [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(corners, codes), facecolor=colour, edgecolor="none", alpha=alpha))


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("variant", "requests", "rounds", "handlers open at a time, at most", "answered", "last answer after")
    return (*head, "first handler began after", "last handler began after"), [
        (
            look(route.variant).name,
            str(route.burst.size),
            str(in_rounds(route, route.burst)),
            str(at_once(route.burst)),
            answered(route.burst, route.service),
            seconds(took(route.burst)),
            seconds(min(route.burst.begin)),
            seconds(max(route.burst.begin)),
        )
        for route in shown(study)
        if route.burst
    ]
