"""The doctor's card: served at once against users, and the `async` neighbour's p90."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import format_count, format_estimate, format_number
from reports.metrics.model import NeighbourMetrics
from reports.render.charts.style import (
    INK,
    NEUTRAL_STYLE,
    set_time_ticks,
    set_user_ticks,
    tidy_axes,
)
from reports.verdicts.diagnosis import Diagnosis
from reports.verdicts.model import LevelEvidence, RouteEvidence
from results.thresholds import FEW_USERS, MANY_USERS
from results.verdicts import LOOP_VERDICTS

_CARD_INCHES = (5.0, 1.75)  # inches of 72 units: 360 x 126 on the page
_LABEL_FONT_SIZE = 10
_MIN_AXIS_SECONDS, _MAX_AXIS_SECONDS = 0.001, 1.0  # seconds that every card has room for


def draw_card(diagnosis: Diagnosis) -> Figure | None:
    """Two panels side by side; without a level there is nothing to draw."""
    evidence = diagnosis.evidence
    if evidence.top is None or not evidence.unloaded_mean:
        return None
    neighbour = evidence.top.neighbours.get("async")
    complete_neighbour = neighbour if neighbour and neighbour.idle and neighbour.loaded else None
    figure = Figure(figsize=_CARD_INCHES, layout="constrained")
    panels = (
        figure.subplots(1, 2, width_ratios=(3, 2)) if complete_neighbour else [figure.subplots()]
    )
    _draw_served_panel(
        panels[0],
        evidence,
        diagnosis.rule_result.concurrency
        or (evidence.workers if diagnosis.rule_result.verdict in LOOP_VERDICTS else None),
    )
    if complete_neighbour:
        _draw_neighbour_panel(panels[1], complete_neighbour, evidence.top)
    return figure


def card_points(evidence: RouteEvidence) -> list[tuple[int, float]]:
    """Users and served at once, level by level."""
    return [
        (users, evidence.route.served_at_level(level.metrics))
        for users, level in sorted(evidence.levels.items())
    ]


def _draw_served_panel(axes: Axes, evidence: RouteEvidence, concurrency: int | None) -> None:
    """Both axes log2, alike on all cards.

    Thin: if no user waited, pauses included. Dashed: the verdict's places.
    """
    users, values = zip(*card_points(evidence), strict=True)
    unqueued_counts = [
        n * evidence.unloaded_mean / (evidence.unloaded_mean + evidence.levels[n].think_time)
        for n in users
    ]
    max_users = max(MANY_USERS, *users, concurrency or 0)
    axes.plot(users, unqueued_counts, color=INK, alpha=0.4, linewidth=1, clip_on=False)
    axes.plot(
        users,
        values,
        color=NEUTRAL_STYLE.colour,
        marker="o",
        markersize=5,
        linewidth=2,
        clip_on=False,
    )
    axes.annotate(
        format_number(values[-1]),
        (users[-1], values[-1]),
        (5, 4),
        textcoords="offset points",
        **_label_style(),
    )
    if concurrency:
        axes.axhline(
            concurrency, color=INK, alpha=0.6, linewidth=1, linestyle=(0, (4, 3)), clip_on=False
        )
        # Where the other lines are not
        x, side = (0.8, "left") if concurrency > 2 else (max_users * 3, "right")  # noqa: PLR2004
        axes.annotate(
            format_count(concurrency, "place"),
            (x, concurrency),
            (0, -3),
            textcoords="offset points",
            **_label_style(ha=side, va="top"),
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(0.8, max_users * 3),
        ylim=(0.4 * min(1, *values), max_users * 2.5),
    )
    set_user_ticks(axes.xaxis, (1, FEW_USERS, max_users))
    set_user_ticks(axes.yaxis, (1, FEW_USERS, max_users))
    _finish_card_panel(axes, "served at once, by users")


def _draw_neighbour_panel(axes: Axes, neighbour: NeighbourMetrics, level: LevelEvidence) -> None:
    """p90 alone, hollow, and beside the crowd, on a log axis of time, alike on all cards."""
    assert neighbour.idle and neighbour.loaded  # noqa: S101, PT018 - the caller checked
    p90_pair = (neighbour.idle.low, neighbour.loaded.low)
    dot_style: dict[str, Any] = {"color": NEUTRAL_STYLE.colour, "markersize": 6, "clip_on": False}
    axes.plot([0, 1], p90_pair, linewidth=2, **dot_style)
    axes.plot(0, p90_pair[0], "o", markerfacecolor="none", markeredgewidth=1.6, **dot_style)
    axes.plot(1, p90_pair[1], "o" if neighbour.loaded.exact else "^", **dot_style)
    axes.annotate(
        format_estimate(neighbour.idle),
        (0, p90_pair[0]),
        (0, -7),
        textcoords="offset points",
        **_label_style(ha="center", va="top"),
    )
    axes.annotate(
        format_estimate(neighbour.loaded),
        (1, p90_pair[1]),
        (0, 6),
        textcoords="offset points",
        **_label_style(ha="center"),
    )
    low, high = min(_MIN_AXIS_SECONDS, *p90_pair) / 6, max(_MAX_AXIS_SECONDS, *p90_pair) * 6
    axes.set(yscale="log", xlim=(-0.6, 1.6), ylim=(low, high))
    set_time_ticks(axes.yaxis, low, high)
    axes.set_xticks([0, 1], ["alone", f"{level.metrics.users} users"])
    _finish_card_panel(axes, "async neighbour, p90")


def _label_style(**overrides: str) -> dict[str, Any]:
    """How a label is written."""
    return {"fontsize": _LABEL_FONT_SIZE, "color": INK, **overrides}


def _finish_card_panel(axes: Axes, title: str) -> None:
    """Letters large enough for a small picture."""
    tidy_axes(axes)
    axes.tick_params(labelsize=_LABEL_FONT_SIZE)
    axes.set_title(title, loc="left", fontsize=_LABEL_FONT_SIZE, color=INK)


def describe_card(diagnosis: Diagnosis) -> str:
    """The card's chart in words."""
    evidence = diagnosis.evidence
    served_texts = ", ".join(
        f"{format_number(served_count)} with {format_count(users, 'user')}"
        for users, served_count in card_points(evidence)
    )
    neighbour = evidence.top.neighbours.get("async") if evidence.top else None
    neighbour_text = (
        f" The async neighbour's p90: {format_estimate(neighbour.idle)} alone, then"
        f" {format_estimate(neighbour.loaded)}."
        if neighbour
        else ""
    )
    return f"Served at once: {served_texts}.{neighbour_text}"
