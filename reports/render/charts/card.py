"""The doctor's card: served at once against users, and the `async` neighbour's p90."""

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_estimate
from reports.metrics.model import NeighbourMetrics
from reports.render.charts import style
from reports.verdicts.diagnosis import Diagnosis
from results.formatting import format_count, format_number
from results.judgement.model import RouteEvidence
from results.thresholds import FEW_USERS, MANY_USERS
from results.verdicts import LOOP_VERDICTS

_CARD_INCHES = (5.0, 1.75)  # inches of 72 units: 360 x 126 on the page
_FONT_SIZE = 10  # letters large enough for a small picture
_CARD_THEME: dict[Any, Any] = {
    "font.size": _FONT_SIZE,
    "axes.titlesize": _FONT_SIZE,
    "axes.titleweight": "normal",
}
_MIN_AXIS_SECONDS, _MAX_AXIS_SECONDS = 0.001, 1.0  # seconds that every card has room for
_LEAST_SERVED = 0.1  # what the axis shows of a route that answers nothing
_MANY_PLACES = 2  # a line above so many places leaves room for its label on the left


@mpl.rc_context({**style.THEME, **_CARD_THEME})
def draw_card(diagnosis: Diagnosis) -> Figure | None:
    """Draw two panels, the second only if the neighbour's p90s are known; None without a level."""
    evidence = diagnosis.evidence
    if evidence.top is None or not evidence.unloaded.mean:
        return None
    figure = Figure(figsize=_CARD_INCHES, layout="constrained")
    neighbour = diagnosis.neighbours[evidence.top.users].get("async")
    if neighbour and neighbour.idle and neighbour.loaded:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_neighbour_panel(right, neighbour, evidence.top.users)
    else:
        left = figure.subplots()
    rule_result = diagnosis.rule_result
    loop_places = evidence.workers if rule_result.verdict in LOOP_VERDICTS else None
    _draw_served_panel(left, evidence, rule_result.concurrency or loop_places)
    return figure


def card_points(evidence: RouteEvidence) -> list[tuple[int, float]]:
    """Return users and served at once, level by level."""
    return [(users, evidence.served_at(level)) for users, level in sorted(evidence.levels.items())]


def _draw_served_panel(axes: Axes, evidence: RouteEvidence, concurrency: int | None) -> None:
    """Draw both axes log2, alike on all cards.

    Thin: if no user waited, pauses included. Dashed: the verdict's places.
    """
    users, values = zip(*card_points(evidence), strict=True)
    heights = [max(value, _LEAST_SERVED) for value in values]  # a log axis has no zero
    unloaded_mean = evidence.unloaded.mean
    unqueued_counts = [
        n * unloaded_mean / (unloaded_mean + evidence.levels[n].think_time) for n in users
    ]
    max_users = max(MANY_USERS, *users, concurrency or 0)
    axes.plot(users, unqueued_counts, color=style.INK, alpha=0.4, linewidth=1, clip_on=False)
    dots: dict[str, Any] = {"color": style.NEUTRAL_COLOUR, "marker": "o", "markersize": 5}
    axes.plot(users, heights, **dots, linewidth=2, clip_on=False)
    style.label_point(axes, format_number(values[-1]), (users[-1], heights[-1]), (5, 4))
    if concurrency:
        dashed: dict[str, Any] = {"linewidth": 1, "linestyle": (0, (4, 3)), "clip_on": False}
        axes.axhline(concurrency, color=style.INK, alpha=0.6, **dashed)
        # Where the other lines are not
        x, side = (0.8, "left") if concurrency > _MANY_PLACES else (max_users * 3, "right")
        places = format_count(concurrency, "place")
        style.label_point(axes, places, (x, concurrency), (0, -3), ha=side, va="top")
    axes.set(xscale="log", yscale="log")
    axes.set(xlim=(0.8, max_users * 3), ylim=(0.4 * min(1, *heights), max_users * 2.5))
    for axis in (axes.xaxis, axes.yaxis):
        style.set_user_ticks(axis, (1, FEW_USERS, max_users))
    style.tidy_axes(axes, "served at once, by users")
    axes.tick_params(labelsize=_FONT_SIZE)


def _draw_neighbour_panel(axes: Axes, neighbour: NeighbourMetrics, users: int) -> None:
    """Draw p90 alone, hollow, and with the crowd, on a log axis of time, alike on all cards."""
    assert neighbour.idle and neighbour.loaded  # noqa: S101, PT018 - the caller checked
    idle, loaded = neighbour.idle.low, neighbour.loaded.low
    dots: dict[str, Any] = {"color": style.NEUTRAL_COLOUR, "markersize": 6, "clip_on": False}
    axes.plot([0, 1], [idle, loaded], linewidth=2, **dots)
    axes.plot(0, idle, "o", markerfacecolor="none", markeredgewidth=1.6, **dots)
    axes.plot(1, loaded, "o" if neighbour.loaded.exact else "^", **dots)
    centre: dict[str, Any] = {"ha": "center"}
    style.label_point(axes, format_estimate(neighbour.idle), (0, idle), (0, -7), va="top", **centre)
    style.label_point(axes, format_estimate(neighbour.loaded), (1, loaded), (0, 6), **centre)
    low, high = min(_MIN_AXIS_SECONDS, idle, loaded) / 6, max(_MAX_AXIS_SECONDS, idle, loaded) * 6
    axes.set(yscale="log", xlim=(-0.6, 1.6), ylim=(low, high))
    style.set_time_ticks(axes.yaxis, low, high)
    axes.set_xticks([0, 1], ["alone", f"{users} users"])
    style.tidy_axes(axes, "async neighbour, p90")
    axes.tick_params(labelsize=_FONT_SIZE)


def describe_card(diagnosis: Diagnosis) -> str:
    """Return the card's chart in words."""
    evidence = diagnosis.evidence
    served_texts = ", ".join(
        f"{format_number(count)} with {format_count(users, 'user')}"
        for users, count in card_points(evidence)
    )
    top = evidence.top
    neighbour = diagnosis.neighbours[top.users].get("async") if top else None
    neighbour_text = (
        f" The async neighbour's p90: {format_estimate(neighbour.idle)} alone, then"
        f" {format_estimate(neighbour.loaded)}."
        if neighbour
        else ""
    )
    return f"Served at once: {served_texts}.{neighbour_text}"
