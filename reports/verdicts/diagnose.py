"""From a doctor run to one finding per route: verdict, sentence, culprit, remedy, confidence."""

import math
from collections.abc import Iterator

from reports.checks.model import CheckStatus, TrustLevel, TrustReport
from reports.formatting import (
    format_count,
    format_number,
    format_seconds,
    format_served_at_once,
    format_share,
)
from reports.metrics.model import RouteMetrics, RunMetrics
from reports.metrics.run_data import RunData
from reports.verdicts.diagnosis import NO_LIMIT_VERDICTS, Diagnosis, Finding, first_request_note
from reports.verdicts.evidence import gather_route, idle_loop_holds
from reports.verdicts.findings import describe_worst_neighbour
from reports.verdicts.model import RouteEvidence
from reports.verdicts.predicates import MAJORITY, is_own_culprit
from reports.verdicts.remedies import choose_remedy
from reports.verdicts.rules import evaluate_rules
from results.run_info import RouteRecord
from results.verdicts import LOOP_VERDICTS, VERDICTS, Verdict

_MIN_CULPRIT_SHARE = 0.05  # share of the held time below which a line is not named
# share of all time, of holds at rest or of garbage collections, that is worth a sentence
_NOTABLE_SHARE = 0.05
_NOTABLE_BLIND_SHARE = 0.3  # share of held time in which the watchdog could not sample


def diagnose_routes(
    run_data: RunData, run_metrics: RunMetrics, trust: TrustReport
) -> tuple[Finding, ...]:
    """Return one finding per route that was to be examined; skipped routes get none."""
    routes = {route.route: route for route in run_metrics.routes}
    return tuple(
        _diagnose_route(
            run_data,
            run_metrics,
            routes.get(entry.route) or _unmeasured_route(entry.route),
            entry,
            trust,
        )
        for entry in run_metrics.run.routes
        if not entry.skipped and (entry.session or entry.unmeasured or entry.fault)
    )


def describe_idle_holds(run_data: RunData) -> str | None:
    """Say what holds the loop of the idle app, where that takes a notable time."""
    holds, watched = idle_loop_holds(run_data)
    if not holds or not holds.culprits or holds.seconds < _NOTABLE_SHARE * watched:
        return None
    worst = holds.culprits[0]
    return (
        f"The idle app holds its own loop for {format_share(holds.seconds / watched)} of the time,"
        f" mostly at {worst.file}:{worst.line} ({worst.call or worst.function}); every route waits"
        " for that."
    )


def _unmeasured_route(name: str) -> RouteMetrics:
    return RouteMetrics(
        route=name,
        variant=name,
        unloaded_mean=None,
        unloaded_interval=None,
        expected_concurrency=None,
        mechanism=None,
        executor_size=None,
        levels=(),
        open_loads=(),
        bursts=(),
        neighbours={},
        restarts={},
    )


def _diagnose_route(
    run_data: RunData,
    run_metrics: RunMetrics,
    route: RouteMetrics,
    entry: RouteRecord,
    trust: TrustReport,
) -> Finding:
    evidence = gather_route(run_data, run_metrics, route, entry)
    failed = [
        check
        for check in trust.checks
        if check.status is CheckStatus.FAIL
        and not check.is_informational
        and (
            trust.trust_level is TrustLevel.UNTRUSTED
            or check.cell.partition("/")[2].rpartition("/")[0] == route.variant
        )
    ]
    rule_result = evaluate_rules(evidence, failed)
    culprits = tuple(
        culprit
        for culprit in (evidence.loop_holds.culprits if evidence.loop_holds else ())
        if rule_result.verdict in LOOP_VERDICTS
        and is_own_culprit(evidence, culprit)
        and culprit.share >= _MIN_CULPRIT_SHARE
    )
    top = evidence.top
    served = top.metrics.throughput * evidence.unloaded_mean if top else None
    cores = len(run_data.run.runtime(entry.session).cpus or ())
    remedy = choose_remedy(
        rule_result.verdict,
        culprits[0] if culprits else None,
        service_s=evidence.unloaded_mean,
        is_async=evidence.entry.is_async,
        concurrency=rule_result.concurrency or served,
        # a container may have less
        cores=min(cores, math.ceil(run_data.run.machine.cpu_limit or cores)),
    )
    diagnosis = Diagnosis(
        evidence=evidence, rule_result=rule_result, culprits=culprits, remedy=remedy
    )
    sentence = " ".join([*_diagnosis_sentences(diagnosis), *gc_sentences(evidence)])
    return Finding(route, rule_result.verdict, sentence, remedy.title if remedy else "", diagnosis)


def _diagnosis_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the verdict with its arithmetic, the worst neighbour, and the culprits."""
    evidence, verdict = diagnosis.evidence, diagnosis.rule_result.verdict
    name, top = evidence.route.route, evidence.top
    if verdict is Verdict.SCALES:
        yield f"{name} scales: {diagnosis.rule_result.reason}."
        yield from first_request_note(evidence)
        return
    if verdict in (*NO_LIMIT_VERDICTS, Verdict.WRONG_ANSWER) or not top:
        yield f"{name}: {diagnosis.rule_result.reason}."
        return
    yield (
        f"{name} serves {format_served_at_once(diagnosis.served_at_once)} at once"
        f" ({format_number(top.metrics.throughput)} req/s x"
        f" {format_seconds(evidence.unloaded_mean)}): {VERDICTS[verdict].mechanism}"
        f"{describe_worst_neighbour(evidence.route, top.metrics)}."
    )
    if evidence.pinned and verdict is Verdict.EXECUTOR_POOL:
        yield f"Measured on fewer cores: {evidence.pinned}."
    if diagnosis.culprits:
        yield from _culprit_sentences(diagnosis)
    elif verdict in LOOP_VERDICTS and evidence.has_agent:
        yield "The watchdog caught no line."


def gc_sentences(evidence: RouteEvidence) -> Iterator[str]:
    """Yield how long garbage collections hold the loop, where that counts; no line causes them."""
    seconds = evidence.loop_holds.gc_seconds if evidence.loop_holds else 0.0
    watched = evidence.watched_seconds
    if seconds and seconds >= _NOTABLE_SHARE * watched > 0:
        yield (
            f"Garbage collections held its loop for another {format_share(seconds / watched)} of"
            " the time: gc.freeze() after start-up excludes long-lived objects."
        )


def _culprit_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the worst culprit, and what is special about it."""
    worst = diagnosis.culprits[0]
    what = worst.call + (f" ({worst.library})" if worst.library else "")
    by = f"{what} in {worst.function}" if what else worst.function
    yield (
        f"{worst.file}:{worst.line} holds it {format_share(worst.share)} of that time: {by},"
        f" {format_seconds(worst.median)} or more at a time."
    )
    if diagnosis.holds_per_request is not None:
        yield (
            f"Not always: {format_count(worst.holds, 'hold')} in"
            f" {format_count(diagnosis.evidence.watched_requests, 'request')}."
        )
    if worst.outside_requests > MAJORITY:
        yield "It runs outside any request, in a task or a callback that requests start."
    if worst.blind > _NOTABLE_BLIND_SHARE:
        yield (
            f"C code there keeps the GIL: for {format_share(worst.blind)} of its time the watchdog"
            " could not sample either."
        )
    if worst.is_serialising:
        yield "The framework turns the handler's return value into an answer there."
