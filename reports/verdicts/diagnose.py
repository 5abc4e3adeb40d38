"""From a doctor run to one finding per route: verdict, sentence, culprit, remedy, confidence."""

import math
from collections.abc import Iterator

from reports.checks.model import CheckStatus, TrustLevel, TrustReport
from reports.metrics.model import RouteMetrics, RunMetrics
from reports.verdicts.diagnosis import NO_LIMIT_VERDICTS, Diagnosis, Finding, first_request_note
from reports.verdicts.evidence import SealedRecording, neighbour_metrics
from reports.verdicts.neighbours import describe_worst_neighbour
from reports.verdicts.remedies import choose_remedy
from reports.verdicts.wait_sentences import wait_sentences
from results.formatting import (
    format_count,
    format_number,
    format_seconds,
    format_served_at_once,
    format_share,
)
from results.judgement.model import RouteEvidence
from results.judgement.observe import idle_loop_holds
from results.judgement.predicates import MAJORITY, is_own_culprit, least_cpu_per_request
from results.judgement.rules import Failure, evaluate_rules
from results.run_info import RouteRecord
from results.schema import Scenario
from results.verdicts import LOOP_VERDICTS, VERDICTS, Verdict

_MIN_CULPRIT_SHARE = 0.05  # share of the time of all holds below which a line is not named
# share of all time, of holds at rest or of garbage collections, that is worth a sentence
_NOTABLE_SHARE = 0.05
_NOTABLE_BLIND_SHARE = 0.3  # share of a line's holds in which the watchdog could not sample


def diagnose_routes(
    recording: SealedRecording, run_metrics: RunMetrics, trust: TrustReport
) -> tuple[Finding, ...]:
    """Return one finding per route that was to be examined; skipped routes get none."""
    routes = {route.route: route for route in run_metrics.routes}
    return tuple(
        _diagnose_route(
            recording,
            routes.get(entry.route) or RouteMetrics(route=entry.route, variant=entry.route),
            entry,
            trust,
        )
        for entry in run_metrics.run.routes
        if not entry.skipped and (entry.session or entry.unmeasured or entry.fault)
    )


def describe_idle_holds(recording: SealedRecording) -> str | None:
    """Say what holds the loop of the idle app, where that takes a notable time."""
    holds, watched = idle_loop_holds(recording)
    if not holds.culprits or holds.seconds < _NOTABLE_SHARE * watched:
        return None
    worst, share = holds.culprits[0], format_share(holds.seconds / watched)
    place = f"{worst.file}:{worst.line} ({worst.call or worst.function})"
    sentence = f"The idle app holds its own loop for {share} of the time, mostly at {place}."
    return f"{sentence} Every route waits for that."


def _diagnose_route(
    recording: SealedRecording, route: RouteMetrics, entry: RouteRecord, trust: TrustReport
) -> Finding:
    run, evidence = recording.info, recording.observe(entry)
    is_untrusted = trust.trust_level is TrustLevel.UNTRUSTED
    failed = [
        Failure(check.why, check.remedy)
        for check in trust.checks
        if check.status is CheckStatus.FAIL
        and not check.is_informational
        and (is_untrusted or check.cell.partition("/")[2].rpartition("/")[0] == route.variant)
    ]
    rule_result = evaluate_rules(evidence, failed)
    culprits = tuple(
        culprit
        for culprit in evidence.caught
        if rule_result.verdict in (*LOOP_VERDICTS, Verdict.DEADLOCK)
        and is_own_culprit(evidence, culprit)
        and culprit.share >= _MIN_CULPRIT_SHARE
    )
    top = evidence.top
    served = top.rate * evidence.unloaded.mean if top else None
    cells = [cell for cell in run.plan.cells if cell.variant == entry.route]
    cores = len(run.runtime(cells[0].server if cells else entry.session).cpus or ())
    remedy = choose_remedy(
        rule_result.verdict,
        culprits[0] if culprits else None,
        service_s=evidence.unloaded.mean,
        is_async=entry.is_async,
        concurrency=rule_result.concurrency or served,
        cpu_s=least_cpu_per_request(evidence, top) if top else None,
        # a container may have less
        cores=min(cores, math.ceil(run.machine.cpu_limit or cores)),
    )
    neighbours = {
        cell.users or None: neighbour_metrics(recording.run_data, cell)
        for cell in reversed(cells)
        if cell.scenario in (Scenario.CROWD, Scenario.STEADY) and cell.is_level
    }
    diagnosis = Diagnosis(route, evidence, rule_result, culprits, remedy, neighbours)
    sentence = " ".join([*_diagnosis_sentences(diagnosis), *gc_sentences(evidence)])
    return Finding(route, rule_result.verdict, sentence, remedy.title if remedy else "", diagnosis)


def _diagnosis_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    evidence, verdict = diagnosis.evidence, diagnosis.rule_result.verdict
    name, top, reason = diagnosis.route.route, evidence.top, diagnosis.rule_result.reason
    if verdict is Verdict.SCALES:
        yield f"{name} scales: {reason}."
        yield from first_request_note(evidence)
        return
    if verdict in (*NO_LIMIT_VERDICTS, Verdict.WRONG_ANSWER) or not top:
        yield f"{name}: {reason}."
        yield from wait_sentences(diagnosis)
        return
    served, rate = diagnosis.served_at_once, format_number(top.rate)
    arithmetic = f"{rate} req/s x {format_seconds(evidence.unloaded.mean)}"
    yield (
        f"{name} serves {format_served_at_once(served)} at once ({arithmetic}):"
        f" {VERDICTS[verdict].mechanism}{describe_worst_neighbour(diagnosis.route, top.users)}."
    )
    if evidence.pinned and verdict is Verdict.EXECUTOR_POOL:
        yield f"Measured on fewer cores: {evidence.pinned}."
    yield from wait_sentences(diagnosis)
    if diagnosis.culprits:
        yield from _culprit_sentences(diagnosis)
    elif verdict in LOOP_VERDICTS and evidence.has_agent:
        yield "The watchdog caught no line."


def gc_sentences(evidence: RouteEvidence) -> Iterator[str]:
    """Yield how long garbage collections hold the loop, where that counts."""
    seconds = evidence.loop_holds.gc_seconds if evidence.loop_holds else 0.0
    watched = evidence.watched_seconds
    if seconds and seconds >= _NOTABLE_SHARE * watched > 0:
        yield (
            f"Garbage collections hold its loop for another {format_share(seconds / watched)} of"
            " the time: gc.freeze() after start-up excludes long-lived objects."
        )


def _culprit_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    worst = diagnosis.culprits[0]
    what = worst.call + (f" ({worst.library})" if worst.library else "")
    by = f"{what} in {worst.function}" if what else worst.function
    yield (
        f"{worst.file}:{worst.line} takes {format_share(worst.share)} of the held time: {by},"
        f" {format_seconds(worst.median)} or more at a time."
    )
    if diagnosis.holds_per_request is not None:
        requests = format_count(diagnosis.evidence.watched_requests, "request")
        yield f"Not always: {format_count(worst.holds, 'hold')} in {requests}."
    if worst.outside_requests > MAJORITY:
        yield "It runs outside any request, in a task or a callback that requests start."
    if worst.blind > _NOTABLE_BLIND_SHARE:
        yield (
            "C code there keeps the GIL: the watchdog could not sample for"
            f" {format_share(worst.blind)} of its time."
        )
    if worst.is_serialising:
        yield "The framework turns the handler's return value into an answer there."
