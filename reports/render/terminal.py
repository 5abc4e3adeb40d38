"""The report for a terminal: claims, tables, sentences, trust; the worst last, by the prompt."""

import re
import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reports.checks.model import MISSED
from reports.model import Report, format_outcomes, order_findings
from reports.render.columns import terminal_table
from reports.render.decision_guide import build_guide, summarise_guide
from reports.render.doctor_table import build_doctor_table, finding_lines, unexamined_lines
from reports.render.load_table import (
    DROP_ORDER,
    LOAD_COLUMNS,
    SPARE_COLUMNS,
    build_load_rows,
    describe_unfinished,
)
from reports.render.tables import GOAL_COLUMNS, ROUTE_COLUMNS, ROUTE_DROP_ORDER
from reports.render.tones import colour_text, terminal_colour
from reports.verdicts.load_sentences import compare_with_async
from results.run_info import RunInfo
from results.schema import Status, is_experiment
from results.verdicts import ClaimOutcome

_MAX_TEXT_WIDTH = 100  # columns of running text, in a wider terminal as well
_MAX_PROBLEMS = 8
# spaces at which no line ends: before a unit, and within a route
_NO_BREAK = re.compile(r"(?<=\d) (?=(?:%|ms\b|s\b|req/s))|(?<=[A-Z]) (?=/)")


def print_report(report: Report, console: Console) -> None:
    """Print the whole report."""
    command = report.run_metrics.run.command
    if command == "doctor":
        for line in (*unexamined_lines(report), *finding_lines(report)):
            _print_text(console, line)
        if report.findings:
            console.print(build_doctor_table(report, console.width))
    elif report.run_metrics.is_reproduction:
        _print_lesson(report, console)
    else:
        _print_loads(report, console)
    if report.goals:
        console.print()
        console.print(terminal_table(GOAL_COLUMNS, report.goals, console.width, ()))
    for finding in order_findings(report):
        _print_text(console, f"- {finding.sentence}")
    if text := compare_with_async(report.run_metrics):
        _print_text(console, text)
    if report.goals:
        _print_goal_count(report, console)
    percentile_name = "a p99" if report.run_metrics.is_reproduction else "that percentile"
    level = report.trust.trust_level
    text = f"{report.trust.sentence}; n=...: too few samples for {percentile_name}"
    _print_text(console, f"run: {level} ({text})", level)
    for text in _problem_lines(report):
        _print_text(console, f"  {text}")


def _print_loads(report: Report, console: Console) -> None:
    verdicts = {finding.route.variant: finding.verdict for finding in report.findings}
    if rows := build_load_rows(report.run_metrics, verdicts):
        console.print(terminal_table(LOAD_COLUMNS, rows, console.width, DROP_ORDER, SPARE_COLUMNS))


def _print_goal_count(report: Report, console: Console) -> None:
    missed = [goal.name for goal in report.goals if not goal.is_met]
    text = f"{len(report.goals) - len(missed)} of {len(report.goals)} goals hold"
    _print_text(console, f"{text}; {MISSED}: {', '.join(missed)}" if missed else text, MISSED)


def _print_lesson(report: Report, console: Console) -> None:
    console.print(_claims_table(report))
    _print_text(console, f"claims: {format_outcomes(report) or 'none'}")
    console.print()
    if report.run_metrics.run.command == "reproduce":
        if any(is_experiment(row.variant) for row in build_guide(report)):
            console.print(_guide_block(report))
        console.print(routes_table(report, console.width))


def _print_text(console: Console, text: str, coloured_word: str = "") -> None:
    """Print one paragraph with a hanging indent; code, indented by six, is never wrapped."""
    indent = text[: len(text) - len(text.lstrip())]
    is_code = text.startswith(" " * 6)
    lines = textwrap.wrap(
        _NO_BREAK.sub("\N{NO-BREAK SPACE}", text),
        10_000 if is_code else min(console.width, _MAX_TEXT_WIDTH),
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    paragraph = Text("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "))
    if colour := terminal_colour(coloured_word):
        paragraph.highlight_words([coloured_word], colour)
    console.print(paragraph, highlight=False, soft_wrap=True)


def _problem_lines(report: Report) -> Iterator[str]:
    """Yield what qualifies the numbers, worst first."""
    yield from _incomplete_reasons(report.run_metrics.run)
    for check in report.trust.problem_checks[:_MAX_PROBLEMS]:
        yield f"{check.status}: {check.id} {check.name}, {check.cell}: {check.why}. {check.remedy}"
    for reason in report.trust.unavailable_checks[:_MAX_PROBLEMS]:
        yield f"not possible here: {reason}"
    yield from map(describe_unfinished, report.run_metrics.unfinished_cells)


def _incomplete_reasons(run: RunInfo) -> Iterator[str]:
    if run.status == Status.RUNNING:
        yield "this run was never closed: it is still running, or its driver was killed"
    elif run.status != Status.COMPLETE:
        yield f"this run is not complete: {run.status}"
    yield from run.troubles


def routes_table(report: Report, width: int) -> Table:
    """Build the table with one row per route."""
    return terminal_table(ROUTE_COLUMNS, order_findings(report), width, ROUTE_DROP_ORDER)


def _claims_table(report: Report) -> Table:
    """Return a block per claim; in full where it is the only one, or is not confirmed."""
    table = Table.grid(padding=(0, 2))
    for evaluated in report.claims:
        claim, result = evaluated.claim, evaluated.result
        table.add_row(colour_text(result.outcome), f"[bold]{claim.id}[/]")
        texts = {"predicted": result.predicted, "measured": result.measured}
        is_single = report.run_metrics.run.command == "claims"
        if is_single or result.outcome is not ClaimOutcome.CONFIRMED:
            texts = {"": claim.sentence, **texts, "why": result.why}
        for name, text in texts.items():
            if text != "-":
                table.add_row(name, escape(text))
        table.add_row()
    return table


def _guide_block(report: Report) -> Table:
    """Return the guide in short: the page has it whole."""
    table = Table.grid(padding=(0, 2))
    for question, forms in summarise_guide(build_guide(report)):
        table.add_row("", f"[bold]{escape(question)}[/]")
        for advice, text in forms:
            table.add_row(colour_text(advice), escape(text))
    table.add_row()
    return table
