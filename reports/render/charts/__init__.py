"""The charts, in page order. Each draws `RunMetrics` into one figure and computes nothing.

A chart that has nothing to show gives the reason instead of an empty frame. `LESSON_CHARTS` names
those of `atonce reproduce`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.metrics.model import RunMetrics
from reports.render.charts import (
    fairness,
    knee,
    latency,
    neighbours,
    percentile,
    served,
    split,
    staircase,
)


@dataclass(frozen=True, slots=True)
class ChartTable:
    """A chart's numbers, for those who cannot see it and those who want to copy them."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: its file stem, the question it answers, and its three functions."""

    stem: str
    question: str
    title: Callable[[RunMetrics], str]
    draw: Callable[[RunMetrics], Figure | str]
    table: Callable[[RunMetrics], ChartTable]


def _create_chart(stem: str, question: str, module: object) -> Chart:
    """A chart from a module that has `title`, `draw` and `rows`."""
    title, draw, rows = (getattr(module, name) for name in ("title", "draw", "rows"))

    def draw_without_math(run_metrics: RunMetrics) -> Figure | str:
        with mpl.rc_context({"text.parse_math": False}):  # a dollar in a route's name is a dollar
            figure: Figure | str = draw(run_metrics)
            return figure

    return Chart(
        stem, question, title, draw_without_math, lambda run_metrics: ChartTable(*rows(run_metrics))
    )


LESSON_CHARTS: tuple[Chart, ...] = (
    _create_chart("staircase", "Are my requests served one after another?", staircase),
    _create_chart("served", "How many can it really serve at once?", served),
    _create_chart("latency", "What does a user wait, with how many others?", latency),
    _create_chart("split", "Is it slow, or is it waiting?", split),
    _create_chart("neighbours", "Who else suffers?", neighbours),
)
CHARTS: tuple[Chart, ...] = (
    *LESSON_CHARTS,
    _create_chart("knee", "Where is the knee, and how far am I from it?", knee),
    _create_chart(
        "percentile", "How long is the tail, and what would closed-loop timing hide?", percentile
    ),
    _create_chart("fairness", "Who waits on a frozen route, and who decides that?", fairness),
)
