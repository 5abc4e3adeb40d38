"""The report as one HTML file: from disk, offline, without scripts; all outside text is escaped.

Jinja2 fills `page.html`, the skeleton and the only stylesheet. Charts stand inline as SVG, each
with its numbers in a table, so that nothing hangs on colour, script or network.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.formatting import format_estimate
from reports.model import Report, format_outcomes, order_findings
from reports.render import tables
from reports.render.charts import CHARTS, LESSON_CHARTS, ChartTable, card, svg
from reports.render.charts.style import variant_style
from reports.render.decision_guide import build_guide, group_by
from reports.render.doctor_table import format_place, format_served, format_verdict
from reports.render.load_table import (
    LOAD_COLUMNS,
    NO_NOTE_VERDICTS,
    build_load_rows,
    describe_unfinished,
)
from reports.render.tones import words_by_tone
from reports.render.wait_tree import build_tree
from reports.verdicts.diagnosis import Diagnosis, Finding, examined_findings
from reports.verdicts.load_sentences import compare_with_async
from reports.verdicts.request_time import request_time_parts
from results import formatting
from results.verdicts import Verdict

MAX_CARD_CHARTS = 30  # cards with a chart, the worst; more would make a page too large to open
NO_CHART_VERDICTS = (Verdict.SCALES, Verdict.WRONG_ANSWER, Verdict.UNTRUSTED)
_OVERVIEW_ENDS, _OVERVIEW_TICKS = (0.4, 80.0), (1, 8, 64)  # served at once
_MAX_DESCRIPTION = 2000  # characters that describe a chart to readers who cannot see it
_FORMATTERS = ("format_seconds", "format_number", "format_served_at_once")


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
    functions: tuple[Callable[..., Any], ...] = (
        *(describe_unfinished, variant_style, claim_bars, format_served, format_verdict),
        *(format_estimate, format_place, overview_length, time_bar, build_tree),
    )
    environment.globals |= {name: getattr(formatting, name) for name in _FORMATTERS}
    environment.globals |= {function.__name__: function for function in functions}
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
        statements=group_by(report.claims, lambda item: item.claim.source.partition(";")[0]),
        tally=format_outcomes(report),
        guide=group_by(build_guide(report), lambda row: row.question),
        tables=tables,
        words_by_tone=words_by_tone(),
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
    worst_first = reversed(examined_findings(report.findings))
    rows = [row for row in worst_first if row[0].route.route not in reasons]
    cards = [(*row, _card_chart(*row, number)) for number, row in enumerate(rows, 1)]
    low, high = _OVERVIEW_ENDS
    ticks = [
        (str(tick), 100 * math.log(tick / low) / math.log(high / low)) for tick in _OVERVIEW_TICKS
    ]
    return {"findings": cards, "skipped": reasons, "gates": gates, "overview_ticks": ticks}


def _card_chart(finding: Finding, diagnosis: Diagnosis, number: int) -> Markup | None:
    """Draw the card's chart; none for healthy routes, for what was not measured, and for many."""
    if number > MAX_CARD_CHARTS or finding.verdict in NO_CHART_VERDICTS:
        return None
    if not (figure := card.draw_card(diagnosis)):
        return None
    title = f"{finding.route.route} is {finding.verdict}"
    return _inline_chart(figure, f"card-{number}", title, card.describe_card(diagnosis))


def _inline_chart(figure: Any, stem: str, title: str, description: str) -> Markup:
    # Safe: the SVG is matplotlib's, and matplotlib escapes every text that it draws.
    return Markup(svg.render_inline(figure, stem, title, description))  # noqa: S704


def overview_length(diagnosis: Diagnosis) -> float:
    """Return the length of a route's bar in the overview, in per cent of its log scale."""
    low, high = _OVERVIEW_ENDS
    served = min(max(diagnosis.served_at_once, low), high)
    return 100 * math.log(served / low) / math.log(high / low)


def time_bar(diagnosis: Diagnosis) -> list[tuple[str, str, float, float]]:
    """Return the parts of a request's time: label, share as text, begin and length in per cent."""
    parts = request_time_parts(diagnosis)
    begins = accumulate((share for _, share in parts), initial=0.0)
    return [
        (label, formatting.format_share(share), 100 * begin, 100 * share)
        for (label, share), begin in zip(parts, begins, strict=False)
    ]


def claim_bars(values: tuple[tuple[str, float], ...]) -> list[tuple[str, str, float]]:
    """Return a claim's bars: labels, numbers as text, lengths in per cent of the longest."""
    longest = max(value for _, value in values) or 1
    return [(label, formatting.format_number(x), 100 * x / longest) for label, x in values]


def inline_code(text: str) -> Markup:
    """Escape a text, and set `code` between backticks as code."""
    # Escaped one step before
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _page_charts(report: Report) -> Iterator[_PageChart]:
    """Draw every chart; the verdicts' sentences describe it, or those of single claims."""
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
    # the doctor's overview shows served at once of all routes
    charts = [chart for chart in CHARTS if command != "doctor" or chart.stem != "served"]
    for chart in charts:
        title, figure = chart.title(run_metrics), chart.draw(run_metrics)
        table, is_expected = chart.table(run_metrics), chart in LESSON_CHARTS
        if not isinstance(figure, str):
            picture = _inline_chart(figure, chart.stem, title, description)
            yield _PageChart(chart.stem, chart.caption, picture, "", table)
        elif command == "reproduce" and is_expected:
            yield _PageChart(chart.stem, chart.caption, None, figure, table)
