"""The report for a terminal: claims, one table of routes or loads, one sentence each, trust; the worst last, by the prompt."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reports.checks.model import Belief
from reports.claims.model import Outcome
from reports.console import grid, narrowed
from reports.formatting import places, seconds, share, value
from reports.model import MISSED, Report, ordered, tally
from reports.render import doctor_table as doctor
from reports.render.decision_guide import Advice, brief, guide
from reports.selfcheck import COLUMNS as GOALS
from reports.verdicts.load_table import COLUMNS as LOADS
from reports.verdicts.load_table import OVERLOADED, columns_for, compared, loads, quantile, stopped
from reports.verdicts.model import Finding, Verdict
from results.schema import Status, is_experiment

LOUD: dict[str, str] = {
    **dict.fromkeys((Verdict.SCALES, Belief.TRUSTED, Outcome.CONFIRMED, Advice.RECOMMENDED), "green"),
    **dict.fromkeys((Verdict.THREAD_POOL, Verdict.EXECUTOR_POOL, Verdict.POOL_LIMITED, Verdict.GIL_BOUND), "yellow"),
    **dict.fromkeys((Belief.SUSPECT, Outcome.NUANCED, Advice.WORKS), "yellow"),
    **dict.fromkeys((Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY, Verdict.WRONG_ANSWER, Verdict.UNTRUSTED, OVERLOADED), "red"),
    **dict.fromkeys((MISSED, Belief.UNTRUSTED, Outcome.REFUTED, Advice.MISTAKE), "red"),
}

COLUMNS = ["route", "served at once", "limit", "unloaded", "users", "mean", "p50", "p99", "waiting", "neighbour p90", "verdict"]


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    if report.study.run["command"] == "doctor":
        show_doctor(report, console)
    elif report.study.reproduces:
        console.print(claims_blocks(report))
        console.print(f"claims: {tally(report) or 'none was asked for'}\n", highlight=False)
    elif rows := loads(report.study, {one.route.variant: one.verdict for one in report.findings}):
        console.print(loads_table(rows, console.width))
    if report.study.run["command"] == "reproduce":
        if any(is_experiment(row.variant) for row in guide(report)):
            console.print(guide_block(report))
        console.print(routes_table(report, console.width))
    if report.goals:
        console.print()
        console.print(goals_table(report))
    for words in filter(None, [*(f"- {finding.sentence}" for finding in ordered(report)), compared(report.study)]):
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    if report.goals:
        missed = [one.name for one in report.goals if not one.holds]
        words = f"; {loud(MISSED)}: {escape(', '.join(missed))}" if missed else ""
        held = f"{len(report.goals) - len(missed)} of {len(report.goals)} goals hold{words}"
        console.print(held, highlight=False, soft_wrap=True)
    few = "a p99" if report.study.reproduces else "that percentile"
    words = f"run: {loud(report.trust.belief)} ({report.trust.sentence}; n=... means too few samples for {few})"
    console.print(words, highlight=False, soft_wrap=True)
    for words in doubts(report):
        console.print(f"  {words}", highlight=False, markup=False, soft_wrap=True)


def show_doctor(report: Report, console: Console) -> None:
    """Somebody's own app: what was not examined, every finding with its line and remedy, and the table, next to the prompt."""
    for words in (*doctor.left_out(report), *doctor.details(report)):
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    if report.findings:
        console.print(doctor.table(report, console.width, LOUD))


def doubts(report: Report) -> Iterator[str]:
    """What stands between the reader and the numbers, worst first."""
    yield from not_whole(report.study.run)
    for doubt in report.trust.doubts[:8]:
        yield f"{doubt.status}: {doubt.id} {doubt.name}, {doubt.cell}: {doubt.why}. {doubt.remedy}"
    for words in report.trust.impossible[:8]:
        yield f"not possible here: {words}"
    for one in report.study.missing:
        yield stopped(one)


def not_whole(run: dict[str, Any]) -> Iterator[str]:
    """Why a run was not played to its end."""
    if run["status"] == Status.RUNNING:
        yield "this run was never closed: it is still running, or its driver was killed"
    elif run["status"] != Status.COMPLETE:
        yield f"this run is not whole: it was {run['status']}"
    yield from run["troubles"]


def loud(word: str) -> str:
    """A verdict in its colour."""
    return f"[{LOUD[word]}]{word}[/]" if word in LOUD else word


def routes_table(report: Report, width: int) -> Table:
    """One row per route."""
    found = ordered(report)
    rows = [[finding.route.route, *numbers(finding), str(finding.verdict)] for finding in found]
    keep = narrowed([COLUMNS, *rows], width, 1)
    table = grid((COLUMNS[i] for i in keep), ("route", "verdict"))
    for row, finding in zip(rows, found, strict=True):
        table.add_row(*[escape(row[i]) for i in keep[:-1]], loud(finding.verdict))
    return table


def loads_table(rows: list[tuple[str, ...]], width: int) -> Table:
    """One row per load. A narrow terminal loses what matters least, never the route, the load or its p99."""
    keep = columns_for(rows, width)
    table = grid((LOADS[i] for i in keep), ("route", "load", "note"))
    for row in rows:
        table.add_row(*[loud(row[i]) if row[i] in LOUD else escape(row[i]) for i in keep])
    return table


def numbers(finding: Finding) -> Iterator[str]:
    """The numbers of one row; `-` for what this run cannot say."""
    route, top = finding.route, finding.route.top
    if finding.verdict is Verdict.UNTRUSTED or top is None or route.service is None or route.served is None:
        yield from ["-"] * 9
        return
    yield ("" if route.capacity else ">= ") + places(route.served)
    yield f"{route.places:g}" if route.places else "none"
    yield seconds(route.service)
    yield str(top.users)
    yield value(top.mean)
    yield quantile(top, "p50")
    yield quantile(top, "p99")
    yield share(route.waiting or 0)
    beside = route.bystanders.get("async")
    yield f"{value(beside.idle)} -> {value(beside.loaded)}" if beside else "-"


def claims_blocks(report: Report) -> Table:
    """The lesson, statement by statement: a block each, because predictions are long; what was asked for alone is told whole."""
    table = Table.grid(padding=(0, 2))
    for one in report.claims:
        claim, judgement = one.claim, one.judgement
        table.add_row(loud(judgement.outcome), f"[bold]{claim.id}[/]")
        told = {"predicted": judgement.predicted, "measured": judgement.measured}
        if report.study.run["command"] == "claims" or judgement.outcome is not Outcome.CONFIRMED:
            told = {"": claim.sentence, **told, "why": judgement.why}
        for name, words in told.items():
            if words != "-":
                table.add_row(name, escape(words))
        table.add_row()
    return table


def guide_block(report: Report) -> Table:
    """The guide in short: the page has it whole."""
    table = Table.grid(padding=(0, 2))
    for question, forms in brief(guide(report)):
        table.add_row("", f"[bold]{escape(question)}[/]")
        for advice, words in forms:
            table.add_row(loud(advice), escape(words))
    table.add_row()
    return table


def goals_table(report: Report) -> Table:
    """What should have come out of a self-check, and what did."""
    table = grid(GOALS, ("goal", ""), wraps="goal")
    for one in report.goals:
        table.add_row(*[loud(word) if word == MISSED else escape(word) for word in one.line])
    return table
