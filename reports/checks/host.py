"""Checks the machine and the record of what ran: clock, other load, CPU limits, versions."""

import math
from collections.abc import Iterator

from reports.checks.model import Check, MeasuredCell, measured_cells, set_cell
from reports.metrics.model import RunMetrics
from results.formatting import format_count, format_number, format_seconds
from results.run_info import Clock
from results.thresholds import MIN_WINDOW_SECONDS

_MACHINE_FACTS = ("python", "cpus", "system")
_NAMED_PACKAGES = ("fastapi", "uvicorn", "anyio", "starlette", "uvloop", "locust", "gevent")
_RUNTIME_FACTS = ("loop", "http_parser", "thread_tokens", "executor_size")
_NEEDED_CORES = 2.0  # cores
_NOT_REPORTED = "neither the system nor the target reports it"
_NEVER_FAILS = ((0.0, 0.0), (0.0, math.inf))  # at most a warning
_SOUND_CLOCK = "Use a host with a sound monotonic clock; do not trust any duration of this run."
_QUIET_MACHINE = "Stop other programs on this machine, or measure on one that is not shared."


def check_host(run_metrics: RunMetrics) -> Iterator[Check]:
    """Check the run as a whole and the machine during every cell: V1, V10 and V22."""
    machine = run_metrics.run.machine
    yield from _check_clock(machine.clock)
    title, value = "V10 load before", machine.busy_before
    meaning = "{} of all cores were busy just before the run"
    yield Check(title, value, 0.3, 1.0, meaning, _QUIET_MACHINE, unknown=_NOT_REPORTED)
    limit = machine.cpu_limit
    for cell in measured_cells(run_metrics):
        if not cell.counts.is_neighbour_cell:
            yield from set_cell(cell.counts.cell, _check_machine(cell, limit))
    title, value, meaning = "V10 CPU limit, cores", 0.0, "no CPU limit is known"
    if limit:
        value, cores = max(0.0, _NEEDED_CORES - limit), _format_cores(limit)
        meaning = f"the container may use {cores}; the app and the load generator need one each"
    yield Check(title, value, *_NEVER_FAILS, meaning, _cpu_advice(limit), format_number)
    yield _check_pinning(run_metrics)
    yield _check_origin(run_metrics)


def _check_clock(clock: Clock | None) -> Iterator[Check]:
    title, value, limits = "V1 clock", clock.resolution if clock else None, (1e-6, 100 * 1e-6)
    meaning, style = "the clock advances in steps of {}", _format_nanoseconds
    yield Check(title, value, *limits, meaning, _SOUND_CLOCK, style, _NOT_REPORTED)
    title, value = f"{title}, backward steps", clock.backward if clock else None
    meaning = "the clock went back {} times"
    yield Check(title, value, 0.0, 0.0, meaning, _SOUND_CLOCK, format_number, _NOT_REPORTED)


def _format_nanoseconds(seconds: float) -> str:
    return f"{format_number(seconds * 1e9)} ns"


def _check_machine(cell: MeasuredCell, limit: float | None) -> Iterator[Check]:
    """Check what other processes took; a container over its CPU limit stops app and generator."""
    health, unknown, advice = cell.health, _NOT_REPORTED, _QUIET_MACHINE
    subject = f"a limit of {_format_cores(limit)}" if limit else "the container's CPU limit"
    title, value = "V10 CPU limit", health.throttled_share
    meaning = f"{subject} stopped its processes in {{}} of the periods"
    yield Check(title, value, 0.01, 0.05, meaning, _cpu_advice(limit), unknown=unknown)
    if health.duration < MIN_WINDOW_SECONDS:
        unknown = f"{format_seconds(health.duration)} is too short to measure it"
    title, value, most = "V10 other processes", health.other_cpu, 1.0 if cell.is_doctor else 0.30
    meaning = "processes other than generator and target used {} of all cores"
    yield Check(title, value, 0.10, most, meaning, advice, unknown=unknown)
    title, value = "V10 stolen CPU", health.stolen_share
    meaning = "the host gave {} of the CPU time to other machines"
    yield Check(title, value, 0.01, 0.05, meaning, advice, unknown=unknown)
    title, value, meaning = (
        "V10 swap",
        health.swapped_pages,
        "the system swapped {} pages of memory",
    )
    yield Check(title, value, 0.0, 0.0, meaning, advice, format_number, unknown)


def _cpu_advice(limit: float | None) -> str:
    more = f"more than its {_format_cores(limit)}" if limit else "more CPU"
    return (
        f"Give the container {more}: docker run --cpus, resources.limits.cpu, CPUQuota of systemd;"
        " or send less load."
    )


def _format_cores(limit: float | None) -> str:
    return f"{limit or 0:g} core" + ("" if limit == 1 else "s")


def _check_pinning(run_metrics: RunMetrics) -> Check:
    """Check that the app ran on its planned core, as its processes report."""
    planned, unpinned = run_metrics.run.machine.app_core, run_metrics.run.unpinned
    cores = [
        target.cpus
        for name, target in run_metrics.run.targets.items()
        if target.cpus and name not in unpinned
    ]
    misplaced = [cpus for cpus in cores if cpus != [planned]]
    meaning = f"the app ran on core {planned}, as planned"
    if misplaced:
        servers = f"{format_count(len(misplaced), 'server')} ran on {misplaced[0]}"
        meaning = f"{servers}, not on core {planned} as planned: on the generator's core, or on any"
    title, value = "V10 pinning", None if planned is None or not cores else float(len(misplaced))
    advice, unknown = _QUIET_MACHINE, "the app was not pinned, or it is unknown where it ran"
    return Check(title, value, *_NEVER_FAILS, meaning, advice, format_number, unknown)


def _check_origin(run_metrics: RunMetrics) -> Check:
    """Check that all that affects the results is recorded, even that a package is absent."""
    run = run_metrics.run
    targets, foreign, has_probe = run.targets, run.host, run.probe
    facts = ("schedule", "loop", "workers", "connections")
    missing = [name for name in facts if not getattr(run, name)]
    missing += [name for name in _MACHINE_FACTS if not getattr(run.machine, name)]
    missing += [name for name in _NAMED_PACKAGES if name not in run.packages]
    for variant, runtime in targets.items():
        missing += [
            f"{variant}: {name}" for name in _RUNTIME_FACTS if getattr(runtime, name) is None
        ]
        ran = str(runtime.loop).partition(".")[0]
        if run.loops.get(variant, run.loop) not in {ran, "unknown"}:
            missing.append(f"{variant}: the requested loop (it ran {ran})")
    if targets and has_probe:
        unseen = [session for session in run.sessions if session not in targets]
        missing += [f"{session}: what ran, its probe left no record" for session in unseen]
    if not targets and not foreign and has_probe:
        missing.append("what ran inside the target: its probe left no record")
    meaning = "versions, loop, parser, pools, seed and plan are recorded"
    if missing:
        meaning = f"missing: {', '.join(missing)}"
    unknown = "the probe was left out on purpose: the loop, parser and pools that ran are unknown"
    if foreign:
        unknown = f"atonce did not start {foreign}: its versions, loop and workers are not known"
    value = None if not missing and (foreign or not has_probe) else float(len(missing))
    advice = "Name the missing facts wherever you quote the number."
    return Check("V22 origin", value, 0.0, 0.0, meaning, advice, format_number, unknown)
