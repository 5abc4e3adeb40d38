"""Route names in any script: no chart complains of a missing glyph, and its SVG has the text."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure

from reports.model import Report
from reports.render.charts import CHARTS, svg
from tests.support.cli import Here
from tests.support.simulate_loads import Server, crowd
from tests.support.simulate_loads import write as simulated

KNOWN, STRANGE = "GET /поиск", ("GET /订单/查询", "GET /🍕", "GET /ค้นหา", "GET /खोज")


def chart_of(report: Report, name: str) -> Figure:
    """Served at once, of a route of that name."""
    served = next(chart for chart in CHARTS if chart.stem == "served")
    figure = served.draw(
        replace(
            report.run_metrics,
            routes=(replace(report.run_metrics.routes[0], route=name, variant=name),),
        )
    )
    assert isinstance(figure, Figure)
    return figure


def words_of(picture: str | bytes) -> str:
    """What its text elements say."""
    root = ET.fromstring(picture)  # noqa: S314 - our own
    return " ".join(
        "".join(element.itertext()) for element in root.iter(f"{{{svg.SVG_NAMESPACE}}}text")
    )


@pytest.mark.parametrize("name", [KNOWN, *STRANGE])
def test_a_name_in_any_script_is_text_in_the_page_and_in_its_file(
    honest: Report, name: str
) -> None:
    """Quietly: a warning fails this test. Letters become paths only if the font has them all."""
    figure = chart_of(honest, name)
    assert name in words_of(svg.render_inline(figure, "served", "title", "words"))
    assert svg.render_png(figure).startswith(b"\x89PNG")
    alone = words_of(svg.render_standalone(figure))
    assert (name in alone) is (name in STRANGE)
    assert not alone or name in STRANGE


def test_a_report_of_such_a_route_says_nothing_on_stderr(tmp_path: Path, here: Here) -> None:
    """The command line, on a stored run whose route is renamed."""
    path = simulated(tmp_path, [crowd(1, 5.0), crowd(8, 5.0)], Server(places=4))
    facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
    for cell in facts["plan"]["cells"]:
        cell.update(route=STRANGE[0], variant=STRANGE[0])
    (path / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as for a person
        shown = here("report", str(path))
    assert shown.stderr == ""
    assert STRANGE[0] in shown.stdout
    page, chart = path / "report" / "index.html", path / "report" / "charts" / "served.svg"
    assert STRANGE[0] in page.read_text(encoding="utf-8")
    assert STRANGE[0] in words_of(chart.read_bytes())
