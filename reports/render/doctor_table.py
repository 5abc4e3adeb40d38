"""The doctor's results for a terminal: a table, and the findings with line and remedy.

The worst route and the worst finding come last, next to the prompt.
"""

from collections.abc import Callable, Iterator
from pathlib import PurePath

from rich.table import Table

from reports.formatting import format_change, format_estimate
from reports.gates.metrics import load_level
from reports.model import Report
from reports.render.columns import Column, terminal_table
from reports.verdicts.diagnosis import Diagnosis, Finding, examined_findings
from results.formatting import format_seconds, format_served_at_once, format_share
from results.judgement.culprit import Culprit
from results.judgement.model import LevelEvidence
from results.verdicts import LOOP_VERDICTS, Verdict

_MAX_NAMED_ROUTES = 5  # unreached routes, by name
_WIDE_TERMINAL = 140  # columns; on a narrower one the culprit's line needs the room of these
_WIDE_COLUMNS = ("neighbour p90", "mean", "users")
_Row = tuple[Finding, Diagnosis]


def _measured(cell: Callable[[Diagnosis, LevelEvidence], str]) -> Callable[[_Row], str]:
    """Return a cell with a number; `-` for what is not known."""

    def format_cell(row: _Row) -> str:
        finding, diagnosis = row
        if finding.verdict in (Verdict.UNTRUSTED, Verdict.WRONG_ANSWER):
            return "-"
        return cell(diagnosis, diagnosis.evidence.top) if diagnosis.evidence.top else "-"

    return format_cell


DOCTOR_COLUMNS: tuple[Column[_Row], ...] = (
    Column("route", lambda row: row[0].route.route, is_text=True),
    Column("served at once", _measured(lambda diagnosis, _: format_served(diagnosis))),
    Column("unloaded", _measured(lambda item, _: format_seconds(item.evidence.unloaded.mean))),
    Column("users", _measured(lambda _, top: str(top.users))),
    Column("mean", _measured(lambda item, _: _format_mean(item))),
    Column("neighbour p90", _measured(lambda diagnosis, _: _format_worst_neighbour(diagnosis))),
    Column(
        "verdict", lambda row: format_verdict(*row), is_text=True, word=lambda row: row[0].verdict
    ),
    Column("where", lambda row: format_place(row[1]), is_text=True, wraps=True),
)


def build_doctor_table(report: Report, width: int) -> Table:
    """Build the table with one row per route; verdict and line always fit."""
    rows = [
        row for row in examined_findings(report.findings) if not row[1].evidence.entry.is_unreached
    ]
    is_wide = width >= _WIDE_TERMINAL
    columns = [item for item in DOCTOR_COLUMNS if is_wide or item.title not in _WIDE_COLUMNS]
    drop_order = (*_WIDE_COLUMNS, "unloaded", "served at once")
    return terminal_table(columns, rows, width, drop_order)


def format_verdict(finding: Finding, diagnosis: Diagnosis) -> str:
    """Return the verdict's code, with the size of its pool: `thread-pool (40)`."""
    places = diagnosis.rule_result.concurrency
    return f"{finding.verdict} ({places})" if places else str(finding.verdict)


def format_served(diagnosis: Diagnosis) -> str:
    """Return how many are served at once, or the least that are: `4.04`, `>= 64`."""
    if not diagnosis.rule_result.has_figure:
        return "-"
    bound = ">= " if diagnosis.is_lower_bound else ""
    return bound + format_served_at_once(diagnosis.served_at_once)


def _format_mean(diagnosis: Diagnosis) -> str:
    return format_estimate(diagnosis.top_metrics.mean if diagnosis.top_metrics else None)


def _format_worst_neighbour(diagnosis: Diagnosis) -> str:
    """Return the p90s of the neighbour that waits longest.

    With its load where that is not the row's, and its kind where that is not `async`.
    """
    neighbours, load = diagnosis.verdict_neighbours
    if not neighbours:
        return "-"
    worst = max(neighbours.values(), key=lambda item: item.loaded.low if item.loaded else 0.0)
    text = format_change(worst.idle, worst.loaded)
    top = diagnosis.evidence.top
    if top is None or load.get("users") != top.users:
        text += f" @ {load_level(load)}"
    return text if worst.kind == "async" else f"{text} ({worst.kind})"


def format_place(diagnosis: Diagnosis) -> str:
    """Return line and call of the worst culprit, or of where most requests wait; no whole path."""
    worst = diagnosis.culprits[0] if diagnosis.culprits else diagnosis.main_wait
    if worst is None:
        return ""
    return f"{PurePath(worst.file).name}:{worst.line} {worst.call}".strip()


def finding_lines(report: Report) -> Iterator[str]:
    """Yield a paragraph per finding, the worst last; what is healthy only has its row."""
    for finding, diagnosis in examined_findings(report.findings):
        if finding.verdict is Verdict.SCALES or diagnosis.evidence.entry.is_unreached:
            continue
        yield f"- {finding.sentence}"
        if finding.verdict in LOOP_VERDICTS:
            yield from map(_describe_other_culprit, diagnosis.culprits[1:3])
        if diagnosis.remedy:
            yield f"    Instead: {diagnosis.remedy.title}"
            yield from (f"      {line}" for line in diagnosis.remedy.after)
            yield f"    Expect: {diagnosis.remedy.expect}"


def _describe_other_culprit(culprit: Culprit) -> str:
    call = f" {culprit.call}" if culprit.call else ""
    return f"    also {culprit.file}:{culprit.line}{call}, {format_share(culprit.share)}"


def unexamined_lines(report: Report) -> Iterator[str]:
    """Yield the routes that were not examined, and why; then what is worth knowing of others."""
    entries = report.run_metrics.run.routes
    skipped = [entry for entry in entries if entry.skipped]
    if skipped:
        yield f"skipped: {len(skipped)}"
    yield from (f"  {entry.route}: {entry.skipped}" for entry in skipped)
    unreached = [entry for entry in entries if entry.is_unreached]
    for reason in dict.fromkeys(entry.unmeasured for entry in unreached):
        names = [entry.route for entry in unreached if entry.unmeasured == reason]
        more = len(names) - _MAX_NAMED_ROUTES
        rest = f" and {more} more" if more > 0 else ""
        named = ", ".join(names[:_MAX_NAMED_ROUTES])
        yield f"not examined: {len(names)}, {reason}: {named}{rest}"
    for entry in entries:
        yield from (f"note: {entry.route}: {note}" for note in entry.notes)
    if report.background:
        yield report.background
    if report.run_metrics.run.host:
        yield (
            "A black box: its pools, threads and lines are not known, nor what it shares with other"
            " processes on this machine. Examine it as MODULE:APP to see them."
        )
