"""The report as data: `summary.json`, a promise to other programs, described by `summary.schema.json` beside this file.

Seconds in keys that end in `_s`. A quantile the data cannot support is null; one that unanswered requests leave open is
null too, beside a lower bound in `..._at_least_s`. More keys may be added; these keep their names and units.
"""

import math
from dataclasses import asdict
from typing import Any

from reports.checks.model import Check
from reports.claims.model import Judged
from reports.gates.evaluate import rulings
from reports.metrics.breakdown import Split
from reports.metrics.model import Bystander, Level, Offered, Route
from reports.model import Goal, Report
from reports.render.decision_guide import Row, guide
from reports.stats.intervals import Restarts
from reports.stats.quantiles import KEPT, Estimate, Latency
from reports.verdicts.diagnosis import Case
from reports.verdicts.model import Finding

FORMAT = 1


def summary(report: Report) -> dict[str, Any]:
    """The whole report as JSON-ready data."""
    run = report.study.run
    data = {
        "format": FORMAT,
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
            "verdict": report.trust.belief,
            "cells": report.trust.cells,
            "checks": [check_entry(one) for one in report.trust.checks],
        },
        "routes": [route_entry(one) for one in report.findings],
        "experiments": [experiment_entry(one) for one in report.study.experiments],
        "claims": [claim_entry(one) for one in report.claims],
        "guide": [guide_entry(one) for one in guide(report)],
        "gates": [gate_entry(one) for one in report.goals],
        "skipped": [{"route": one["route"], "why": one["skipped"]} for one in run.get("routes", []) if one["skipped"]],
        "missing": [asdict(one) for one in report.study.missing],
        "troubles": run.get("troubles", []),
    }
    return {**data, "gates": [*data["gates"], *rulings(run.get("gates", []), data)]}


def gate_entry(one: Goal) -> dict[str, Any]:
    """One goal: what was measured must lie in `limit`, which surrounds what should have been measured."""
    limit = [one.low, one.high]
    return {"expression": one.name, "limit": limit, "actual": one.measured, "holds": one.holds, "truth": one.truth, "off": one.off}


def check_entry(check: Check) -> dict[str, Any]:
    """One check; an open end of a range is null."""
    entry = {name: getattr(check, name) for name in ("id", "name", "cell", "value", "status", "why", "remedy")}
    for name in ("pass_limit", "fail_limit"):
        limit = getattr(check, name)
        entry[name] = [one if math.isfinite(one) else None for one in limit] if isinstance(limit, tuple) else limit
    return {**entry, "finding": check.is_finding}


def route_entry(finding: Finding) -> dict[str, Any]:
    """One route: verdict, numbers, levels, neighbours, sentence."""
    route = finding.route
    return {
        "route": route.route,
        "variant": route.variant,
        "verdict": finding.verdict,
        "service_s": route.service,
        "served_at_once": route.served,
        "served_at_once_interval": route.served_between,
        "capacity_rps": route.top.rate if route.top else None,
        "capacity_rps_interval": route.top.rates if route.top else None,
        "is_bound": finding.case.is_bound if finding.case else route.capacity is None,
        "limit": {"name": route.mechanism, "predicted": route.places} if route.mechanism else None,
        "levels": [level_entry(level) for level in route.levels],
        "offered": [offered_entry(one) for one in route.offered],
        "burst": burst_entry(route),
        "restarts": {name: restarts_entry(one) for name, one in route.restarts.items()},
        "neighbours": {kind: neighbour_entry(one) for kind, one in route.bystanders.items()},
        "server_says_p50_s": route.top.inside.get("p50") if route.top else None,
        "server_says_p99_s": route.top.inside.get("p99") if route.top else None,
        "blame": [],
        "sentence": finding.sentence,
        "remedy": finding.remedy,
        **(examined(finding.case) if finding.case else {}),
    }


def examined(case: Case) -> dict[str, Any]:
    """What the doctor adds to a route."""
    inside, cure = case.exam.top.inside if case.exam.top else None, case.cure
    beside, at = case.neighbours
    names = ("file", "line", "function", "call", "library", "share", "holds", "blind")
    return {
        "served_at_once": case.served,
        "nothing_queues": case.ruling.is_bound and case.is_bound,
        "neighbours_wait_for_core": case.waits_for_core,
        "blame": [{name: getattr(one, name) for name in names} for one in case.blames],
        "file": case.exam.entry.get("file"),
        "line": case.exam.entry.get("line"),
        "hold_s": case.hold,
        "loop_lag_p99_s": inside.lag if inside else None,
        "loop_lag_max_s": inside.longest_lag if inside else None,
        "limit": {"name": case.ruling.verdict, "predicted": case.ruling.places} if case.ruling.places else None,
        "seen": case.ruling.seen,
        "notes": case.notes,
        "sure": case.sure,
        "excluded": list(case.excluded),
        "neighbours": {kind: neighbour_entry(one) for kind, one in beside.items()},
        "neighbours_at": at,
        "would_change_it": case.ruling.change,
        "cure": asdict(cure) if cure else None,
    }


def restarts_entry(one: Restarts) -> dict[str, Any]:
    """One number of the largest crowd, restart by restart; an interval of five and more."""
    low, high = one.interval or (None, None)
    return {"values": list(one.values), "estimate": one.estimate, "low": low, "high": high, "variation": one.variation}


def experiment_entry(route: Route) -> dict[str, Any]:
    """A variant under conditions of its own; of its largest crowd all requests, and who got how many answers."""
    turns, whole = route.top.turns if route.top else None, None
    if turns:
        got = {"answers": list(turns.answers), "longest_waits_s": list(turns.longest)}
        known = {"count": turns.latency.count, "predicted_mean_s": turns.predicted_mean, "starved": turns.starved}
        whole = {**latency_entry(turns.latency), **got, **known}
    return {
        "variant": route.variant,
        "route": route.route,
        "service_s": route.service,
        "served_at_once": route.served,
        "levels": [level_entry(level) for level in route.levels],
        "whole": whole,
    }


def level_entry(level: Level) -> dict[str, Any]:
    """One crowd."""
    return {
        "users": level.users,
        "think_s": level.think,
        "repeat": level.repeat,
        "rps": level.rate,
        "rps_interval": level.rates,
        **latency_entry(level),
        **{name: getattr(level, name) for name in ("count", "completed", "unfinished", "errors")},
        "little_residual": level.little.residual if level.little else None,
        "little_identity": level.little.identity if level.little else None,
        "predicted_mean_s": level.predicted_mean,
        "server_cpu": level.cpu,
        "starved_users": level.starved,
        "split": split_entry(level.split) if level.split else None,
    }


def split_entry(one: Split) -> dict[str, Any]:
    """Where the mean latency went."""
    names = ("lag", "before_app", "for_thread", "served", "to_be_sent", "timer")
    return {**{f"{name}_s": getattr(one, name) for name in names}, "known": one.known, "count": one.count}


def offered_entry(one: Offered) -> dict[str, Any]:
    """One load of the open model."""
    names = ("law", "share", "repeat", "planned", "sent", "refused", "completed", "backlog", "unfinished", "errors", "overloaded")
    schedule = one.arrivals[0] if one.arrivals else (None, None, None)
    return {
        "rate_rps": one.nominal,
        "offered_rps": one.rate,
        "rps": one.throughput,
        **{name: getattr(one, name) for name in names},
        **(latency_entry(one.latency) if one.latency else {f"{name}_s": None for name in ("mean", *KEPT, "max")}),
        "lateness_p99_s": one.lateness,
        "arrivals_cv": schedule[1],
        "arrivals_ks_p": schedule[2],
        "growth_rps": one.growth,
        "predicted_growth_rps": one.predicted_growth,
        "busy_service_s": one.busy,
        "replay": replay_entry(one),
        "closed_loop_view": closed_entry(one),
    }


def replay_entry(one: Offered) -> dict[str, Any]:
    """The load's own sends on ideal places, in order, beside `done - sent` of the same requests; U is measured / replayed."""
    found, known = one.replayed, one.served
    entry = {"places_from": known.source, "places_at_least": known.at_least, "starved_connections": one.starved}
    if not found:
        return {**entry, "places": None, "model": None}
    return {
        **entry,
        **{name: getattr(found, name) for name in ("places", "model", "count", "drained", "mean_ratio", "completion_error")},
        "service_s": found.d,
        "way_s": found.way,
        "measured": {f"{name}_s": value if found.supports(name) else None for name, value in found.measured.items()},
        "replayed": {f"{name}_s": value if found.supports(name) else None for name, value in found.replayed.items()},
        "unfairness": {name: found.ratio(name) for name in found.measured},
        "is_unfair": found.is_unfair,
        "longest_wait_s": found.longest_wait,
    }


def closed_entry(one: Offered) -> dict[str, Any] | None:
    """What a closed loop would have told of the same answers; too long rather than too short."""
    told = one.spectrum.told if one.spectrum else None
    return {"users": one.spectrum.users, "count": told.count, **latency_entry(told)} if one.spectrum and told else None


def latency_entry(found: Level | Latency) -> dict[str, Any]:
    """Mean, quantiles and longest, and where requests queued with each other the doubt of each; an open end is null."""
    named = {"mean": found.mean, **found.quantiles, "max": found.longest}
    values = {key: number for name, one in named.items() for key, number in spread(name, one).items()}
    doubted = {name: one for name, one in named.items() if one and one.beyond is not None}
    for name, one in doubted.items():
        ends = [end if math.isfinite(end) else None for end in one.interval or ()]
        values |= {f"{name}_interval_s": ends or None, f"{name}_beyond": one.beyond}
    return values


def spread(name: str, one: Estimate | None) -> dict[str, Any]:
    """`p99_s` and, where only a bound is known, `p99_at_least_s`."""
    if one is None:
        return {f"{name}_s": None}
    if one.exact is None:
        most = {f"{name}_at_most_s": one.high} if math.isfinite(one.high) else {}
        return {f"{name}_s": None, f"{name}_at_least_s": one.low, **most}
    return {f"{name}_s": one.exact}


def burst_entry(route: Route) -> dict[str, Any] | None:
    """One burst: how many, when the last was answered, and at how many moments they were."""
    burst = route.burst
    if not burst or not all(map(math.isfinite, burst.done)):
        return None
    return {"size": burst.size, "last_answer_s": max(burst.done), "answer_moments": burst.steps(route.service)}


def neighbour_entry(one: Bystander) -> dict[str, Any]:
    """One innocent route, idle and loaded."""
    return {
        **spread("idle_p90", one.idle),
        **spread("loaded_p90", one.loaded),
        "idle_pings": one.idle_pings,
        "loaded_pings": one.loaded_pings,
        "predicted_p90_s": one.predicted,
    }


def claim_entry(one: Judged) -> dict[str, Any]:
    """One claim."""
    claim, judgement = one.claim, one.judgement
    return {
        "id": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "predicted": judgement.predicted,
        "measured": judgement.measured,
        "verdict": judgement.outcome,
        "why": judgement.why,
        "bars": [{"label": label, "value": value} for label, value in judgement.bars],
    }


def guide_entry(row: Row) -> dict[str, Any]:
    """One form of the decision guide; of an untrusted run without numbers."""
    names = {"you_call": "question", "form": "form", "with": "what", "advice": "advice", "variant": "variant", "users": "users"}
    return {
        **{key: getattr(row, name) for key, name in names.items()},
        "served_at_once": row.served,
        "served_at_once_interval": row.interval,
        "limit": row.limit,
        "verdict": row.verdict,
    }
