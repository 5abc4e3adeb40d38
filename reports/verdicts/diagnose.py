"""From a run of the doctor to one finding per route: verdict, sentence, guilty line, remedy, and how sure all that is."""

import math
from collections.abc import Iterator
from typing import Any

from reports.checks.model import Belief, CheckStatus, Trust
from reports.formatting import count, number, places, seconds, share
from reports.metrics.model import Route, Study
from reports.metrics.run_data import Evidence
from reports.verdicts.diagnosis import HELD, QUIET, Case, at_first
from reports.verdicts.evidence import at_rest, exam_of
from reports.verdicts.findings import MECHANISM, harm
from reports.verdicts.model import Exam, Finding, Verdict
from reports.verdicts.predicates import MOSTLY, is_own
from reports.verdicts.remedies import remedy
from reports.verdicts.rules import rule

WORTH = 0.05  # share of the held time below which a line is not named
ALWAYS = 0.05  # share of all time, of holds at rest or of garbage collections, that is worth a sentence
BLIND = 0.3  # share of held time in which the watchdog could not look


def findings(evidence: Evidence, study: Study, belief: Trust) -> tuple[Finding, ...]:
    """One finding per route that was to be examined; the skipped ones are told apart."""
    routes = {one.route: one for one in study.routes}
    entries = [one for one in study.run["routes"] if one["act"] or one["unfit"] or one["wrong"]]
    asked = [(one, routes.get(one["route"]) or nothing(one["route"])) for one in entries if not one["skipped"]]
    return tuple(finding(evidence, study, route, entry, belief) for entry, route in asked)


def background(evidence: Evidence) -> str | None:
    """What holds the app's loop while nobody asks: a sentence, where that is a part of the time that counts."""
    found, looked = at_rest(evidence)
    worst = next(iter(found.blames), None) if found else None
    if not found or not worst or found.seconds < ALWAYS * looked:
        return None
    return (
        f"The app holds its own loop while nobody asks: {share(found.seconds / looked)} of the time, mostly at "
        f"{worst.file}:{worst.line} ({worst.call or worst.function}); every route waits for that."
    )


def nothing(name: str) -> Route:
    """A route of which nothing was measured."""
    empty: dict[str, Any] = dict.fromkeys(("service", "services", "places", "mechanism", "executor"))
    return Route(route=name, variant=name, levels=(), offered=(), bursts=(), bystanders={}, restarts={}, **empty)


def finding(evidence: Evidence, study: Study, route: Route, entry: dict[str, object], belief: Trust) -> Finding:
    """Judge one route."""
    exam = exam_of(evidence, study, route, entry)
    failed = [one for one in belief.checks if one.status is CheckStatus.FAIL and not one.is_finding]
    own = [one for one in failed if one.cell.partition("/")[2].rpartition("/")[0] == route.variant]
    ruling = rule(exam, failed if belief.belief is Belief.UNTRUSTED else own)
    seen = exam.held.blames if exam.held and ruling.verdict in HELD else ()
    blames = tuple(one for one in seen if is_own(exam, one) and one.share >= WORTH)
    worst = blames[0] if blames else None
    top, is_async = exam.top, exam.entry.get("is_async")
    served = ruling.places or (top.level.rate * exam.service if top else None)
    cores = len(evidence.run.get("targets", {}).get(entry.get("act"), {}).get("cpus") or ())
    cores = min(cores, math.ceil(evidence.run["machine"].get("cpu_limit") or cores))  # a container may have less
    cure = remedy(ruling.verdict, worst, service_s=exam.service, is_async=is_async, places=served, cores=cores)
    case = Case(exam=exam, ruling=ruling, blames=blames, cure=cure)
    return Finding(route, ruling.verdict, " ".join([*sentences(case), *collections(exam)]), cure.title if cure else "", case)


def sentences(case: Case) -> Iterator[str]:
    """What was found, with its arithmetic; who else suffers; and which line is to blame."""
    exam, ruling = case.exam, case.ruling
    name, top = exam.route.route, exam.top
    if ruling.verdict is Verdict.SCALES:
        yield f"{name} scales: {ruling.seen}."
        yield from at_first(exam)
        return
    if ruling.verdict in (*QUIET, Verdict.WRONG_ANSWER) or not top:
        yield f"{name}: {ruling.seen}."
        return
    yield (
        f"{name} serves {places(case.served)} at once ({number(top.level.rate)} req/s x {seconds(exam.service)}): "
        f"{MECHANISM[ruling.verdict]}{harm(exam.route, top.level)}."
    )
    if exam.pinned and ruling.verdict is Verdict.EXECUTOR_POOL:
        yield f"Measured on fewer cores: {exam.pinned}."
    if case.blames:
        yield from blamed(case)
    elif ruling.verdict in HELD and exam.is_guarded:
        yield "The watchdog caught no line at it."


def collections(exam: Exam) -> Iterator[str]:
    """What the garbage collector holds the loop for, where that counts; it is no line's fault."""
    if exam.held and exam.held.collected >= ALWAYS * exam.watched > 0:
        took = share(exam.held.collected / exam.watched)
        yield f"Garbage collections held its loop for another {took} of the time: gc.freeze() after the start spares what lives on."


def blamed(case: Case) -> Iterator[str]:
    """The guilty line."""
    worst = case.blames[0]
    what = worst.call + (f" ({worst.library})" if worst.library else "")
    by = f"{what} in {worst.function}" if what else worst.function
    yield f"{worst.file}:{worst.line} holds it {share(worst.share)} of that time: {by}, {seconds(worst.median)} or more at a time."
    if case.often is not None:
        yield f"Not always: {count(worst.holds, 'hold')} in {count(case.exam.requests, 'request')}."
    if worst.elsewhere > MOSTLY:
        yield "That is no part of a request: a task or a callback that requests set going."
    if worst.blind > BLIND:
        yield f"C code there keeps the GIL: for {share(worst.blind)} of its time not even the watchdog could look."
    if worst.is_serialising:
        yield "It is the framework that makes an answer of what the handler returned."
