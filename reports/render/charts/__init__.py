"""The pictures, in page order. Each draws a `Study` into one figure and computes nothing: data in, figure out.

A chart that has nothing to show gives the reason instead of an empty frame. `LESSON` names those of `atonce reproduce`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.metrics.model import Study
from reports.render.charts import fairness, knee, latency, neighbours, percentile, served, split, staircase


@dataclass(frozen=True, slots=True)
class Table:
    """A chart's numbers, for those who cannot see it and those who want to copy them."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: its file stem, the question it answers, and its three functions."""

    stem: str
    question: str
    title: Callable[[Study], str]
    draw: Callable[[Study], Figure | str]
    table: Callable[[Study], Table]


def chart(stem: str, question: str, module: object) -> Chart:
    """A chart from a module that has `title`, `draw` and `table`."""
    title, draw, rows = (getattr(module, name) for name in ("title", "draw", "rows"))

    def drawn(study: Study) -> Figure | str:
        with mpl.rc_context({"text.parse_math": False}):  # a dollar in somebody's route is a dollar
            figure: Figure | str = draw(study)
            return figure

    return Chart(stem, question, title, drawn, lambda study: Table(*rows(study)))


LESSON: tuple[Chart, ...] = (
    chart("staircase", "Are my requests served one after another?", staircase),
    chart("served", "How many can it really serve at once?", served),
    chart("latency", "What does a user wait, with how many others?", latency),
    chart("split", "Is it slow, or is it waiting?", split),
    chart("neighbours", "Who else suffers?", neighbours),
)
CHARTS: tuple[Chart, ...] = (
    *LESSON,
    chart("knee", "Where is the knee, and how far am I from it?", knee),
    chart("percentile", "How long is the tail, and what would closed-loop timing hide?", percentile),
    chart("fairness", "Who waits on a frozen route, and who decides that?", fairness),
)
