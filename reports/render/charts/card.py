"""The small picture on the doctor's card: served at once against users, and what an innocent `async` route feels meanwhile."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import count, number, value
from reports.metrics.model import Bystander
from reports.render.charts.style import FOREIGN, INK, tidy, time_ticks, user_ticks
from reports.verdicts.diagnosis import HELD, Case
from reports.verdicts.model import Exam, Look
from results.thresholds import FEW, MANY

SIZE = (5.0, 1.75)  # inches of 72 units: 360 x 126 on the page
LETTERS = 10
SHORTEST, LONGEST = 0.001, 1.0  # seconds that every card has room for


def draw(case: Case) -> Figure | None:
    """Two panels side by side; without a level there is nothing to draw."""
    exam = case.exam
    if exam.top is None or not exam.service:
        return None
    beside = exam.top.beside.get("async")
    asked = beside if beside and beside.idle and beside.loaded else None
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(1, 2, width_ratios=(3, 2)) if asked else [figure.subplots()]
    served(panels[0], exam, case.ruling.places or (exam.workers if case.ruling.verdict in HELD else None))
    if asked:
        felt(panels[1], asked, exam.top)
    return figure


def points(exam: Exam) -> list[tuple[int, float]]:
    """Users and served at once, level by level."""
    return [(users, exam.route.served_at(one.level)) for users, one in sorted(exam.looks.items())]


def served(axes: Axes, exam: Exam, places: int | None) -> None:
    """Both axes log2, the same on every card. Thin: if nobody waited, pauses reckoned with. Dashed: the verdict's places."""
    users, values = zip(*points(exam), strict=True)
    nobody_waits = [n * exam.service / (exam.service + exam.looks[n].think) for n in users]
    most = max(MANY, *users, places or 0)
    axes.plot(users, nobody_waits, color=INK, alpha=0.4, linewidth=1, clip_on=False)
    axes.plot(users, values, color=FOREIGN.colour, marker="o", markersize=5, linewidth=2, clip_on=False)
    axes.annotate(number(values[-1]), (users[-1], values[-1]), (5, 4), textcoords="offset points", **words())
    if places:
        axes.axhline(places, color=INK, alpha=0.6, linewidth=1, linestyle=(0, (4, 3)), clip_on=False)
        x, side = (0.8, "left") if places > 2 else (most * 3, "right")  # noqa: PLR2004 - where the other lines are not
        axes.annotate(count(places, "place"), (x, places), (0, -3), textcoords="offset points", **words(ha=side, va="top"))
    axes.set(xscale="log", yscale="log", xlim=(0.8, most * 3), ylim=(0.4 * min(1, *values), most * 2.5))
    user_ticks(axes.xaxis, (1, FEW, most))
    user_ticks(axes.yaxis, (1, FEW, most))
    finish(axes, "served at once, by users")


def felt(axes: Axes, one: Bystander, look: Look) -> None:
    """p90 alone, hollow, and beside the crowd, on a log axis of time that is the same on every card."""
    assert one.idle and one.loaded  # noqa: S101, PT018 - the caller looked
    ends = (one.idle.low, one.loaded.low)
    plain: dict[str, Any] = {"color": FOREIGN.colour, "markersize": 6, "clip_on": False}
    axes.plot([0, 1], ends, linewidth=2, **plain)
    axes.plot(0, ends[0], "o", markerfacecolor="none", markeredgewidth=1.6, **plain)
    axes.plot(1, ends[1], "o" if one.loaded.exact else "^", **plain)
    axes.annotate(value(one.idle), (0, ends[0]), (0, -7), textcoords="offset points", **words(ha="center", va="top"))
    axes.annotate(value(one.loaded), (1, ends[1]), (0, 6), textcoords="offset points", **words(ha="center"))
    low, high = min(SHORTEST, *ends) / 6, max(LONGEST, *ends) * 6
    axes.set(yscale="log", xlim=(-0.6, 1.6), ylim=(low, high))
    time_ticks(axes.yaxis, low, high)
    axes.set_xticks([0, 1], ["alone", f"{look.level.users} users"])
    finish(axes, "async neighbour, p90")


def words(**more: str) -> dict[str, Any]:
    """How a label is written."""
    return {"fontsize": LETTERS, "color": INK, **more}


def finish(axes: Axes, title: str) -> None:
    """Letters large enough for a small picture."""
    tidy(axes)
    axes.tick_params(labelsize=LETTERS)
    axes.set_title(title, loc="left", fontsize=LETTERS, color=INK)


def told(case: Case) -> str:
    """The picture in words."""
    exam = case.exam
    steps = ", ".join(f"{number(found)} with {count(users, 'user')}" for users, found in points(exam))
    beside = exam.top.beside.get("async") if exam.top else None
    harm = f" The async neighbour's p90: {value(beside.idle)} alone, then {value(beside.loaded)}." if beside else ""
    return f"Served at once: {steps}.{harm}"
