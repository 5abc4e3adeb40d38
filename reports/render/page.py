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
from reports.model import MISSED, Report, format_outcomes, order_findings
from reports.render.charts import CHARTS, LESSON_CHARTS, ChartTable, card, svg
from reports.render.charts.style import variant_style
from reports.render.decision_guide import build_guide, group_by_question
from reports.render.load_table import (
    LOAD_COLUMNS,
    NO_NOTE_VERDICTS,
    build_load_rows,
    describe_unfinished,
    format_quantile,
)
from reports.selfcheck import GOAL_COLUMNS as GOALS
from reports.verdicts.load_sentences import compare_with_async, repeat_label
from reports.verdicts.model import Finding, Verdict, is_unreached, sort_worst_last

MAX_CARD_CHARTS = 30  # cards with a chart, the worst; more would make a page too large to open
NO_CHART_VERDICTS = (Verdict.SCALES, Verdict.WRONG_ANSWER, Verdict.UNTRUSTED)
_MAX_DESCRIPTION = 2000  # characters that describe a chart to those who cannot see it


@dataclass(frozen=True, slots=True)
class _PageChart:
    """One chart on the page. Without an `svg` the reason stands in its place."""

    stem: str
    question: str
    title: str
    svg: Markup | None
    reason: str
    table: ChartTable


def render_page(report: Report, gates: Sequence[dict[str, Any]] = ()) -> str:
    """The whole page. `gates` are those of a doctor run, as its summary has them."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formatters = {
        name: getattr(formatting, name)
        for name in (
            "format_seconds",
            "format_number",
            "format_served_at_once",
            "format_share",
            "format_estimate",
        )
    }
    functions = (format_quantile, describe_unfinished, repeat_label, variant_style, claim_bars)
    environment.globals.update(
        formatters, **{function.__name__: function for function in functions}
    )
    environment.filters["inline_code"] = inline_code
    run, findings = report.run_metrics.run, order_findings(report)
    return environment.get_template("page.html").render(
        report=report,
        run=run,
        host=run.get("host"),
        pictures=list(_page_charts(report)),
        cards=[
            item
            for item in reversed(findings)
            if run["command"] == "reproduce" or item.verdict not in NO_NOTE_VERDICTS
        ],
        statements=_group_by_section(report.claims),
        tally=format_outcomes(report),
        guide=group_by_question(build_guide(report)),
        columns=LOAD_COLUMNS,
        goal_columns=GOALS,
        missed=MISSED,
        compared=compare_with_async(report.run_metrics),
        loads=(
            []
            if report.run_metrics.is_reproduction
            else build_load_rows(
                report.run_metrics, {item.route.variant: item.verdict for item in findings}
            )
        ),
        **_doctor_context(report, gates),
        levels=[(finding, level) for finding in findings for level in finding.route.levels],
    )


def _doctor_context(report: Report, gates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a doctor run adds: its findings, worst first, the routes left out, and its gates."""
    if report.run_metrics.run["command"] != "doctor":
        return {}
    reasons = {
        entry["route"]: entry["skipped"] or entry["unfit"]
        for entry in report.run_metrics.run["routes"]
        if entry["skipped"] or is_unreached(entry)
    }
    skipped = [{"route": route, "skipped": reason} for route, reason in reasons.items()]
    findings = [
        entry
        for entry in reversed(sort_worst_last(report.findings))
        if entry.route.route not in reasons
    ]
    cards = [
        (entry, _card_chart(entry, f"card-{number}") if number <= MAX_CARD_CHARTS else None)
        for number, entry in enumerate(findings, 1)
    ]
    return {"findings": cards, "skipped": skipped, "gates": gates}


def _card_chart(finding: Finding, stem: str) -> Markup | None:
    """The card's chart; none for healthy routes and for what was not measured."""
    figure = None if finding.verdict in NO_CHART_VERDICTS else card.draw_card(finding.diagnosis)
    title = f"{finding.route.route} is {finding.verdict}"
    # Safe, as in `_page_charts`
    return (
        Markup(  # noqa: S704
            svg.render_inline(figure, stem, title, card.describe_card(finding.diagnosis))
        )
        if figure
        else None
    )


def _group_by_section(claims: Iterable[EvaluatedClaim]) -> dict[str, list[EvaluatedClaim]]:
    """The claims by the section of the lesson that they are from, or the first of several."""
    sections: dict[str, list[EvaluatedClaim]] = {}
    for evaluated in claims:
        sections.setdefault(evaluated.claim.source.partition(";")[0], []).append(evaluated)
    return sections


def claim_bars(values: tuple[tuple[str, float], ...]) -> list[tuple[str, str, float]]:
    """A claim's bars: labels, numbers in words, lengths in per cent of the longest, from zero."""
    max_value = max(value for _, value in values) or 1
    return [
        (label, formatting.format_number(value), 100 * value / max_value) for label, value in values
    ]


def inline_code(text: str) -> Markup:
    """Escaped text, with `code` between backticks set as code."""
    # Escaped one step before
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _page_charts(report: Report) -> Iterator[_PageChart]:
    """Every chart, drawn; described by the verdicts' sentences or, for single claims, by theirs."""
    run_metrics, command = report.charted_metrics, report.run_metrics.run["command"]
    sentences = (
        [item.result.measured for item in report.claims]
        if command == "claims"
        else [item.sentence for item in report.findings]
    )
    description = " ".join(sentences)[:_MAX_DESCRIPTION]
    # A single user's level gave a claim its service time; one point is no chart
    if command == "claims":
        routes = (
            replace(item, levels=()) if item.top_level and item.top_level.users == 1 else item
            for item in run_metrics.routes
        )
        run_metrics = replace(run_metrics, routes=tuple(routes))
    for chart in CHARTS:
        title, figure, table = (
            chart.title(run_metrics),
            chart.draw(run_metrics),
            chart.table(run_metrics),
        )
        if isinstance(figure, str) and command == "reproduce" and chart in LESSON_CHARTS:
            yield _PageChart(chart.stem, chart.caption, title, None, figure, table)
        elif not isinstance(figure, str):
            # Safe: the SVG is matplotlib's, and matplotlib escapes every text that it draws.
            svg_markup = Markup(  # noqa: S704
                svg.render_inline(figure, chart.stem, title, description)
            )
            yield _PageChart(chart.stem, chart.caption, title, svg_markup, "", table)
