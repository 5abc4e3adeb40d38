"""The report for a terminal: claims, tables, sentences, trust; the worst last, by the prompt."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reports.checks.model import TrustLevel
from reports.claims.model import ClaimOutcome
from reports.console import fit_columns, plain_table
from reports.formatting import format_estimate, format_seconds, format_served_at_once, format_share
from reports.model import MISSED, Report, format_outcomes, order_findings
from reports.render import doctor_table as doctor
from reports.render.decision_guide import Advice, build_guide, summarise_guide
from reports.render.load_table import (
    LOAD_COLUMNS,
    OVERLOADED,
    build_load_rows,
    describe_unfinished,
    format_quantile,
    visible_columns,
)
from reports.selfcheck import GOAL_COLUMNS as GOALS
from reports.verdicts.load_sentences import compare_with_async
from reports.verdicts.model import Finding, Verdict
from results.schema import Status, is_experiment

_WORD_COLOURS: dict[str, str] = {
    **dict.fromkeys(
        (Verdict.SCALES, TrustLevel.TRUSTED, ClaimOutcome.CONFIRMED, Advice.RECOMMENDED), "green"
    ),
    **dict.fromkeys(
        (Verdict.THREAD_POOL, Verdict.EXECUTOR_POOL, Verdict.POOL_LIMITED, Verdict.GIL_BOUND),
        "yellow",
    ),
    **dict.fromkeys((TrustLevel.SUSPECT, ClaimOutcome.NUANCED, Advice.WORKS), "yellow"),
    **dict.fromkeys(
        (
            Verdict.LOOP_BLOCKED,
            Verdict.LOOP_BUSY,
            Verdict.WRONG_ANSWER,
            Verdict.UNTRUSTED,
            OVERLOADED,
        ),
        "red",
    ),
    **dict.fromkeys((MISSED, TrustLevel.UNTRUSTED, ClaimOutcome.REFUTED, Advice.MISTAKE), "red"),
}

_ROUTE_COLUMNS = [
    "route",
    "served at once",
    "limit",
    "unloaded",
    "users",
    "mean",
    "p50",
    "p99",
    "waiting",
    "neighbour p90",
    "verdict",
]


def print_report(report: Report, console: Console) -> None:
    """Print the whole report."""
    if report.run_metrics.run["command"] == "doctor":
        _print_doctor_report(report, console)
    elif report.run_metrics.is_reproduction:
        console.print(_claims_table(report))
        console.print(
            f"claims: {format_outcomes(report) or 'none was asked for'}\n", highlight=False
        )
    elif rows := build_load_rows(
        report.run_metrics, {item.route.variant: item.verdict for item in report.findings}
    ):
        console.print(_loads_table(rows, console.width))
    if report.run_metrics.run["command"] == "reproduce":
        if any(is_experiment(row.variant) for row in build_guide(report)):
            console.print(_guide_block(report))
        console.print(routes_table(report, console.width))
    if report.goals:
        console.print()
        console.print(_goals_table(report))
    for text in filter(
        None,
        [
            *(f"- {finding.sentence}" for finding in order_findings(report)),
            compare_with_async(report.run_metrics),
        ],
    ):
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if report.goals:
        missed_goals = [item.name for item in report.goals if not item.is_met]
        text = (
            f"; {_colour_word(MISSED)}: {escape(', '.join(missed_goals))}" if missed_goals else ""
        )
        goals_text = (
            f"{len(report.goals) - len(missed_goals)} of {len(report.goals)} goals hold{text}"
        )
        console.print(goals_text, highlight=False, soft_wrap=True)
    percentile_name = "a p99" if report.run_metrics.is_reproduction else "that percentile"
    text = (
        f"run: {_colour_word(report.trust.trust_level)} ({report.trust.sentence}; n=... means too"
        f" few samples for {percentile_name})"
    )
    console.print(text, highlight=False, soft_wrap=True)
    for text in _problem_lines(report):
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)


def _print_doctor_report(report: Report, console: Console) -> None:
    """What was not examined, every finding with its line and remedy, and the table at the end."""
    for line in (*doctor.unexamined_lines(report), *doctor.finding_lines(report)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if report.findings:
        console.print(doctor.build_doctor_table(report, console.width, _WORD_COLOURS))


def _problem_lines(report: Report) -> Iterator[str]:
    """What stands between the reader and the numbers, worst first."""
    yield from _incomplete_reasons(report.run_metrics.run)
    for check in report.trust.problem_checks[:8]:
        yield f"{check.status}: {check.id} {check.name}, {check.cell}: {check.why}. {check.remedy}"
    for reason in report.trust.unavailable_checks[:8]:
        yield f"not possible here: {reason}"
    for unfinished in report.run_metrics.unfinished_cells:
        yield describe_unfinished(unfinished)


def _incomplete_reasons(run: dict[str, Any]) -> Iterator[str]:
    """Why a run did not reach its end."""
    if run["status"] == Status.RUNNING:
        yield "this run was never closed: it is still running, or its driver was killed"
    elif run["status"] != Status.COMPLETE:
        yield f"this run is not whole: it was {run['status']}"
    yield from run["troubles"]


def _colour_word(word: str) -> str:
    return f"[{_WORD_COLOURS[word]}]{word}[/]" if word in _WORD_COLOURS else word


def routes_table(report: Report, width: int) -> Table:
    """One row per route."""
    findings = order_findings(report)
    rows = [
        [finding.route.route, *_route_numbers(finding), str(finding.verdict)]
        for finding in findings
    ]
    keep = fit_columns([_ROUTE_COLUMNS, *rows], width, 1)
    table = plain_table((_ROUTE_COLUMNS[i] for i in keep), ("route", "verdict"))
    for row, finding in zip(rows, findings, strict=True):
        table.add_row(*[escape(row[i]) for i in keep[:-1]], _colour_word(finding.verdict))
    return table


def _loads_table(rows: list[tuple[str, ...]], width: int) -> Table:
    """One row per load; a narrow terminal never loses the route, the load or its p99."""
    keep = visible_columns(rows, width)
    table = plain_table((LOAD_COLUMNS[i] for i in keep), ("route", "load", "note"))
    for row in rows:
        table.add_row(
            *[_colour_word(row[i]) if row[i] in _WORD_COLOURS else escape(row[i]) for i in keep]
        )
    return table


def _route_numbers(finding: Finding) -> Iterator[str]:
    """The numbers of one row; `-` for what this run cannot say."""
    route, top = finding.route, finding.route.top_level
    if (
        finding.verdict is Verdict.UNTRUSTED
        or top is None
        or route.unloaded_mean is None
        or route.served_at_once is None
    ):
        yield from ["-"] * 9
        return
    yield ("" if route.capacity else ">= ") + format_served_at_once(route.served_at_once)
    yield f"{route.expected_concurrency:g}" if route.expected_concurrency else "none"
    yield format_seconds(route.unloaded_mean)
    yield str(top.users)
    yield format_estimate(top.mean)
    yield format_quantile(top, "p50")
    yield format_quantile(top, "p99")
    yield format_share(route.waiting_share or 0)
    neighbour = route.neighbours.get("async")
    yield (
        f"{format_estimate(neighbour.idle)} -> {format_estimate(neighbour.loaded)}"
        if neighbour
        else "-"
    )


def _claims_table(report: Report) -> Table:
    """A block per claim; in full where it was asked for alone, or is not confirmed."""
    table = Table.grid(padding=(0, 2))
    for evaluated in report.claims:
        claim, result = evaluated.claim, evaluated.result
        table.add_row(_colour_word(result.outcome), f"[bold]{claim.id}[/]")
        texts = {"predicted": result.predicted, "measured": result.measured}
        if (
            report.run_metrics.run["command"] == "claims"
            or result.outcome is not ClaimOutcome.CONFIRMED
        ):
            texts = {"": claim.sentence, **texts, "why": result.why}
        for name, text in texts.items():
            if text != "-":
                table.add_row(name, escape(text))
        table.add_row()
    return table


def _guide_block(report: Report) -> Table:
    """The guide in short: the page has it whole."""
    table = Table.grid(padding=(0, 2))
    for question, forms in summarise_guide(build_guide(report)):
        table.add_row("", f"[bold]{escape(question)}[/]")
        for advice, text in forms:
            table.add_row(_colour_word(advice), escape(text))
    table.add_row()
    return table


def _goals_table(report: Report) -> Table:
    """What a self-check should have measured, and what it did."""
    table = plain_table(GOALS, ("goal", ""), wraps="goal")
    for goal in report.goals:
        table.add_row(
            *[_colour_word(word) if word == MISSED else escape(word) for word in goal.row]
        )
    return table
