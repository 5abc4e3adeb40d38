"""The report as one HTML file: from disk, offline, without scripts; all outside text is escaped.

Jinja2 fills `page.html`, the skeleton and the only stylesheet. Charts stand inline as SVG, each
with its numbers in a table, so that nothing hangs on colour, script or network.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports import formatting
from reports.claims.model import EvaluatedClaim
from reports.model import Report, format_outcomes, order_findings
from reports.render import tables
from reports.render.charts import CHARTS, LESSON_CHARTS, ChartTable, card, svg
from reports.render.charts.style import variant_style
from reports.render.decision_guide import build_guide, group_by_question
from reports.render.doctor_table import format_served, format_verdict
from reports.render.load_table import (
    LOAD_COLUMNS,
    NO_NOTE_VERDICTS,
    build_load_rows,
    describe_unfinished,
)
from reports.render.tones import words_by_tone
from reports.verdicts.diagnosis import Diagnosis, Finding, examined_findings
from reports.verdicts.load_sentences import compare_with_async
from results.verdicts import Verdict

MAX_CARD_CHARTS = 30  # cards with a chart, the worst; more would make a page too large to open
NO_CHART_VERDICTS = (Verdict.SCALES, Verdict.WRONG_ANSWER, Verdict.UNTRUSTED)
_MAX_DESCRIPTION = 2000  # characters that describe a chart to readers who cannot see it
_FORMATTERS = ("format_seconds", "format_number", "format_served_at_once", "format_estimate")


@dataclass(frozen=True, slots=True)
class _PageChart:
    """One chart on the page. Without an `svg` the reason stands in its place."""

    stem: str
    question: str
    svg: Markup | None
    reason: str
    table: ChartTable


def render_page(report: Report, gates: Sequence[dict[str, Any]] = ()) -> str:
    """Render the whole page. `gates` are those of a doctor run, as its summary has them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    functions = (describe_unfinished, variant_style, claim_bars, format_served, format_verdict)
    environment.globals.update(
        {name: getattr(formatting, name) for name in _FORMATTERS},
        tables=tables,
        words_by_tone=words_by_tone(),
        **{function.__name__: function for function in functions},
    )
    environment.filters["inline_code"] = inline_code
    run, findings = report.run_metrics.run, order_findings(report)
    verdicts = {finding.route.variant: finding.verdict for finding in findings}
    is_lesson = report.run_metrics.is_reproduction
    loads = [] if is_lesson else build_load_rows(report.run_metrics, verdicts)
    # A note is next to its load: at the end of a long row it is out of sight
    *load_columns, note_column = LOAD_COLUMNS
    if any(load.note for load in loads):
        load_columns.insert(2, note_column)
    return environment.get_template("page.html").render(
        report=report,
        run=run,
        host=run.host,
        pictures=list(_page_charts(report)),
        cards=[
            finding
            for finding in reversed(findings)
            if run.command == "reproduce" or finding.verdict not in NO_NOTE_VERDICTS
        ],
        statements=_group_by_section(report.claims),
        tally=format_outcomes(report),
        guide=group_by_question(build_guide(report)),
        load_columns=load_columns,
        compared=compare_with_async(report.run_metrics),
        loads=loads,
        levels=[(finding, level) for finding in findings for level in finding.route.levels],
        **(_doctor_context(report, gates) if run.command == "doctor" else {}),
    )


def _doctor_context(report: Report, gates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a doctor run adds: findings, worst first, the routes left out, and gates."""
    reasons = {
        entry.route: entry.skipped or entry.unmeasured
        for entry in report.run_metrics.run.routes
        if entry.skipped or entry.is_unreached
    }
    findings = [
        row
        for row in reversed(examined_findings(report.findings))
        if row[0].route.route not in reasons
    ]
    cards = [
        (*row, _card_chart(*row, f"card-{number}") if number <= MAX_CARD_CHARTS else None)
        for number, row in enumerate(findings, 1)
    ]
    return {"findings": cards, "skipped": reasons, "gates": gates}


def _card_chart(finding: Finding, diagnosis: Diagnosis, stem: str) -> Markup | None:
    """Draw the card's chart; none for healthy routes and for what was not measured."""
    figure = None if finding.verdict in NO_CHART_VERDICTS else card.draw_card(diagnosis)
    if not figure:
        return None
    title = f"{finding.route.route} is {finding.verdict}"
    # Safe, as in `_page_charts`
    return Markup(  # noqa: S704
        svg.render_inline(figure, stem, title, card.describe_card(diagnosis))
    )


def _group_by_section(claims: Iterable[EvaluatedClaim]) -> dict[str, list[EvaluatedClaim]]:
    """Return the claims by their section of the lesson, or the first of several."""
    sections: dict[str, list[EvaluatedClaim]] = {}
    for evaluated in claims:
        sections.setdefault(evaluated.claim.source.partition(";")[0], []).append(evaluated)
    return sections


def claim_bars(values: tuple[tuple[str, float], ...]) -> list[tuple[str, str, float]]:
    """Return a claim's bars: labels, numbers as text, lengths in per cent of the longest."""
    max_value = max(value for _, value in values) or 1
    return [
        (label, formatting.format_number(value), 100 * value / max_value) for label, value in values
    ]


def inline_code(text: str) -> Markup:
    """Escape a text, and set `code` between backticks as code."""
    # Escaped one step before
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _page_charts(report: Report) -> Iterator[_PageChart]:
    """Every chart, drawn; described by the verdicts' sentences or, for single claims, by theirs."""
    run_metrics, command = report.charted_metrics, report.run_metrics.run.command
    sentences = [finding.sentence for finding in report.findings]
    if command == "claims":
        sentences = [evaluated.result.measured for evaluated in report.claims]
        # A single user's level gave a claim its service time; one point is no chart
        routes = (
            replace(route, levels=()) if route.top_level and route.top_level.users == 1 else route
            for route in run_metrics.routes
        )
        run_metrics = replace(run_metrics, routes=tuple(routes))
    description = " ".join(sentences)[:_MAX_DESCRIPTION]
    for chart in CHARTS:
        title, figure = chart.title(run_metrics), chart.draw(run_metrics)
        table, is_expected = chart.table(run_metrics), chart in LESSON_CHARTS
        if not isinstance(figure, str):
            # Safe: the SVG is matplotlib's, and matplotlib escapes every text that it draws.
            svg_markup = Markup(  # noqa: S704
                svg.render_inline(figure, chart.stem, title, description)
            )
            yield _PageChart(chart.stem, chart.caption, svg_markup, "", table)
        elif command == "reproduce" and is_expected:
            yield _PageChart(chart.stem, chart.caption, None, figure, table)
