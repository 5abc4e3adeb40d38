"""The same frozen route on two event loops, on warmed and on cold connections: how long each user had to wait.

One panel per condition, one bar per user, the users ascending: flat is fair. The same throughput stands over all of them.
"""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from reports.claims.waiting.loop_fairness import SEVERAL, Frozen, frozen
from reports.formatting import count, number, seconds, times, value
from reports.metrics.model import Study
from reports.render.charts.style import INK, canvas, look, method, tidy
from results.schema import Variant

BARS = 130.0  # points: what all bars of a panel are wide together
NAMES = {"warm": "connections opened before", "cold": "connections opened by the load"}


def title(study: Study) -> str:
    """The finding as a sentence."""
    found = frozen(study)
    if not found:
        return "Who waits on a frozen route, by event loop"
    fair, unfair = (pick(found, key=lambda one: one.longest) for pick in (min, max))
    if unfair.longest < SEVERAL * fair.longest:
        return "The same frozen route, the same rate: each loop and kind of connections is about as fair"
    ratio = times(unfair.longest / fair.longest).removeprefix("x")
    loop, _, kind = unfair.name.partition(" ")
    return f"The same route, the same rate: on {loop} with {kind} connections users wait up to {ratio} times as long"


def draw(study: Study) -> Figure | str:
    """A panel per condition, the same axis of time, from zero."""
    found = frozen(study)
    if not found:
        return "The frozen route was not asked on both loops; atonce reproduce --full does."
    level = found[0].level
    parts = f"GET /{Variant.BROKEN_ASYNC}, {level.users} users in a closed loop, a wait of {seconds(found[0].service)} each, all answered"
    figure = canvas(11, 4.2, title(study), method(study, parts, own_conditions=True))
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    high = max(one.longest for one in found)
    for axes, one in zip(panels, found, strict=True):
        panel(axes, one, high)
    fair = level.users * found[0].service
    panels[0].text(0, fair + high * 0.02, f"everybody in turn: {seconds(fair)}", fontsize=8.5, color=INK, va="bottom")
    panels[0].set_ylabel("longest wait of each user, s", fontsize=9.5, color=INK)
    figure.supxlabel(f"each bar is one of the {level.users} users, ordered by their longest wait", fontsize=9.5, color=INK)
    return figure


def panel(axes: Axes, one: Frozen, high: float) -> None:
    """One condition: a bar per user, the fair wait as a line, the numbers in words."""
    waits, fair = one.turns.longest, one.level.users * one.service
    places = [x for i in range(len(waits)) for x in (i, i, math.nan)]
    heights = [y for wait in waits for y in (0.0, wait, math.nan)]
    colour, wide = look(Variant.BROKEN_ASYNC).colour, BARS / max(len(waits), 1)
    axes.plot(places, heights, color=colour, linewidth=wide, solid_capstyle="butt")  # one path: bars would be 100 KB
    axes.axhline(fair, color=INK, alpha=0.7, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.set(xlim=(-1, max(len(waits), 1)), ylim=(0, high * 1.3), xticks=[])
    axes.yaxis.set_major_locator(FixedLocator([one for one in MaxNLocator(6).tick_values(0, high) if one <= high]))
    loop, _, kind = one.name.partition(" ")
    axes.set_title(f"{loop}, {kind}", fontsize=11, color=INK, loc="left", fontweight="bold")
    median = one.turns.latency.quantiles["p50"]
    words = [NAMES[kind], f"{number(one.level.rate)} req/s, median {value(median)}", f"longest wait {seconds(one.longest)}"]
    axes.text(0.02, 0.98, "\n".join(words), transform=axes.transAxes, fontsize=9, color=INK, va="top", linespacing=1.5)
    tidy(axes)


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers."""
    head = ("loop and connections", "req/s", "requests", "mean", "predicted mean")
    return (*head, "p50", "p95", "longest", "answers per user", "starved"), [line(one) for one in frozen(study)]


def line(one: Frozen) -> tuple[str, ...]:
    """One condition's numbers."""
    latency, answers = one.turns.latency, one.turns.answers
    quantiles = [value(latency.quantiles[name]) for name in ("p50", "p95")]
    got = f"{answers[0]} to {answers[-1]}"
    means = (value(latency.mean), seconds(one.turns.predicted_mean))
    hungry = count(one.turns.starved, "user")
    return (
        one.name.replace(" ", ", "),
        number(one.level.rate),
        str(latency.count),
        *means,
        *quantiles,
        value(latency.longest),
        got,
        hungry,
    )
