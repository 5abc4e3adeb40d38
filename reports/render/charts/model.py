"""A chart: its words, its picture, and its numbers as a table. A chart file defines `CHART`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVarTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.metrics.model import RunMetrics
from reports.render.charts.style import THEME

Row = TypeVarTuple("Row")
Columns = Mapping[str, Callable[[*Row], str]]  # each heading, and its cell made of a row's parts


@dataclass(frozen=True, slots=True)
class ChartTable:
    """A chart's numbers, for readers who cannot see it and readers who want to copy them."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def build_table(columns: Columns[*Row], rows: Iterable[tuple[*Row]]) -> ChartTable:
    """Build a table with one line per row, and one cell per column."""
    return ChartTable(
        tuple(columns), [tuple(cell(*row) for cell in columns.values()) for row in rows]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart; `caption` begins with the question it answers and has code in backticks.

    `paint` draws the figure, or returns the reason where a run has nothing to show.
    """

    stem: str
    caption: str
    title: Callable[[RunMetrics], str]
    paint: Callable[[RunMetrics], Figure | str]
    table: Callable[[RunMetrics], ChartTable]

    def draw(self, run_metrics: RunMetrics) -> Figure | str:
        """Draw the chart in the common style; return the reason if there is nothing to show."""
        with mpl.rc_context(THEME):
            return self.paint(run_metrics)
