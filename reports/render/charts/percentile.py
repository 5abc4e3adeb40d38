"""The whole tail of one load per route: measured, replayed in order, and as a closed-loop tool would have told it.

Each line ends where ten requests lie beyond. What was never answered leaves a line open upwards.
"""

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.formatting import count, number, seconds, times, value
from reports.metrics.model import Offered, Route, Study
from reports.render.charts.style import INK, apart, canvas, look, method, tidy, time_ticks
from reports.stats.model import Curve, Model
from reports.stats.quantiles import BEYOND, Latency
from reports.verdicts.load_table import HIDES, hidden, stated

MOST, ACROSS = 4, 2  # panels in all, and beside each other
TICKS = {1.0: "0 %", 2.0: "p50", 10.0: "p90", 100.0: "p99", 1000.0: "p99.9", 10_000.0: "p99.99"}
PALE = 0.45  # where fewer than ten independent requests lie beyond
MEDIAN = 2.0  # how far a line has to reach: 1 / (1 - q)
ALMOST_ALL = 99.9  # per cent, from which a percentile needs two decimals
WIDEST = 60  # characters of a panel's title
SHADE = "#E69F00"  # for areas only: too pale for a line


def shown(study: Study) -> list[tuple[Route, Offered]]:
    """Per route its fullest load that was not overloaded; of many routes those with the longest tails."""
    found = []
    for route in study.routes:
        good = [one for one in route.offered if one.spectrum and one.spectrum.measured and ends(one)[0][0] >= MEDIAN]
        if good:
            found.append((route, max(good, key=lambda one: one.rate)))
    return sorted(found, key=lambda one: -ends(one[1])[0][1])[:MOST]


def ends(one: Offered) -> list[tuple[float, float]]:
    """The last point of every line: measured, replayed, closed."""
    assert one.spectrum  # noqa: S101 - `shown` looked
    return [line[-1] for line in (one.spectrum.measured, one.spectrum.replayed, one.spectrum.closed) if line]


def title(study: Study) -> str:
    """The finding as a sentence: what closed-loop timing hides, or who is overtaken, whichever is the larger factor."""
    found: list[tuple[float, str]] = []
    for route, one in shown(study):
        told, again = hidden(one), one.replayed
        if told and told.ratio >= HIDES:
            words = f"users waited {seconds(told.measured)} ({told.name}), a closed-loop tool says {seconds(told.told)}"
            found.append((told.ratio, f"{route.route}: {words}"))
        if again and again.is_unfair and (tail := again.ratio("p99")):
            words = f"{route.route} serves out of order: its p99 is about {number(tail)} times that of serving in turn"
            found.append((tail, words))
        elif again and again.model is Model.HOLDS and one.latency:
            found.append((0.0, f"{route.route}: its own arrivals explain the waiting, mean {value(one.latency.mean)}"))
    return max(found, default=(0.0, "How long the tail is, and what its own arrivals explain of it"))[1]


def draw(study: Study) -> Figure | str:
    """One panel per route, the same log axes."""
    found = shown(study)
    if not found:
        return "No route was asked at a rate that it could bear, often enough for a percentile."
    across = min(ACROSS, len(found))
    down = math.ceil(len(found) / across)
    text = method(
        study,
        "open model, latency from the planned moment",
        "replayed: the same sends through ideal places, in order",
        "closed loop: only what its users would have sent, at the answers of the full load, so too long rather than too short",
    )
    figure = canvas(11, 1.2 + 3.6 * down, title(study), text)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
    spectra = [one.spectrum for _, one in found if one.spectrum]
    lines = [line for one in spectra for line in (one.measured, one.replayed, one.closed)]
    points = [point for line in lines for point in line[1:]]  # the first is the quickest of all, perhaps a bound
    low, high = min(point[1] for point in points) * 0.8, max(point[1] for point in points) * 1.6
    last = max(point[0] for point in points)
    for axes, (route, one) in zip(panels, found, strict=False):
        axes.set(xscale="log", yscale="log", ylim=(low, high), xlim=(1, last ** (1.35 if across == 1 else 1.75)))
        panel(axes, route, one)
        scale(axes, last)
        time_ticks(axes.yaxis, low, high)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    figure.supxlabel("share of the requests that were answered sooner", fontsize=9.5, color=INK)
    figure.supylabel("latency", fontsize=9.5, color=INK)
    return figure


def panel(axes: Axes, route: Route, one: Offered) -> None:
    """One load: its three lines, named at their ends, and the gaps between them."""
    found, style = one.spectrum, look(route.variant)
    assert found  # noqa: S101 - `shown` looked
    thin = {"color": INK, "linewidth": 1.1}
    axes.plot(*columns(found.closed), **thin, linestyle=(0, (1, 1.6)))  # type: ignore[arg-type]
    worth = one.latency.independent if one.latency else None
    sure = [point for point in found.measured if point[0] <= (worth or math.inf) / BEYOND]
    axes.plot(*columns(sure), color=style.colour, linewidth=2.6)
    axes.plot(*columns(found.measured[max(0, len(sure) - 1) :]), color=style.colour, linewidth=2.6, alpha=PALE)
    axes.plot(*columns(found.replayed), **thin, linestyle=(0, (5, 2)))  # type: ignore[arg-type]
    is_open = found.most != found.measured
    if is_open:  # somebody was never answered
        x, most = columns(found.most)
        axes.fill_between(x, most, [read(found.measured, at) for at in x], color=style.colour, alpha=0.25, linewidth=0)
        axes.plot(*found.measured[-1], marker="^", markersize=10, markerfacecolor="none", color=style.colour)
    gap(axes, one)
    words = [f"measured {'>= ' if is_open else ''}{reached(found.measured)}"]
    if one.replayed and one.replayed.is_unfair:
        words[0] += f"\novertaken: p99 {times(one.replayed.ratio('p99') or 1.0)} the replay's"
    if found.replayed and one.replayed:
        words += [f"replayed, {count(one.replayed.places, 'place')}: {reached(found.replayed)}"]
    if found.closed:
        words += [f"as a closed-loop tool ({count(found.users, 'user')})\nwould have told it: {reached(found.closed)}"]
    bottom, top = (math.log10(one) for one in axes.get_ylim())
    heights = apart([math.log10(end[1]) for end in ends(one)], 0.1 * (top - bottom))
    edge = found.measured[-1][0]
    for label, end, height in zip(words, ends(one), heights, strict=True):
        axes.plot([end[0], edge * 1.04], [end[1], 10**height], color=INK, linewidth=0.6, alpha=0.4)
        axes.annotate(label, (edge * 1.04, 10**height), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK)
    tidy(axes)
    samples = f", n = {one.latency.count:,}" if one.latency else ""
    heading = textwrap.fill(f"{style.name} at {stated(one)}{samples}", WIDEST)
    axes.set_title(heading, fontsize=10.5, color=INK, loc="left", fontweight="bold")


def gap(axes: Axes, one: Offered) -> None:
    """Name what closed-loop timing hides, in its shade, and what the order of service adds to the tail."""
    found, told = one.spectrum, hidden(one)
    assert found  # noqa: S101 - `shown` looked
    if told and told.ratio >= HIDES and found.closed:
        x, heard = columns(found.closed)
        axes.fill_between(x, heard, [read(found.measured, at) for at in x], color=SHADE, alpha=0.28, linewidth=0)
        middle = math.sqrt(heard[-1] * read(found.measured, x[-1]))
        words = f"what a closed-loop tool leaves out:\nits {told.name} is {times(told.ratio)[1:]} times too low, at least"
        axes.annotate(words, (x[-1], middle), (-8, 0), textcoords="offset points", ha="right", va="center", fontsize=8.5, color=INK)
    elif one.replayed and one.replayed.is_unfair and found.replayed:
        x, ideal = columns(found.replayed)
        true = [read(found.measured, at) for at in x]
        axes.fill_between(x, ideal, [max(pair) for pair in zip(ideal, true, strict=True)], color=SHADE, alpha=0.28, linewidth=0)


def reached(line: Curve) -> str:
    """How far a line goes: `865 ms (p99.3)`."""
    place, height = line[-1]
    q = 100 * (1 - 1 / place)
    return f"{seconds(height)} (p{q:.{4 if q > ALMOST_ALL else 3}g})"


def read(line: Curve, at: float) -> float:
    """The height of a line at one place."""
    return next((y for x, y in line if x >= at), line[-1][1])


def columns(line: Curve | list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """A line's places and heights."""
    return [x for x, _ in line], [y for _, y in line]


def scale(axes: Axes, last: float) -> None:
    """Percentiles as people name them, as far as the lines reach."""
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= last]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: TICKS.get(round(place, 3), "")))


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("route", "load", "line", "requests", "mean", "p50", "p95", "p99", "longest")
    found = []
    for route, one in shown(study):
        assert one.spectrum  # noqa: S101 - `shown` looked
        load = (route.route, stated(one))
        found.append((*load, "measured", *figures(one.spectrum.own)))
        if one.replayed and one.spectrum.replayed:
            again = one.replayed
            ideal = [seconds(time) if again.supports(name) else "-" for name, time in again.replayed.items()]
            found.append((*load, "replayed", f"{again.count:,}", *ideal))
        found.append((*load, f"closed loop, {count(one.spectrum.users, 'user')}", *figures(one.spectrum.told)))
    return head, found


def figures(found: Latency | None) -> tuple[str, ...]:
    """Count, mean, quantiles and longest; `-` for what is not supported."""
    if not found:
        return ("-",) * 6
    quantiles = [value(found.quantiles[name]) for name in ("p50", "p95", "p99")]
    return (f"{found.count:,}", value(found.mean), *quantiles, value(found.longest))
