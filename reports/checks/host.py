"""Checks the machine and the record of what ran: clock, other load, CPU limits, versions."""

import math
from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import format_count, format_number, format_seconds, format_share
from reports.metrics.model import CellCounts, RunMetrics
from reports.metrics.run_health import CellHealth
from results.thresholds import MIN_WINDOW_SECONDS

_MICROSECOND = 1e-6
_REQUIRED_FACTS = {
    "machine": ("python", "cpus", "system"),
    "packages": ("fastapi", "uvicorn", "anyio", "starlette", "uvloop", "locust", "gevent"),
}
_RUNTIME_FACTS = ("loop", "http_parser", "thread_tokens", "executor_size")
_NEEDED_CORES = 2.0  # cores
_NOT_REPORTED = "neither the system nor the target tells"


def check_host(run_metrics: RunMetrics) -> Iterator[Check]:
    """V1, V10 and V22: the run as a whole, and the machine during every cell."""
    yield from _check_clock(run_metrics)
    busy = run_metrics.run["machine"].get("busy_before")
    why = (
        _NOT_REPORTED
        if busy is None
        else f"{format_share(busy)} of all cores were busy just before the run"
    )
    yield Check("V10", "load before", "*", busy, 0.3, 1.0, why)
    for tally in run_metrics.cell_counts:
        if not tally.is_neighbour_cell:
            yield _check_cpu_limit(tally, run_metrics.run["machine"].get("cpu_limit"))
            # The app under test may have its database on this machine.
            yield from _check_host_load(
                tally, 1.0 if run_metrics.run["command"] == "doctor" else 0.30
            )
    yield _check_core_limit(run_metrics.run["machine"].get("cpu_limit"))
    yield _check_pinning(run_metrics)
    yield _check_origin(run_metrics)


def _check_clock(run_metrics: RunMetrics) -> Iterator[Check]:
    """V1: the clock, on which all durations depend."""
    clock_facts = run_metrics.run["machine"].get("clock") or {}
    resolution, backward = clock_facts.get("resolution"), clock_facts.get("backward")
    why = (
        _NOT_REPORTED
        if resolution is None
        else f"the clock ticks in steps of {format_number(resolution * 1e9)} ns"
    )
    yield Check(
        "V1", "clock", "*", resolution, _MICROSECOND, 100 * _MICROSECOND, why, format_seconds
    )
    why = _NOT_REPORTED if backward is None else f"the clock went back {backward} times"
    yield Check("V1", "clock, backward steps", "*", backward, 0.0, 0.0, why, format_number)


def _check_host_load(tally: CellCounts, too_many: float) -> Iterator[Check]:
    """V10: what other processes took from this machine during a cell."""
    health = tally.health
    measures = [
        (
            "other processes",
            health.other_cpu,
            0.10,
            too_many,
            "of all cores was used by neither generator nor target",
        ),
        (
            "stolen CPU",
            health.stolen_share,
            0.01,
            0.05,
            "of the CPU time was taken by the host for others",
        ),
    ]
    for name, value, fine, too_much, description in measures:
        why = _unknown_reason(health) if value is None else f"{format_share(value)} {description}"
        yield Check("V10", name, tally.cell, value, fine, too_much, why)
    why = (
        _unknown_reason(health)
        if health.swapped_pages is None
        else f"{health.swapped_pages:,.0f} pages were swapped"
    )
    yield Check("V10", "swap", tally.cell, health.swapped_pages, 0.0, 0.0, why, format_number)


def _unknown_reason(health: CellHealth) -> str:
    """Why a number of the machine is not known."""
    return (
        f"{format_seconds(health.duration)} are too short to tell"
        if health.duration < MIN_WINDOW_SECONDS
        else _NOT_REPORTED
    )


def _check_cpu_limit(tally: CellCounts, limit: float | None) -> Check:
    """V10: a container over its CPU limit stops until its next period, app and generator alike."""
    value, subject = (
        tally.health.throttled_share,
        f"a limit of {_format_cores(limit)}" if limit else "the container's CPU limit",
    )
    why = (
        _NOT_REPORTED
        if value is None
        else f"{subject} stopped its processes in {format_share(value)} of the periods"
    )
    return Check("V10", "CPU limit", tally.cell, value, 0.01, 0.05, why, advice=_cpu_advice(limit))


def _check_core_limit(limit: float | None) -> Check:
    """V10: app and generator need a core each."""
    why = (
        f"the container may use {_format_cores(limit)}; the app and the load generator need one"
        " each"
        if limit
        else "no CPU limit is known"
    )
    short = max(0.0, _NEEDED_CORES - limit) if limit else 0.0
    return Check(
        "V10",
        "CPU limit, cores",
        "*",
        short,
        (0.0, 0.0),
        (0.0, math.inf),
        why,
        format_number,
        advice=_cpu_advice(limit),
    )


def _cpu_advice(limit: float | None) -> str:
    """What to do about a limit."""
    has = f"more than its {_format_cores(limit)}" if limit else "more CPU"
    return (
        f"Give the container {has}: docker run --cpus, resources.limits.cpu, CPUQuota of systemd;"
        " or ask for less."
    )


def _format_cores(limit: float) -> str:
    return f"{limit:g} core" + ("" if limit == 1 else "s")


def _check_pinning(run_metrics: RunMetrics) -> Check:
    """V10: the app must have had its planned core; its processes report where they ran."""
    planned, ran = run_metrics.run["machine"].get("app_core"), run_metrics.run.get("targets", {})
    known = {
        name: target["cpus"]
        for name, target in ran.items()
        if target.get("cpus") and name not in run_metrics.run.get("unpinned", [])
    }
    if planned is None or not known:
        why = "the app was not pinned, or nobody knows where it ran"
        return Check("V10", "pinning", "*", None, (0.0, 0.0), (0.0, math.inf), why, format_number)
    astray = [name for name, cpus in known.items() if cpus != [planned]]
    why = f"the app ran on core {planned}, as planned"
    if astray:
        why = (
            f"{format_count(len(astray), 'server')} ran on {known[astray[0]]}, not on core"
            f" {planned} as planned: on the generator's core, or anywhere"
        )
    return Check(
        "V10", "pinning", "*", float(len(astray)), (0.0, 0.0), (0.0, math.inf), why, format_number
    )


def _check_origin(run_metrics: RunMetrics) -> Check:
    """V22: all that affects the results must be recorded, even that a package is absent."""
    missing = [
        name
        for name in ("seed", "schedule", "loop", "workers", "connections", "plan")
        if name not in run_metrics.run
    ]
    for section, names in _REQUIRED_FACTS.items():
        missing += [name for name in names if name not in run_metrics.run.get(section, {})]
    for variant, runtime in run_metrics.run.get("targets", {}).items():
        missing += [f"{variant}: {name}" for name in _RUNTIME_FACTS if runtime.get(name) is None]
        ran = str(runtime.get("loop")).partition(".")[0]
        asked = run_metrics.run.get("loops", {}).get(variant, run_metrics.run.get("loop"))
        missing += (
            [f"{variant}: the loop that was asked for (it ran {ran})"]
            if asked not in {ran, "unknown"}
            else []
        )
    sessions = [] if run_metrics.run.get("probe") is False else run_metrics.run.get("acts", [])
    targets = run_metrics.run.get("targets")
    missing += [
        f"{session}: what ran, its probe left no record"
        for session in sessions
        if targets and session not in targets
    ]
    foreign, blind = run_metrics.run.get("host"), run_metrics.run.get("probe") is False
    if not targets and not foreign and not blind:
        missing.append("what ran inside the target: its probe left no record")
    if foreign and not missing:
        why = f"{foreign} was not started by atonce: its versions, loop and workers are not known"
        return Check("V22", "origin", "*", None, 0.0, 0.0, why)
    if blind and not missing:
        why = (
            "the probe was left out on purpose: nobody saw which loop, parser and pools really ran"
        )
        return Check("V22", "origin", "*", None, 0.0, 0.0, why)
    why = (
        f"missing: {', '.join(missing)}"
        if missing
        else "versions, loop, parser, pools, seed and plan are recorded"
    )
    return Check("V22", "origin", "*", float(len(missing)), 0.0, 0.0, why, format_number)
