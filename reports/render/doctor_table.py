"""The doctor's results for a terminal: a table, and the findings with line and remedy.

The worst route and the worst finding come last, next to the prompt.
"""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from reports.console import fit_columns, plain_table
from reports.formatting import format_estimate, format_seconds, format_served_at_once, format_share
from reports.gates.metrics import load_level
from reports.model import Report
from reports.verdicts.diagnosis import LOOP_VERDICTS, Diagnosis
from reports.verdicts.model import Finding, Verdict, is_unreached, sort_worst_last

_MAX_NAMED_ROUTES = 5  # unreached routes, by name
_DOCTOR_COLUMNS = (
    "route",
    "served at once",
    "unloaded",
    "users",
    "mean",
    "neighbour p90",
    "verdict",
    "where",
)


def build_doctor_table(report: Report, width: int, colours: dict[str, str]) -> Table:
    """One row per route; verdict and line always fit."""
    findings = [
        finding
        for finding in sort_worst_last(report.findings)
        if not is_unreached(finding.diagnosis.evidence.entry)
    ]
    rows = [doctor_row(finding) for finding in findings]
    keep = fit_columns([_DOCTOR_COLUMNS, *rows], width, 2)
    output_table = plain_table(
        (_DOCTOR_COLUMNS[i] for i in keep), ("route", "verdict", "where"), wraps="where"
    )
    for cells, finding in zip(rows, findings, strict=True):
        colour = colours.get(finding.verdict, "")
        output_table.add_row(
            *[
                (
                    f"[{colour}]{cells[i]}[/]"
                    if i == len(_DOCTOR_COLUMNS) - 2 and colour
                    else escape(cells[i])
                )
                for i in keep
            ]
        )
    return output_table


def doctor_row(finding: Finding) -> tuple[str, ...]:
    """One route's cells; `-` for what is not known."""
    diagnosis: Diagnosis = finding.diagnosis
    evidence, name = diagnosis.evidence, finding.route.route
    concurrency = diagnosis.rule_result.concurrency
    verdict = f"{finding.verdict} ({concurrency})" if concurrency else str(finding.verdict)
    top = evidence.top
    if top is None or finding.verdict in (Verdict.UNTRUSTED, Verdict.WRONG_ANSWER):
        return (name, *["-"] * 5, verdict, _format_culprit(diagnosis))
    served_text = format_served_at_once(diagnosis.served_at_once)
    return (
        name,
        f">= {served_text}" if diagnosis.is_lower_bound else served_text,
        format_seconds(evidence.unloaded_mean),
        str(top.metrics.users),
        format_estimate(top.metrics.mean),
        _format_worst_neighbour(diagnosis),
        verdict,
        _format_culprit(diagnosis),
    )


def _format_worst_neighbour(diagnosis: Diagnosis) -> str:
    """p90, idle and loaded, of the neighbour that waits longest.

    With its load where that is not the row's, and its kind where that is not `async`.
    """
    neighbours, neighbour_load = diagnosis.verdict_neighbours
    worst = max(
        neighbours.values(),
        key=lambda neighbour: neighbour.loaded.low if neighbour.loaded else 0.0,
        default=None,
    )
    if worst is None:
        return "-"
    is_elsewhere = (
        diagnosis.evidence.top is None
        or neighbour_load.get("users") != diagnosis.evidence.top.metrics.users
    )
    load_text = f" @ {load_level(neighbour_load)}" if is_elsewhere else ""
    return f"{format_estimate(worst.idle)} -> {format_estimate(worst.loaded)}{load_text}" + (
        f" ({worst.kind})" if worst.kind != "async" else ""
    )


def _format_culprit(diagnosis: Diagnosis) -> str:
    """The worst culprit's line and call; empty without a culprit."""
    return (
        (
            f"{diagnosis.culprits[0].file}:{diagnosis.culprits[0].line}"
            f" {diagnosis.culprits[0].call}"
        ).strip()
        if diagnosis.culprits
        else ""
    )


def finding_lines(report: Report) -> Iterator[str]:
    """A paragraph per finding, the worst last; what is healthy only has its row."""
    for finding in sort_worst_last(report.findings):
        if finding.verdict is Verdict.SCALES or is_unreached(finding.diagnosis.evidence.entry):
            continue
        yield f"- {finding.sentence}"
        diagnosis: Diagnosis = finding.diagnosis
        if diagnosis.rule_result.verdict in LOOP_VERDICTS:
            yield from (
                f"    also {culprit.file}:{culprit.line} {culprit.call},"
                f" {format_share(culprit.share)}"
                for culprit in diagnosis.culprits[1:3]
            )
        if diagnosis.remedy:
            yield f"    Instead: {diagnosis.remedy.title}"
            yield from (f"      {line}" for line in diagnosis.remedy.after)
            yield f"    Expect: {diagnosis.remedy.expect}"


def unexamined_lines(report: Report) -> Iterator[str]:
    """The routes that were not examined, and why."""
    skipped = [entry for entry in report.run_metrics.run["routes"] if entry["skipped"]]
    if skipped:
        yield f"skipped: {len(skipped)}"
    yield from (f"  {entry['route']}: {entry['skipped']}" for entry in skipped)
    unreached = [entry for entry in report.run_metrics.run["routes"] if is_unreached(entry)]
    for reason in dict.fromkeys(entry["unfit"] for entry in unreached):
        names = [entry["route"] for entry in unreached if entry["unfit"] == reason]
        rest_text = (
            f" and {len(names) - _MAX_NAMED_ROUTES} more" if len(names) > _MAX_NAMED_ROUTES else ""
        )
        yield (
            f"not examined: {len(names)}, {reason}:"
            f" {', '.join(names[:_MAX_NAMED_ROUTES])}{rest_text}"
        )
    yield from (
        f"note: {entry['route']}: {note}"
        for entry in report.run_metrics.run["routes"]
        for note in entry.get("notes", ())
    )
    if report.background:
        yield report.background
    if report.run_metrics.run.get("host"):
        yield (
            "A black box: its pools, threads and lines cannot be known, nor what another process on"
            " this machine shares; examined as MODULE:APP they can."
        )
