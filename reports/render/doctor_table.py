"""What the doctor found, for a terminal: a row per route, the worst next to the prompt; then each finding with line and remedy."""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from reports.console import grid, narrowed
from reports.formatting import places, seconds, share, value
from reports.gates.metrics import level
from reports.model import Report
from reports.verdicts.diagnosis import HELD, Case
from reports.verdicts.model import Finding, Verdict, is_unreached, worst_last

NAMED = 5  # routes that nobody came to, by name
COLUMNS = ("route", "served at once", "unloaded", "users", "mean", "neighbour p90", "verdict", "where")


def table(report: Report, width: int, loud: dict[str, str]) -> Table:
    """One row per route; verdict and line always fit."""
    found = [one for one in worst_last(report.findings) if not is_unreached(one.case.exam.entry)]
    rows = [row(one) for one in found]
    keep = narrowed([COLUMNS, *rows], width, 2)
    drawn = grid((COLUMNS[i] for i in keep), ("route", "verdict", "where"), wraps="where")
    for cells, one in zip(rows, found, strict=True):
        colour = loud.get(one.verdict, "")
        drawn.add_row(*[f"[{colour}]{cells[i]}[/]" if i == len(COLUMNS) - 2 and colour else escape(cells[i]) for i in keep])
    return drawn


def row(one: Finding) -> tuple[str, ...]:
    """One route's cells; `-` for what is not known."""
    case: Case = one.case
    exam, name = case.exam, one.route.route
    size = case.ruling.places
    verdict = f"{one.verdict} ({size})" if size else str(one.verdict)
    look = exam.top
    if look is None or one.verdict in (Verdict.UNTRUSTED, Verdict.WRONG_ANSWER):
        return (name, *["-"] * 5, verdict, where(case))
    served = places(case.served)
    return (
        name,
        f">= {served}" if case.is_bound else served,
        seconds(exam.service),
        str(look.level.users),
        value(look.level.mean),
        felt(case),
        verdict,
        where(case),
    )


def felt(case: Case) -> str:
    """The neighbour that waits longest: its p90 idle and loaded, at another load than the row's, and which one, if not `async`."""
    beside, at = case.neighbours
    worst = max(beside.values(), key=lambda one: one.loaded.low if one.loaded else 0.0, default=None)
    if worst is None:
        return "-"
    is_elsewhere = case.exam.top is None or at.get("users") != case.exam.top.level.users
    load = f" @ {level(at)}" if is_elsewhere else ""
    return f"{value(worst.idle)} -> {value(worst.loaded)}{load}" + (f" ({worst.kind})" if worst.kind != "async" else "")


def where(case: Case) -> str:
    """The guilty line, if there is one."""
    return f"{case.blames[0].file}:{case.blames[0].line} {case.blames[0].call}".strip() if case.blames else ""


def details(report: Report) -> Iterator[str]:
    """A paragraph per finding that accuses or doubts, the worst last; what is healthy has its row."""
    for one in worst_last(report.findings):
        if one.verdict is Verdict.SCALES or is_unreached(one.case.exam.entry):
            continue
        yield f"- {one.sentence}"
        case: Case = one.case
        if case.ruling.verdict in HELD:
            yield from (f"    also {also.file}:{also.line} {also.call}, {share(also.share)}" for also in case.blames[1:3])
        if case.cure:
            yield f"    Instead: {case.cure.title}"
            yield from (f"      {line}" for line in case.cure.after)
            yield f"    Expect: {case.cure.expect}"


def left_out(report: Report) -> Iterator[str]:
    """The routes that were not examined, and why."""
    skipped = [one for one in report.study.run["routes"] if one["skipped"]]
    if skipped:
        yield f"skipped: {len(skipped)}"
    yield from (f"  {one['route']}: {one['skipped']}" for one in skipped)
    unreached = [one for one in report.study.run["routes"] if is_unreached(one)]
    for why in dict.fromkeys(one["unfit"] for one in unreached):
        names = [one["route"] for one in unreached if one["unfit"] == why]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"not examined: {len(names)}, {why}: {', '.join(names[:NAMED])}{more}"
    yield from (f"note: {one['route']}: {note}" for one in report.study.run["routes"] for note in one.get("notes", ()))
    if report.background:
        yield report.background
    if report.study.run.get("host"):
        yield (
            "A black box: its pools, threads and lines cannot be known, nor what another process on this machine shares; "
            "examined as MODULE:APP they can."
        )
