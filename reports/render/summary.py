"""The report as data: `summary.json`, a promise to other programs.

`summary.schema.json` describes it. Keys that end in `_s` are seconds. A quantile that the data
cannot support is null; one that unanswered requests leave open is null too, with a lower bound in
`..._at_least_s`. More keys may be added; these keep their names and units.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from reports.checks.model import Check
from reports.claims.model import EvaluatedClaim
from reports.gates.evaluate import evaluate_gates
from reports.metrics.breakdown import LatencyBreakdown
from reports.metrics.model import CrowdMetrics, NeighbourMetrics, OpenLoadMetrics, RouteMetrics
from reports.model import Goal, Report
from reports.render.decision_guide import GuideRow, build_guide
from reports.stats.intervals import RepeatedValue
from reports.stats.quantiles import SUMMARY_QUANTILES, Estimate, LatencyStats
from reports.verdicts.diagnosis import Diagnosis, Finding
from reports.verdicts.wait_sentences import DEFAULT_SIZES
from results.judgement.waits import Wait
from results.run_info import Runtime
from results.verdicts import LOOP_VERDICTS

SUMMARY_FORMAT = 1


def build_summary(report: Report) -> dict[str, Any]:
    """Build the whole report as JSON-ready data."""
    run, metrics = report.run_metrics.run, report.run_metrics
    environment = {key: getattr(run, key) for key in ("loop", "packages", "seed", "connections")}
    trust = {
        "verdict": report.trust.trust_level,
        "cells": report.trust.trust_by_cell,
        "checks": [check_entry(check) for check in report.trust.checks],
    }
    skipped = [entry for entry in run.routes if entry.skipped]
    data = {
        "format": SUMMARY_FORMAT,
        **{key: getattr(run, key) for key in ("run", "command", "status")},
        "seconds_total": run.seconds,
        "environment": {
            **msgspec.to_builtins(run.machine),
            **environment,
            "targets": {name: _runtime_entry(runtime) for name, runtime in run.targets.items()},
            "host": run.host,
        },
        "trust": trust,
        "routes": [route_entry(finding) for finding in report.findings],
        "experiments": [_experiment_entry(route) for route in metrics.experiments],
        "claims": [_claim_entry(evaluated) for evaluated in report.claims],
        "guide": [_guide_entry(row) for row in build_guide(report)],
        "gates": [_goal_entry(goal) for goal in report.goals],
        "skipped": [{"route": entry.route, "why": entry.skipped} for entry in skipped],
        "missing": [asdict(cell) for cell in metrics.unfinished_cells],
        "troubles": run.troubles,
    }
    return {**data, "gates": [*data["gates"], *evaluate_gates(run.gates, data)]}


def _pick(source: object, names: str, suffix: str = "") -> dict[str, Any]:
    """Return attributes by name, such as "mean p50"; the suffix is the unit of their keys."""
    return {f"{name}{suffix}": getattr(source, name) for name in names.split()}


def _finite_ends(limit: Iterable[float]) -> list[float | None]:
    """Return the ends of a range; an open one is null."""
    return [end if math.isfinite(end) else None for end in limit]


def _goal_entry(goal: Goal) -> dict[str, Any]:
    """Return one goal; it is met if the measured value lies in `limit`."""
    entry = {"expression": goal.name, "limit": [goal.low, goal.high], "actual": goal.measured}
    return {**entry, "holds": goal.is_met, "truth": goal.truth, "off": goal.relative_error}


def check_entry(check: Check) -> dict[str, Any]:
    """Return one check; an open end of a range is null."""
    entry = _pick(check, "id name cell value status why remedy")
    for name, limit in _pick(check, "pass_limit fail_limit").items():
        entry[name] = _finite_ends(limit) if isinstance(limit, tuple) else limit
    return {**entry, "finding": check.is_informational}


def _runtime_entry(runtime: Runtime) -> dict[str, Any]:
    """Return what ran in a server; the size of a pool without a limit is null."""
    limits = {"thread_tokens": runtime.thread_limit, "executor_size": runtime.executor_limit}
    return {**msgspec.to_builtins(runtime), **limits}


def route_entry(finding: Finding) -> dict[str, Any]:
    """Return one route: verdict, numbers, levels, neighbours, sentence."""
    route, diagnosis, top = finding.route, finding.diagnosis, finding.route.top_level
    limit = {"name": route.mechanism, "predicted": route.expected_concurrency}
    return {
        **_pick(route, "route variant"),
        "verdict": finding.verdict,
        "holds_loop": finding.verdict in LOOP_VERDICTS,
        "service_s": route.unloaded_mean,
        **_pick(route, "served_at_once served_at_once_interval"),
        "capacity_rps": top.throughput if top else None,
        "capacity_rps_interval": top.throughput_interval if top else None,
        "is_bound": diagnosis.is_lower_bound if diagnosis else route.capacity is None,
        "limit": limit if route.mechanism else None,
        "levels": [_level_entry(level) for level in route.levels],
        "offered": [_open_load_entry(load) for load in route.open_loads],
        "burst": _burst_entry(route),
        "restarts": {name: _restarts_entry(value) for name, value in route.restarts.items()},
        "neighbours": _neighbour_entries(route.neighbours),
        "server_says_p50_s": top.app_quantiles.get("p50") if top else None,
        "server_says_p99_s": top.app_quantiles.get("p99") if top else None,
        "blame": [],
        **_pick(finding, "sentence remedy"),
        **(_doctor_entry(diagnosis) if diagnosis else {}),
    }


def _doctor_entry(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what the doctor adds to a route."""
    evidence, result, remedy = diagnosis.evidence, diagnosis.rule_result, diagnosis.remedy
    stats = evidence.top.server_stats if evidence.top else None
    neighbours, neighbour_load = diagnosis.verdict_neighbours
    culprit_names = "file line function call library share holds blind"
    limit = {"name": result.verdict, "predicted": result.concurrency}
    no_figure = dict.fromkeys(("served_at_once_interval", "capacity_rps", "capacity_rps_interval"))
    return {
        **({} if result.has_figure else no_figure),
        "served_at_once": diagnosis.served_at_once if result.has_figure else None,
        "nothing_queues": result.is_lower_bound and diagnosis.is_lower_bound,
        "neighbours_wait_for_core": diagnosis.is_core_contended,
        "blame": [_pick(culprit, culprit_names) for culprit in diagnosis.culprits],
        "waits": [_wait_entry(diagnosis, wait) for wait in diagnosis.waits],
        "file": evidence.entry.file,
        "line": evidence.entry.line,
        "hold_s": diagnosis.hold_time,
        "loop_lag_p99_s": stats.lag if stats else None,
        "loop_lag_max_s": stats.longest_lag if stats else None,
        "limit": limit if result.concurrency else None,
        "seen": result.reason,
        "notes": diagnosis.notes,
        "sure": diagnosis.confidence,
        "excluded": list(diagnosis.excluded_verdicts),
        "neighbours": _neighbour_entries(neighbours),
        "neighbours_at": neighbour_load,
        "would_change_it": result.would_change_if,
        "cure": asdict(remedy) if remedy else None,
    }


def _wait_entry(diagnosis: Diagnosis, wait: Wait) -> dict[str, Any]:
    """Return a place where requests, or the threads that work for them, were seen."""
    profile, default = diagnosis.evidence.waits, DEFAULT_SIZES.get(wait.name)
    names = "file line function call what name pool"
    return {
        **_pick(wait, names),
        "size": wait.size or default,
        "size_from": "object" if wait.size else "default" if default else None,
        "count": wait.count,
        "share": profile.share(wait) if profile else None,
    }


def _restarts_entry(repeated_value: RepeatedValue) -> dict[str, Any]:
    """Return one number of the largest crowd, restart by restart; an interval of five and more."""
    low, high = repeated_value.interval or (None, None)
    entry = {"values": list(repeated_value.values), "low": low, "high": high}
    return {**entry, **_pick(repeated_value, "estimate variation")}


def _experiment_entry(route: RouteMetrics) -> dict[str, Any]:
    """Return a variant under conditions of its own; `whole`: all requests of its largest crowd."""
    fairness = route.top_level.fairness if route.top_level else None
    return {
        **_pick(route, "variant route served_at_once"),
        "service_s": route.unloaded_mean,
        "levels": [_level_entry(level) for level in route.levels],
        "whole": fairness
        and {
            **_latency_entry(fairness.latency),
            "answers": list(fairness.answers_per_user),
            "longest_waits_s": list(fairness.longest_waits),
            "count": fairness.latency.count,
            "predicted_mean_s": fairness.predicted_mean,
            "starved": fairness.starved_users,
        },
    }


def _level_entry(level: CrowdMetrics) -> dict[str, Any]:
    return {
        **_pick(level, "users repeat count completed unfinished errors starved_users"),
        "think_s": level.think_time,
        "rps": level.throughput,
        "rps_interval": level.throughput_interval,
        **_latency_entry(level),
        "little_residual": level.little.residual if level.little else None,
        "little_identity": level.little.identity if level.little else None,
        "predicted_mean_s": level.predicted_mean,
        "server_cpu": level.cpu,
        "split": _breakdown_entry(level.breakdown) if level.breakdown else None,
    }


def _breakdown_entry(breakdown: LatencyBreakdown) -> dict[str, Any]:
    parts = _pick(breakdown, "lag before_app for_thread served to_be_sent timer", "_s")
    return {**parts, **_pick(breakdown, "known count")}


def _open_load_entry(load: OpenLoadMetrics) -> dict[str, Any]:
    _, variation, ks_p = load.arrival_tests[0] if load.arrival_tests else (None, None, None)
    latency = load.curves.closed_loop_latency if load.curves else None
    closed_loop = None
    if load.curves and latency:  # too long rather than too short
        counts = {"users": load.curves.users, "count": latency.count}
        closed_loop = {**counts, **_latency_entry(latency)}
    unknown = dict.fromkeys(f"{name}_s" for name in ("mean", *SUMMARY_QUANTILES, "max"))
    return {
        "rate_rps": load.nominal_rate,
        "offered_rps": load.sent_rate,
        "rps": load.throughput,
        **_pick(load, "law share repeat planned sent refused completed backlog unfinished"),
        **_pick(load, "errors overloaded"),
        **(_latency_entry(load.latency) if load.latency else unknown),
        "lateness_p99_s": load.lateness,
        "arrivals_cv": variation,
        "arrivals_ks_p": ks_p,
        "growth_rps": load.growth,
        "predicted_growth_rps": load.predicted_growth,
        "busy_service_s": load.busy_service_time,
        "replay": _replay_entry(load),
        "closed_loop_view": closed_loop,
    }


def _replay_entry(load: OpenLoadMetrics) -> dict[str, Any]:
    """Compare the load with a replay on ideal places; unfairness is measured / replayed."""
    replay, estimate = load.replay_result, load.concurrency_estimate
    entry = {
        "places_from": estimate.source,
        "places_at_least": estimate.at_least,
        "starved_connections": load.starved_share,
    }
    if not replay:
        return {**entry, "places": None, "model": None}

    def supported(values: Mapping[str, float]) -> dict[str, float | None]:
        return {f"{name}_s": x if replay.has_support(name) else None for name, x in values.items()}

    return {
        **entry,
        **_pick(replay, "places model count drained mean_ratio completion_error is_unfair"),
        "measured": supported(replay.measured),
        "replayed": supported(replay.replayed),
        "service_s": replay.service_time,
        "way_s": replay.http_overhead,
        "unfairness": {name: replay.unfairness(name) for name in replay.measured},
        "longest_wait_s": replay.longest_wait,
    }


def _latency_entry(latency: CrowdMetrics | LatencyStats) -> dict[str, Any]:
    """Return mean, quantiles and longest, with intervals if queued; an open end is null."""
    values: dict[str, Any] = {}
    estimates = {"mean": latency.mean, **latency.quantiles, "max": latency.longest}
    for name, estimate in estimates.items():
        values |= _estimate_entry(name, estimate)
        if estimate and estimate.beyond is not None:
            values[f"{name}_interval_s"] = _finite_ends(estimate.interval or ()) or None
            values[f"{name}_beyond"] = estimate.beyond
    return values


def _estimate_entry(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """Return `p99_s` and, where only a bound is known, `p99_at_least_s`."""
    if estimate is None or estimate.exact is not None:
        return {f"{name}_s": estimate.exact if estimate else None}
    upper_bound = {f"{name}_at_most_s": estimate.high} if math.isfinite(estimate.high) else {}
    return {f"{name}_s": None, f"{name}_at_least_s": estimate.low, **upper_bound}


def _burst_entry(route: RouteMetrics) -> dict[str, Any] | None:
    """Return one burst: its size, its last answer, and at how many moments answers came."""
    burst = route.first_burst
    if not burst or not all(map(math.isfinite, burst.done)):
        return None
    steps = burst.count_answer_steps(route.unloaded_mean)
    return {"size": burst.size, "last_answer_s": max(burst.done), "answer_moments": steps}


def _neighbour_entries(neighbours: Mapping[str, NeighbourMetrics]) -> dict[str, Any]:
    return {
        kind: {
            **_estimate_entry("idle_p90", neighbour.idle),
            **_estimate_entry("loaded_p90", neighbour.loaded),
            **_pick(neighbour, "idle_pings loaded_pings"),
            "predicted_p90_s": neighbour.predicted_p90,
        }
        for kind, neighbour in neighbours.items()
    }


def _claim_entry(evaluated: EvaluatedClaim) -> dict[str, Any]:
    claim, result = evaluated.claim, evaluated.result
    bars = [{"label": label, "value": value} for label, value in result.bars]
    entry = {**_pick(claim, "id sentence source"), **_pick(result, "predicted measured why")}
    return {**entry, "verdict": result.outcome, "bars": bars}


def _guide_entry(row: GuideRow) -> dict[str, Any]:
    entry = {"you_call": row.question, "with": row.what, "served_at_once_interval": row.interval}
    return {**entry, **_pick(row, "form advice variant users served_at_once limit verdict")}
