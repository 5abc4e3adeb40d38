"""From a doctor run to one finding per route: verdict, sentence, culprit, remedy, confidence."""

import math
from collections.abc import Iterator
from typing import Any

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
from reports.verdicts.diagnosis import (
    LOOP_VERDICTS,
    NO_LIMIT_VERDICTS,
    Diagnosis,
    first_request_note,
)
from reports.verdicts.evidence import gather_route, idle_loop_holds
from reports.verdicts.findings import MECHANISM_TEXTS, describe_worst_neighbour
from reports.verdicts.model import Finding, RouteEvidence, Verdict
from reports.verdicts.predicates import MAJORITY, is_own_culprit
from reports.verdicts.remedies import choose_remedy
from reports.verdicts.rules import evaluate_rules

_MIN_CULPRIT_SHARE = 0.05  # share of the held time below which a line is not named
# share of all time, of holds at rest or of garbage collections, that is worth a sentence
_NOTABLE_SHARE = 0.05
_NOTABLE_BLIND_SHARE = 0.3  # share of held time in which the watchdog could not sample


def diagnose_routes(
    run_data: RunData, run_metrics: RunMetrics, trust: TrustReport
) -> tuple[Finding, ...]:
    """One finding per route that was to be examined; skipped routes get none."""
    routes = {item.route: item for item in run_metrics.routes}
    entries = [
        item for item in run_metrics.run["routes"] if item["act"] or item["unfit"] or item["wrong"]
    ]
    examined = [
        (item, routes.get(item["route"]) or _unmeasured_route(item["route"]))
        for item in entries
        if not item["skipped"]
    ]
    return tuple(
        _diagnose_route(run_data, run_metrics, route, entry, trust) for entry, route in examined
    )


def describe_idle_holds(run_data: RunData) -> str | None:
    """What holds the loop of the idle app, as a sentence, where that takes a notable time."""
    holds, watched = idle_loop_holds(run_data)
    worst = next(iter(holds.culprits), None) if holds else None
    if not holds or not worst or holds.seconds < _NOTABLE_SHARE * watched:
        return None
    return (
        f"The app holds its own loop while nobody asks: {format_share(holds.seconds / watched)} of"
        f" the time, mostly at {worst.file}:{worst.line} ({worst.call or worst.function}); every"
        " route waits for that."
    )


def _unmeasured_route(name: str) -> RouteMetrics:
    empty: dict[str, Any] = dict.fromkeys(
        ("unloaded_mean", "unloaded_interval", "expected_concurrency", "mechanism", "executor_size")
    )
    return RouteMetrics(
        route=name,
        variant=name,
        levels=(),
        open_loads=(),
        bursts=(),
        neighbours={},
        restarts={},
        **empty,
    )


def _diagnose_route(
    run_data: RunData,
    run_metrics: RunMetrics,
    route: RouteMetrics,
    entry: dict[str, object],
    trust: TrustReport,
) -> Finding:
    route_evidence = gather_route(run_data, run_metrics, route, entry)
    failed = [
        item
        for item in trust.checks
        if item.status is CheckStatus.FAIL and not item.is_informational
    ]
    route_failures = [
        item for item in failed if item.cell.partition("/")[2].rpartition("/")[0] == route.variant
    ]
    rule_result = evaluate_rules(
        route_evidence, failed if trust.trust_level is TrustLevel.UNTRUSTED else route_failures
    )
    candidates = (
        route_evidence.loop_holds.culprits
        if route_evidence.loop_holds and rule_result.verdict in LOOP_VERDICTS
        else ()
    )
    culprits = tuple(
        item
        for item in candidates
        if is_own_culprit(route_evidence, item) and item.share >= _MIN_CULPRIT_SHARE
    )
    worst = culprits[0] if culprits else None
    top, is_async = route_evidence.top, route_evidence.entry.get("is_async")
    served = rule_result.concurrency or (
        top.metrics.throughput * route_evidence.unloaded_mean if top else None
    )
    cores = len(run_data.run.get("targets", {}).get(entry.get("act"), {}).get("cpus") or ())
    # a container may have less
    cores = min(cores, math.ceil(run_data.run["machine"].get("cpu_limit") or cores))
    best_remedy = choose_remedy(
        rule_result.verdict,
        worst,
        service_s=route_evidence.unloaded_mean,
        is_async=is_async,
        concurrency=served,
        cores=cores,
    )
    diagnosis = Diagnosis(
        evidence=route_evidence, rule_result=rule_result, culprits=culprits, remedy=best_remedy
    )
    return Finding(
        route,
        rule_result.verdict,
        " ".join([*_diagnosis_sentences(diagnosis), *gc_sentences(route_evidence)]),
        best_remedy.title if best_remedy else "",
        diagnosis,
    )


def _diagnosis_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    """The verdict with its arithmetic, the worst neighbour, and the culprits."""
    evidence, rule_result = diagnosis.evidence, diagnosis.rule_result
    name, top = evidence.route.route, evidence.top
    if rule_result.verdict is Verdict.SCALES:
        yield f"{name} scales: {rule_result.reason}."
        yield from first_request_note(evidence)
        return
    if rule_result.verdict in (*NO_LIMIT_VERDICTS, Verdict.WRONG_ANSWER) or not top:
        yield f"{name}: {rule_result.reason}."
        return
    yield (
        f"{name} serves {format_served_at_once(diagnosis.served_at_once)} at once"
        f" ({format_number(top.metrics.throughput)} req/s x"
        f" {format_seconds(evidence.unloaded_mean)}): "
        f"{MECHANISM_TEXTS[rule_result.verdict]}"
        f"{describe_worst_neighbour(evidence.route, top.metrics)}."
    )
    if evidence.pinned and rule_result.verdict is Verdict.EXECUTOR_POOL:
        yield f"Measured on fewer cores: {evidence.pinned}."
    if diagnosis.culprits:
        yield from _culprit_sentences(diagnosis)
    elif rule_result.verdict in LOOP_VERDICTS and evidence.has_agent:
        yield "The watchdog caught no line at it."


def gc_sentences(evidence: RouteEvidence) -> Iterator[str]:
    """How long garbage collections hold the loop, where that counts; no line causes them."""
    if (
        evidence.loop_holds
        and evidence.loop_holds.gc_seconds >= _NOTABLE_SHARE * evidence.watched_seconds > 0
    ):
        took = format_share(evidence.loop_holds.gc_seconds / evidence.watched_seconds)
        yield (
            f"Garbage collections held its loop for another {took} of the time: gc.freeze() after"
            " the start spares what lives on."
        )


def _culprit_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    """The worst culprit, and what is special about it."""
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
        yield "That is no part of a request: a task or a callback that requests set going."
    if worst.blind > _NOTABLE_BLIND_SHARE:
        yield (
            f"C code there keeps the GIL: for {format_share(worst.blind)} of its time not even the"
            " watchdog could look."
        )
    if worst.is_serialising:
        yield "It is the framework that makes an answer of what the handler returned."
