"""Draws the charts and writes page and summary beside the run."""

import json
from typing import Any

from reports.render.summary import summary
from reports.report import Report
from results.store import put


def write(report: Report) -> dict[str, Any]:
    """Draw the charts, write page and summary; give the summary. The folder is derived and may be deleted."""
    from reports.render.charts import CHARTS, svg  # noqa: PLC0415 - matplotlib is heavy, and most commands do without
    from reports.render.page import page  # noqa: PLC0415

    charts = report.path / "report" / "charts"
    charts.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        figure = chart.draw(report.pictured)
        if not isinstance(figure, str):
            put(charts / f"{chart.stem}.svg", svg.standalone(figure))
            put(charts / f"{chart.stem}.png", svg.png(figure))
    data = summary(report)
    put(charts.parent / "summary.json", (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())
    put(charts.parent / "index.html", page(report).encode())
    return data
