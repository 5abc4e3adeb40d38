"""A chart: its words, its picture, and its numbers as a table. A chart file defines `CHART`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVarTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.metrics.model import RunMetrics
from reports.render.charts.style import THEME

Row = TypeVarTuple("Row")


@dataclass(frozen=True, slots=True)
class ChartTable:
    """A chart's numbers, for readers who cannot see it and readers who want to copy them."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart(Generic[*Row]):
    """One chart; `caption` begins with the question it answers and has code in backticks.

    `paint` draws the figure, or returns the reason where a run has nothing to show. `columns` are
    the headings of the table, each with the cell that it makes of the parts of a row.
    """

    stem: str
    caption: str
    title: Callable[[RunMetrics], str]
    paint: Callable[[RunMetrics], Figure | str]
    columns: Mapping[str, Callable[[*Row], str]]
    rows: Callable[[RunMetrics], Iterable[tuple[*Row]]]

    def draw(self, run_metrics: RunMetrics) -> Figure | str:
        """Draw the chart in the common style; return the reason if there is nothing to show."""
        with mpl.rc_context(THEME):
            return self.paint(run_metrics)

    def table(self, run_metrics: RunMetrics) -> ChartTable:
        """Build the table of the chart's numbers."""
        cells = self.columns.values()
        rows = [tuple(cell(*row) for cell in cells) for row in self.rows(run_metrics)]
        return ChartTable(tuple(self.columns), rows)
