"""The report as data: `summary.json`, a promise to other programs.

`summary.schema.json` beside this file describes it. Seconds in keys that end in `_s`. A quantile
the data cannot support is null; one that unanswered requests leave open is null too, beside a lower
bound in `..._at_least_s`. More keys may be added; these keep their names and units.
"""

import math
from dataclasses import asdict
from typing import Any

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

SUMMARY_FORMAT = 1


def build_summary(report: Report) -> dict[str, Any]:
    """The whole report as JSON-ready data."""
    run = report.run_metrics.run
    data = {
        "format": SUMMARY_FORMAT,
        "run": run["run"],
        "command": run["command"],
        "status": run["status"],
        "seconds_total": run.get("seconds"),
        "environment": {
            **run["machine"],
            "loop": run["loop"],
            "packages": run["packages"],
            "targets": run.get("targets", {}),
            "seed": run["seed"],
            "connections": run["connections"],
            "host": run.get("host"),
        },
        "trust": {
            "verdict": report.trust.trust_level,
            "cells": report.trust.trust_by_cell,
            "checks": [check_entry(item) for item in report.trust.checks],
        },
        "routes": [route_entry(item) for item in report.findings],
        "experiments": [_experiment_entry(item) for item in report.run_metrics.experiments],
        "claims": [_claim_entry(item) for item in report.claims],
        "guide": [_guide_entry(item) for item in build_guide(report)],
        "gates": [_goal_entry(item) for item in report.goals],
        "skipped": [
            {"route": item["route"], "why": item["skipped"]}
            for item in run.get("routes", [])
            if item["skipped"]
        ],
        "missing": [asdict(item) for item in report.run_metrics.unfinished_cells],
        "troubles": run.get("troubles", []),
    }
    return {**data, "gates": [*data["gates"], *evaluate_gates(run.get("gates", []), data)]}


def _goal_entry(goal: Goal) -> dict[str, Any]:
    """One goal: the measured value must lie in `limit`, which surrounds the expected one."""
    limit = [goal.low, goal.high]
    return {
        "expression": goal.name,
        "limit": limit,
        "actual": goal.measured,
        "holds": goal.is_met,
        "truth": goal.truth,
        "off": goal.relative_error,
    }


def check_entry(check: Check) -> dict[str, Any]:
    """One check; an open end of a range is null."""
    entry = {
        name: getattr(check, name)
        for name in ("id", "name", "cell", "value", "status", "why", "remedy")
    }
    for name in ("pass_limit", "fail_limit"):
        limit = getattr(check, name)
        entry[name] = (
            [end if math.isfinite(end) else None for end in limit]
            if isinstance(limit, tuple)
            else limit
        )
    return {**entry, "finding": check.is_informational}


def route_entry(finding: Finding) -> dict[str, Any]:
    """One route: verdict, numbers, levels, neighbours, sentence."""
    route = finding.route
    return {
        "route": route.route,
        "variant": route.variant,
        "verdict": finding.verdict,
        "service_s": route.unloaded_mean,
        "served_at_once": route.served_at_once,
        "served_at_once_interval": route.served_at_once_interval,
        "capacity_rps": route.top_level.throughput if route.top_level else None,
        "capacity_rps_interval": route.top_level.throughput_interval if route.top_level else None,
        "is_bound": (
            finding.diagnosis.is_lower_bound if finding.diagnosis else route.capacity is None
        ),
        "limit": (
            {"name": route.mechanism, "predicted": route.expected_concurrency}
            if route.mechanism
            else None
        ),
        "levels": [_level_entry(level) for level in route.levels],
        "offered": [_open_load_entry(item) for item in route.open_loads],
        "burst": _burst_entry(route),
        "restarts": {name: _restarts_entry(item) for name, item in route.restarts.items()},
        "neighbours": {kind: _neighbour_entry(item) for kind, item in route.neighbours.items()},
        "server_says_p50_s": route.top_level.app_quantiles.get("p50") if route.top_level else None,
        "server_says_p99_s": route.top_level.app_quantiles.get("p99") if route.top_level else None,
        "blame": [],
        "sentence": finding.sentence,
        "remedy": finding.remedy,
        **(_doctor_entry(finding.diagnosis) if finding.diagnosis else {}),
    }


def _doctor_entry(diagnosis: Diagnosis) -> dict[str, Any]:
    """What the doctor adds to a route."""
    server_stats, remedy = (
        diagnosis.evidence.top.server_stats if diagnosis.evidence.top else None,
        diagnosis.remedy,
    )
    neighbours, neighbour_load = diagnosis.verdict_neighbours
    names = ("file", "line", "function", "call", "library", "share", "holds", "blind")
    return {
        "served_at_once": diagnosis.served_at_once,
        "nothing_queues": diagnosis.rule_result.is_lower_bound and diagnosis.is_lower_bound,
        "neighbours_wait_for_core": diagnosis.is_core_contended,
        "blame": [{name: getattr(item, name) for name in names} for item in diagnosis.culprits],
        "file": diagnosis.evidence.entry.get("file"),
        "line": diagnosis.evidence.entry.get("line"),
        "hold_s": diagnosis.hold_time,
        "loop_lag_p99_s": server_stats.lag if server_stats else None,
        "loop_lag_max_s": server_stats.longest_lag if server_stats else None,
        "limit": (
            {"name": diagnosis.rule_result.verdict, "predicted": diagnosis.rule_result.concurrency}
            if diagnosis.rule_result.concurrency
            else None
        ),
        "seen": diagnosis.rule_result.reason,
        "notes": diagnosis.notes,
        "sure": diagnosis.confidence,
        "excluded": list(diagnosis.excluded_verdicts),
        "neighbours": {kind: _neighbour_entry(item) for kind, item in neighbours.items()},
        "neighbours_at": neighbour_load,
        "would_change_it": diagnosis.rule_result.would_change_if,
        "cure": asdict(remedy) if remedy else None,
    }


def _restarts_entry(repeated_value: RepeatedValue) -> dict[str, Any]:
    """One number of the largest crowd, restart by restart; an interval of five and more."""
    low, high = repeated_value.interval or (None, None)
    return {
        "values": list(repeated_value.values),
        "estimate": repeated_value.estimate,
        "low": low,
        "high": high,
        "variation": repeated_value.variation,
    }


def _experiment_entry(route: RouteMetrics) -> dict[str, Any]:
    """A variant under conditions of its own; all requests and answers of its largest crowd."""
    fairness, whole = route.top_level.fairness if route.top_level else None, None
    if fairness:
        waits = {
            "answers": list(fairness.answers_per_user),
            "longest_waits_s": list(fairness.longest_waits),
        }
        counts = {
            "count": fairness.latency.count,
            "predicted_mean_s": fairness.predicted_mean,
            "starved": fairness.starved_users,
        }
        whole = {**_latency_entry(fairness.latency), **waits, **counts}
    return {
        "variant": route.variant,
        "route": route.route,
        "service_s": route.unloaded_mean,
        "served_at_once": route.served_at_once,
        "levels": [_level_entry(level) for level in route.levels],
        "whole": whole,
    }


def _level_entry(level: CrowdMetrics) -> dict[str, Any]:
    return {
        "users": level.users,
        "think_s": level.think_time,
        "repeat": level.repeat,
        "rps": level.throughput,
        "rps_interval": level.throughput_interval,
        **_latency_entry(level),
        **{name: getattr(level, name) for name in ("count", "completed", "unfinished", "errors")},
        "little_residual": level.little.residual if level.little else None,
        "little_identity": level.little.identity if level.little else None,
        "predicted_mean_s": level.predicted_mean,
        "server_cpu": level.cpu,
        "starved_users": level.starved_users,
        "split": _breakdown_entry(level.breakdown) if level.breakdown else None,
    }


def _breakdown_entry(breakdown: LatencyBreakdown) -> dict[str, Any]:
    """Where the mean latency went."""
    names = ("lag", "before_app", "for_thread", "served", "to_be_sent", "timer")
    return {
        **{f"{name}_s": getattr(breakdown, name) for name in names},
        "known": breakdown.known,
        "count": breakdown.count,
    }


def _open_load_entry(load: OpenLoadMetrics) -> dict[str, Any]:
    """One load of the open model."""
    names = (
        "law",
        "share",
        "repeat",
        "planned",
        "sent",
        "refused",
        "completed",
        "backlog",
        "unfinished",
        "errors",
        "overloaded",
    )
    arrival_test = load.arrival_tests[0] if load.arrival_tests else (None, None, None)
    return {
        "rate_rps": load.nominal_rate,
        "offered_rps": load.sent_rate,
        "rps": load.throughput,
        **{name: getattr(load, name) for name in names},
        **(
            _latency_entry(load.latency)
            if load.latency
            else {f"{name}_s": None for name in ("mean", *SUMMARY_QUANTILES, "max")}
        ),
        "lateness_p99_s": load.lateness,
        "arrivals_cv": arrival_test[1],
        "arrivals_ks_p": arrival_test[2],
        "growth_rps": load.growth,
        "predicted_growth_rps": load.predicted_growth,
        "busy_service_s": load.busy_service_time,
        "replay": _replay_entry(load),
        "closed_loop_view": _closed_loop_entry(load),
    }


def _replay_entry(load: OpenLoadMetrics) -> dict[str, Any]:
    """The load's sends on ideal places, in order, beside their `done - sent`.

    U, the unfairness, is measured / replayed.
    """
    replay, estimate = load.replay_result, load.concurrency_estimate
    entry = {
        "places_from": estimate.source,
        "places_at_least": estimate.at_least,
        "starved_connections": load.starved_share,
    }
    if not replay:
        return {**entry, "places": None, "model": None}
    return {
        **entry,
        **{
            name: getattr(replay, name)
            for name in ("places", "model", "count", "drained", "mean_ratio", "completion_error")
        },
        "service_s": replay.service_time,
        "way_s": replay.http_overhead,
        "measured": {
            f"{name}_s": value if replay.has_support(name) else None
            for name, value in replay.measured.items()
        },
        "replayed": {
            f"{name}_s": value if replay.has_support(name) else None
            for name, value in replay.replayed.items()
        },
        "unfairness": {name: replay.unfairness(name) for name in replay.measured},
        "is_unfair": replay.is_unfair,
        "longest_wait_s": replay.longest_wait,
    }


def _closed_loop_entry(load: OpenLoadMetrics) -> dict[str, Any] | None:
    """What a closed loop would have shown of these answers; too long rather than too short."""
    latency = load.curves.closed_loop_latency if load.curves else None
    return (
        {"users": load.curves.users, "count": latency.count, **_latency_entry(latency)}
        if load.curves and latency
        else None
    )


def _latency_entry(latency: CrowdMetrics | LatencyStats) -> dict[str, Any]:
    """Mean, quantiles and longest; of queued requests the doubt of each; an open end is null."""
    estimates = {"mean": latency.mean, **latency.quantiles, "max": latency.longest}
    values: dict[str, Any] = {}
    for name, estimate in estimates.items():
        values |= _estimate_entry(name, estimate)
    queued_estimates = {
        name: estimate
        for name, estimate in estimates.items()
        if estimate and estimate.beyond is not None
    }
    for name, estimate in queued_estimates.items():
        ends = [end if math.isfinite(end) else None for end in estimate.interval or ()]
        values |= {f"{name}_interval_s": ends or None, f"{name}_beyond": estimate.beyond}
    return values


def _estimate_entry(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """`p99_s` and, where only a bound is known, `p99_at_least_s`."""
    if estimate is None:
        return {f"{name}_s": None}
    if estimate.exact is None:
        upper_bound = {f"{name}_at_most_s": estimate.high} if math.isfinite(estimate.high) else {}
        return {f"{name}_s": None, f"{name}_at_least_s": estimate.low, **upper_bound}
    return {f"{name}_s": estimate.exact}


def _burst_entry(route: RouteMetrics) -> dict[str, Any] | None:
    """One burst: how many, when the last was answered, and at how many moments they were."""
    burst = route.first_burst
    if not burst or not all(map(math.isfinite, burst.done)):
        return None
    return {
        "size": burst.size,
        "last_answer_s": max(burst.done),
        "answer_moments": burst.count_answer_steps(route.unloaded_mean),
    }


def _neighbour_entry(neighbour: NeighbourMetrics) -> dict[str, Any]:
    """One neighbour, idle and loaded."""
    return {
        **_estimate_entry("idle_p90", neighbour.idle),
        **_estimate_entry("loaded_p90", neighbour.loaded),
        "idle_pings": neighbour.idle_pings,
        "loaded_pings": neighbour.loaded_pings,
        "predicted_p90_s": neighbour.predicted_p90,
    }


def _claim_entry(evaluated: EvaluatedClaim) -> dict[str, Any]:
    claim, result = evaluated.claim, evaluated.result
    return {
        "id": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "predicted": result.predicted,
        "measured": result.measured,
        "verdict": result.outcome,
        "why": result.why,
        "bars": [{"label": label, "value": value} for label, value in result.bars],
    }


def _guide_entry(row: GuideRow) -> dict[str, Any]:
    """One form of the decision guide; of an untrusted run without numbers."""
    names = {
        "you_call": "question",
        "form": "form",
        "with": "what",
        "advice": "advice",
        "variant": "variant",
        "users": "users",
    }
    return {
        **{key: getattr(row, name) for key, name in names.items()},
        "served_at_once": row.served_at_once,
        "served_at_once_interval": row.interval,
        "limit": row.limit,
        "verdict": row.verdict,
    }
