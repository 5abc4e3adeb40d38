"""The doctor's page: a chart on each accusing card, its own method, the stored page is current."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.lines import Line2D
from msgspec import structs

from reports.model import Report
from reports.render.charts import card
from reports.render.doctor_table import build_doctor_table, finding_lines, unexamined_lines
from reports.render.page import MAX_CARD_CHARTS, NO_CHART_VERDICTS, render_page
from reports.render.summary import build_summary
from reports.verdicts.diagnosis import Diagnosis, Finding, examined_findings
from results.run_info import RouteRecord
from results.verdicts import Verdict
from tests.reports.test_page import BUDGET, Elements

SMALL = r'<figure class="small">(<svg.*?</svg>)</figure>'


@pytest.fixture(scope="module")
def html(example: Report) -> str:
    """The page of the stored examination."""
    return render_page(example, build_summary(example)["gates"])


def test_the_stored_page_is_the_one_that_is_rendered(html: str, example: Report) -> None:
    """Word for word; pictures may differ by what draws them."""
    stored = (example.path / "report" / "index.html").read_text(encoding="utf-8")
    assert re.sub(r"<svg.*?</svg>", "", stored, flags=re.DOTALL) == re.sub(
        r"<svg.*?</svg>", "", html, flags=re.DOTALL
    )


def test_each_card_that_accuses_has_its_picture(html: str, example: Report) -> None:
    """With its numbers in words, and ids of its own; healthy routes have none."""
    cards = re.findall(r'<article class="finding".*?</article>', html, re.DOTALL)
    assert len(example.findings) == len(cards)
    for finding in example.findings:
        [mine] = [text for text in cards if f"<h3><code>{finding.route.route}</code>" in text]
        drawn = re.findall(SMALL, mine, re.DOTALL)
        assert len(drawn) == (finding.verdict not in NO_CHART_VERDICTS)
        for picture in drawn:
            assert f">{finding.route.route} is {finding.verdict}</title>" in picture
            assert re.search(
                r"<desc[^>]*>Served at once: [\d.]+ with 1 user, .* with (8|64) users. "
                r"The async neighbour's p90: ",
                picture,
            )
    ids = [attributes["id"] for _, attributes in Elements(html).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)


def test_a_note_stands_beside_the_verdict_on_every_surface(example: Report) -> None:
    """Page, terminal and summary; healthy routes have theirs as well, and nothing of it accuses."""
    known = [
        structs.replace(entry, notes=[f"It answers <i>, {entry.route}."])
        for entry in example.run_metrics.run.routes
    ]
    entries = {entry.route: entry for entry in known}

    def noted(finding: Finding) -> Finding:
        diagnosis = finding.diagnosis
        assert diagnosis
        return replace(
            finding,
            diagnosis=replace(
                diagnosis,
                evidence=replace(diagnosis.evidence, entry=entries[finding.route.route]),
            ),
        )

    study = replace(example.run_metrics, run=structs.replace(example.run_metrics.run, routes=known))
    report = replace(example, run_metrics=study, findings=tuple(map(noted, example.findings)))
    html, said, data = (
        render_page(report, build_summary(report)["gates"]),
        list(unexamined_lines(report)),
        build_summary(report),
    )
    for before, entry in zip(example.findings, data["routes"], strict=True):
        note = f"It answers <i>, {entry['route']}."
        # another one may say what the agent could not see
        assert (before.verdict, note) == (entry["verdict"], entry["notes"][0])
        assert f"<p>Note: {note.replace('<i>', '&lt;i&gt;')}</p>" in html
        assert f"note: {entry['route']}: {note}" in said


def test_hundreds_of_routes_that_nobody_came_to_are_one_line(example: Report) -> None:
    """No row, paragraph or card for each; the summary has all of them, for gates."""
    names = [f"GET /late/{number}" for number in range(300)]
    late = [
        structs.replace(
            example.run_metrics.run.routes[0], route=name, session="", unmeasured="it did not fit"
        )
        for name in names
    ]
    blank = next(finding for finding in example.findings if finding.verdict is Verdict.SCALES)

    healthy = blank.diagnosis
    assert healthy

    def unreached(entry: RouteRecord) -> Finding:
        route = replace(blank.route, route=entry.route, variant=entry.route)
        case = replace(healthy, route=route, evidence=replace(healthy.evidence, entry=entry))
        return replace(blank, verdict=Verdict.UNKNOWN, route=route, diagnosis=case)

    study = replace(
        example.run_metrics,
        run=structs.replace(
            example.run_metrics.run, routes=[*example.run_metrics.run.routes, *late]
        ),
    )
    report = replace(
        example, run_metrics=study, findings=(*example.findings, *map(unreached, late))
    )
    (line,) = [line for line in unexamined_lines(report) if "/late/" in line]
    assert line == f"not examined: 300, it did not fit: {', '.join(names[:5])} and 295 more"
    assert build_doctor_table(report, 140).row_count == len(example.findings)
    assert not [line for line in finding_lines(report) if "/late/" in line]
    html = render_page(report, build_summary(report)["gates"])
    assert html.count('<article class="finding"') == len(example.findings)
    assert "<li><code>GET /late/299</code>: it did not fit</li>" in html
    assert len(build_summary(report)["routes"]) == len(example.findings) + 300


def diagnosis_of(report: Report, verdict: Verdict) -> Diagnosis:
    """The diagnosis of a route with that verdict."""
    examined = examined_findings(report.findings)
    return next(diagnosis for finding, diagnosis in examined if finding.verdict is verdict)


def heights(line: Line2D) -> list[float]:
    """The heights of a line."""
    return list(np.asarray(line.get_ydata(), float))


def test_a_picture_shows_what_was_measured_and_the_verdicts_places(example: Report) -> None:
    """Levels at their height, no-wait line thin, places dashed; idle and loaded neighbour p90."""
    case = diagnosis_of(example, Verdict.THREAD_POOL)
    figure = card.draw_card(case)
    assert figure
    served, felt = figure.axes
    nobody_waits, measured, places = map(heights, served.lines)
    assert [value for _, value in card.card_points(case.evidence)] == measured
    assert pytest.approx([1, 8, 64]) == nobody_waits
    assert set(places) == {40.0}
    assert case.evidence.top
    beside = case.neighbours[case.evidence.top.users]["async"]
    assert beside.idle
    assert beside.loaded
    assert [beside.idle.low, beside.loaded.low] == heights(felt.lines[0])
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert all(low < value < high for line in axes.lines for value in heights(line))


def test_a_route_without_levels_or_neighbours_is_no_trouble(example: Report) -> None:
    """A crashed route has neither, a black box may have no neighbour."""
    case = diagnosis_of(example, Verdict.LOOP_BLOCKED)
    assert card.draw_card(replace(case, evidence=replace(case.evidence, levels={}))) is None
    alone = replace(case, neighbours={users: {} for users in case.neighbours})
    figure = card.draw_card(alone)
    assert figure
    assert len(figure.axes) == 1
    assert "neighbour" not in card.describe_card(alone)


def test_a_page_of_ill_routes_stays_within_its_budget(html: str) -> None:
    """As many pictures as are drawn at most, each as large as the largest, on as many cards."""
    pictures = [len(picture) for picture in re.findall(SMALL, html, re.DOTALL)]
    cards = [
        len(re.sub(SMALL, "", article, flags=re.DOTALL))
        for article in re.findall(r'<article class="finding".*?</article>', html, re.DOTALL)
    ]
    rest = len(html) - sum(pictures) - sum(cards)
    assert rest + MAX_CARD_CHARTS * max(pictures) + MAX_CARD_CHARTS * max(cards) <= BUDGET


def test_the_method_is_the_doctors_own(html: str, example: Report) -> None:
    """The loop is named; nothing about reproductions, nor about a watchdog where none ran."""
    assert "unknown loop" not in html
    assert "uvloop loop" in html
    assert "empty routes" not in html
    assert "A process of the app serves several routes" in html
    assert "with a watchdog inside" in html
    app_under_test = structs.replace(example.run_metrics.run.app, how="url")
    outside = render_page(
        replace(
            example,
            run_metrics=replace(
                example.run_metrics,
                run=structs.replace(example.run_metrics.run, app=app_under_test),
            ),
        )
    )
    assert "One running app, whose routes" in outside
    assert "with a watchdog inside" not in outside
