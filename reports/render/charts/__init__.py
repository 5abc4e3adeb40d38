"""The charts, in page order. Each draws `RunMetrics` into one figure and computes nothing.

To add a chart, write a file that defines `CHART` and name it here.
"""

from importlib import import_module
from typing import Any

from reports.render.charts.model import Chart, ChartTable

__all__ = ["CHARTS", "LESSON_CHARTS", "Chart", "ChartTable"]

AnyChart = Chart[*tuple[Any, ...]]  # whatever the rows of its table are made of
# those of `atonce reproduce`: where one has nothing to show, the page says why
_LESSON_FILES = ("staircase", "served", "latency", "split", "neighbours")
_OTHER_FILES = ("knee", "percentile", "fairness")


def _load_chart(name: str) -> AnyChart:
    chart: AnyChart = import_module(f"reports.render.charts.{name}").CHART
    return chart


LESSON_CHARTS = tuple(map(_load_chart, _LESSON_FILES))
CHARTS = (*LESSON_CHARTS, *map(_load_chart, _OTHER_FILES))
