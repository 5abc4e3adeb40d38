"""Page and charts: offline, escaped, reproducible, readable without scripts or colours."""

import copy
import dataclasses
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch
from rich.console import Console

from reports.console import ProgressDisplay
from reports.metrics.model import RunMetrics
from reports.model import Report
from reports.render.charts import CHARTS, LESSON_CHARTS, staircase, svg
from reports.render.charts.style import VARIANT_STYLES, spread_labels
from reports.render.output import write_report_files
from reports.render.page import claim_bars, render_page
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from results.schema import Status, Variant
from results.verdicts import ClaimOutcome
from scenarios.plans.model import quick_plan
from scenarios.plans.reproduce import plan_for_claims
from tests.support import simulate_run as simulate

BUDGET = 600_000  # bytes of the whole page
CHART_BUDGET = 60_000


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element."""
        self.elements.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def html(honest: Report) -> str:
    """The page of the clean simulated run."""
    return render_page(honest)


def test_the_page_needs_nothing_from_outside(html: str) -> None:
    """No script, style attribute or data: picture; only relative addresses and its own anchors."""
    for tag, attributes in Elements(html).elements:
        assert tag not in {"script", "link", "iframe", "img", "object"}
        assert "style" not in attributes
        for name in ("src", "href", "xlink:href"):
            address = attributes.get(name) or ""
            assert "//" not in address
            assert not address.startswith("data:")
    assert "@import" not in html
    assert "url(http" not in html


def test_ids_are_unique_and_every_reference_resolves(html: str) -> None:
    """Matplotlib repeats its ids in every chart; the page must not."""
    ids = [attributes["id"] for _, attributes in Elements(html).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) | set(
        re.findall(r'href="#([^"]+)"', html)
    ) <= set(ids)


def test_the_page_fits_its_budget(html: str) -> None:
    """600 KB for the page; a chart is a tenth of that at most."""
    assert len(html.encode()) <= BUDGET
    assert (
        max(len(chart) for chart in re.findall(r"<svg.*?</svg>", html, re.DOTALL)) <= CHART_BUDGET
    )


def test_every_chart_has_title_description_and_table(html: str) -> None:
    """For readers that cannot see the chart or print the page."""
    charts = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(LESSON_CHARTS) == len(charts)
    for chart in charts:
        assert re.search(r"<svg[^>]*role=\"img\"[^>]*aria-labelledby=", chart)
        assert re.search(r"<title[^>]*>[^<]+</title><desc[^>]*>[^<]+</desc>", chart)
        assert "<table>" in chart
        assert 'scope="col"' in chart


def test_the_verdict_comes_first_and_is_written_out(html: str, honest: Report) -> None:
    """Trust in the header, every sentence and every claim in plain HTML."""
    assert "trusted" in html[: html.index("<main>")]
    for finding in honest.findings:
        assert f"{finding.route.top_level.users if finding.route.top_level else 0} users" in html
    for evaluated in honest.claims:
        assert evaluated.claim.id in html


def test_what_comes_from_outside_is_escaped(honest: Report) -> None:
    """A hostile machine name stays text."""
    hostile = copy.deepcopy(honest)
    hostile.run_metrics.run.machine.cpu = "<script>alert(1)</script>"
    hostile.run_metrics.run.troubles = ["<img src=x onerror=alert(1)>"]
    hostile.run_metrics.run.status = Status.FAILED
    text = render_page(hostile)
    assert "<script>" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_the_same_run_gives_the_same_bytes(honest: Report, html: str) -> None:
    """Page, the charts in it, and a chart of its own depend on the run alone."""
    assert html == render_page(honest)
    first, second = (LESSON_CHARTS[0].draw(honest.run_metrics) for _ in range(2))
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    assert svg.render_standalone(first) == svg.render_standalone(second)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
def test_an_empty_chart_says_why(chart: object, honest: Report) -> None:
    """Never an empty frame."""
    nothing = RunMetrics(honest.run_metrics.run, (), (), ())
    reason = chart.draw(nothing)  # type: ignore[attr-defined]
    assert isinstance(reason, str)
    assert reason.endswith(".")
    assert chart.title(nothing)  # type: ignore[attr-defined]


def test_the_staircase_draws_handler_moments_not_answers(tmp_path: Path) -> None:
    """All answers of the burst leave together; the coloured bars still begin and end in turn."""
    report = build_report(simulate.write(tmp_path, simulate.World(hold_answers=True)))
    figure = staircase.CHART.draw(report.run_metrics)
    assert not isinstance(figure, str)
    bars = next(
        patch
        for patch in figure.axes[0].patches
        if patch.get_facecolor() == to_rgba(VARIANT_STYLES[Variant.BROKEN_ASYNC].colour)
    )
    assert isinstance(bars, PathPatch)
    corners = np.asarray(bars.get_path().vertices)
    assert len(corners) == 5 * 20
    begins, ends = corners[0::5, 0], corners[1::5, 0]
    assert ends - begins == pytest.approx([0.1] * 20)
    assert begins[1:] == pytest.approx(ends[:-1])


@pytest.mark.parametrize("cells", [2, 4, 6])
def test_a_run_that_was_cut_short_is_drawn_without_a_complaint(tmp_path: Path, cells: int) -> None:
    """A single variant, a single level: matplotlib's warnings are errors here."""
    whole = quick_plan(0.1)
    act = dataclasses.replace(whole.sessions[0], cells=whole.sessions[0].cells[:cells])
    report = build_report(
        simulate.write(tmp_path, simulate.World(plan=dataclasses.replace(whole, sessions=(act,))))
    )
    assert render_page(report)


def test_writing_leaves_page_charts_and_summary(honest: Report, tmp_path: Path) -> None:
    """SVG and PNG of each chart; nothing outside `report/`."""
    path = tmp_path / "run"
    path.mkdir()
    moved = Report(path, honest.run_metrics, honest.trust, honest.findings, honest.claims)
    write_report_files(moved)
    files = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    pictures = {
        f"report/charts/{chart.stem}.{kind}" for chart in LESSON_CHARTS for kind in ("svg", "png")
    }
    assert {"report/index.html", "report/summary.json", *pictures} == files
    assert (path / "report/charts/served.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run of two claims, on the stairs of a burst and on experiments; a third lacks a part."""

    def facts(run: dict[str, object]) -> None:
        run.update(claims=["serial-queue", "gather-overlaps"])

    needs = {
        "burst/broken-async/",
        "crowd/broken-async/1",
        "crowd/async gather/",
        "crowd/async in-turn/",
    }
    path = simulate.write(
        tmp_path_factory.mktemp("single"), simulate.World(plan=plan_for_claims(needs), facts=facts)
    )
    report = build_report(path)
    report.run_metrics.run.command = "claims"
    lacking = dataclasses.replace(
        report.claims[0].result,
        predicted="-",
        measured="-",
        outcome=ClaimOutcome.UNTESTED,
        why="pip install 'atonce[lab]' <b>",
    )
    return dataclasses.replace(
        report, claims=(*report.claims, dataclasses.replace(report.claims[0], result=lacking))
    )


def test_a_run_of_single_claims_shows_them_and_nothing_empty(single: Report) -> None:
    """No route without a crowd, no empty section; whole claims, with the install line."""
    text = render_page(single)
    assert "What the lesson says, measured" in text
    assert not re.search(r"<tbody>\s*</tbody>|<ul>\s*</ul>", text)
    assert 'aria-label="verdicts"' not in text
    assert 'aria-label="guide"' not in text
    assert 'id="verdicts"' in text
    assert re.findall(r'<figure id="chart-(\w+)"', text) == ["staircase"]
    assert re.search(r"<desc[^>]*>19 of 19 began", text)
    assert "&lt;b&gt;" in text
    out = StringIO()
    print_report(single, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    blocks = lines[: next(i for i, line in enumerate(lines) if line.startswith("run: "))]
    assert max(map(len, blocks)) <= 80
    assert [line.split()[1] for line in blocks if line.startswith(tuple(ClaimOutcome))] == [
        evaluated.claim.id for evaluated in single.claims
    ]
    assert any("pip install 'atonce[lab]'" in line for line in blocks)
    assert "claims: 2 confirmed, 1 untested" in blocks
    assert not any("GET /" in line or line.startswith("route") for line in blocks)


def test_a_claim_has_its_small_picture(single: Report) -> None:
    """Labels and numbers are text, lengths are attributes; the summary has the same."""
    wanted = claim_bars(
        next(evaluated.result.bars for evaluated in single.claims if evaluated.result.bars)
    )
    words = ", ".join(f"{label}: {shown}" for label, shown, _ in wanted)
    assert f'<div class="bars" role="img" aria-label="{words}">' in render_page(single)
    assert [label for label, *_ in wanted] == ["gather", "in turn"]
    stored = {claim["id"]: claim["bars"] for claim in build_summary(single)["claims"]}
    assert [bar["label"] for bar in stored["gather-overlaps"]] == ["gather", "in turn"]
    hostile = dataclasses.replace(
        single.claims[1].result, bars=(('<script>x</script>" onload=', 1.0),)
    )
    text = render_page(
        dataclasses.replace(single, claims=(dataclasses.replace(single.claims[1], result=hostile),))
    )
    assert "<script>" not in text
    assert 'onload="' not in text


def test_the_time_left_is_said_in_minutes_while_it_is_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line per step where there is no terminal; seconds at the end."""
    progress = ProgressDisplay(1500.0, quiet=False)
    progress.lines = True
    for step, done in (("first", 0.0), ("middle", 780.0), ("last", 1410.0), ("over", 1600.0)):
        progress.on_progress(step, done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "about 25 min left  first",
        "about 12 min left  middle",
        "about  90 s left  last",
        "about   0 s left  over",
    ]


@pytest.mark.parametrize(
    ("values", "lengths"), [((1.0, 2.0), (50, 100)), ((0.0, 4.0), (0, 100)), ((0.0,), (0,))]
)
def test_bars_begin_at_zero(values: tuple[float, ...], lengths: tuple[float, ...]) -> None:
    """In per cent of the longest."""
    assert (
        tuple(length for *_, length in claim_bars(tuple(("x", value) for value in values)))
        == lengths
    )


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", ["#ffffff", "#0f1419"])
@pytest.mark.parametrize("variant", list(Variant))
def test_every_colour_stands_out_on_light_and_dark(variant: Variant, ground: str) -> None:
    """3:1 for graphics; and no two variants share a colour or a marker."""
    pair = sorted([luminance(VARIANT_STYLES[variant].colour), luminance(ground)])
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3
    assert (
        len(VARIANT_STYLES)
        == len({style.colour for style in VARIANT_STYLES.values()})
        == len({style.marker for style in VARIANT_STYLES.values()})
    )


def test_labels_are_moved_apart_and_keep_their_order() -> None:
    """Three labels at the same height end a gap apart; the middle label stays."""
    assert pytest.approx(sorted(spread_labels([0.5, 0.5, 0.5], 0.5)), abs=1e-6) == [0.0, 0.5, 1.0]
    assert spread_labels([3.0, 1.0], 0.5) == [3.0, 1.0]
