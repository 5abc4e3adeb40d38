"""Could the machine do it, and is it known what ran? The clock, other people's load, and everything that changes the law."""

import math
from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import count, number, seconds, share
from reports.metrics.model import Study, Tally
from reports.metrics.run_health import Health
from results.thresholds import LEAST_WINDOW

MICROSECOND = 1e-6
ORIGIN = {
    "machine": ("python", "cpus", "system"),
    "packages": ("fastapi", "uvicorn", "anyio", "starlette", "uvloop", "locust", "gevent"),
}
RUNTIME = ("loop", "http_parser", "thread_tokens", "executor_size")
NEEDED = 2.0  # cores
COULD_NOT = "neither the system nor the target tells"


def check(study: Study) -> Iterator[Check]:
    """V1, V10 and V22: the run as a whole, and the machine during every cell."""
    yield from clock(study)
    busy = study.run["machine"].get("busy_before")
    why = COULD_NOT if busy is None else f"{share(busy)} of all cores were busy just before the run"
    yield Check("V10", "load before", "*", busy, 0.3, 1.0, why)
    for tally in study.tallies:
        if not tally.is_aside:
            yield limited(tally, study.run["machine"].get("cpu_limit"))
            yield from shared(tally, 1.0 if study.run["command"] == "doctor" else 0.30)  # somebody's app may have its database here
    yield narrow(study.run["machine"].get("cpu_limit"))
    yield pinning(study)
    yield origin(study)


def clock(study: Study) -> Iterator[Check]:
    """V1: all rests on it."""
    told = study.run["machine"].get("clock") or {}
    resolution, backward = told.get("resolution"), told.get("backward")
    why = COULD_NOT if resolution is None else f"the clock ticks in steps of {number(resolution * 1e9)} ns"
    yield Check("V1", "clock", "*", resolution, MICROSECOND, 100 * MICROSECOND, why, seconds)
    why = COULD_NOT if backward is None else f"the clock went back {backward} times"
    yield Check("V1", "clock, backward steps", "*", backward, 0.0, 0.0, why, number)


def shared(tally: Tally, too_many: float) -> Iterator[Check]:
    """V10: what others took from this machine meanwhile."""
    found = tally.health
    told = [
        ("other processes", found.others, 0.10, too_many, "of all cores was used by neither generator nor target"),
        ("stolen CPU", found.stolen, 0.01, 0.05, "of the CPU time was taken by the host for others"),
    ]
    for name, value, fine, too_much, words in told:
        why = untold(found) if value is None else f"{share(value)} {words}"
        yield Check("V10", name, tally.cell, value, fine, too_much, why)
    why = untold(found) if found.swapped is None else f"{found.swapped:,.0f} pages were swapped"
    yield Check("V10", "swap", tally.cell, found.swapped, 0.0, 0.0, why, number)


def untold(found: Health) -> str:
    """Why a number of the machine is not known."""
    return f"{seconds(found.lasted)} are too short to tell" if found.lasted < LEAST_WINDOW else COULD_NOT


def limited(tally: Tally, limit: float | None) -> Check:
    """V10: a container that has used up its CPU stands still until its next period, app and generator alike."""
    value, told = tally.health.throttled, f"a limit of {cores(limit)}" if limit else "the container's CPU limit"
    why = COULD_NOT if value is None else f"{told} stopped its processes in {share(value)} of the periods"
    return Check("V10", "CPU limit", tally.cell, value, 0.01, 0.05, why, advice=more_cpu(limit))


def narrow(limit: float | None) -> Check:
    """V10: app and generator need a core each."""
    why = (
        f"the container may use {cores(limit)}; the app and the load generator need one each" if limit else "no CPU limit is known"
    )
    short = max(0.0, NEEDED - limit) if limit else 0.0
    return Check("V10", "CPU limit, cores", "*", short, (0.0, 0.0), (0.0, math.inf), why, number, advice=more_cpu(limit))


def more_cpu(limit: float | None) -> str:
    """What to do about a limit."""
    has = f"more than its {cores(limit)}" if limit else "more CPU"
    return f"Give the container {has}: docker run --cpus, resources.limits.cpu, CPUQuota of systemd; or ask for less."


def cores(limit: float) -> str:
    """A limit in words."""
    return f"{limit:g} core" + ("" if limit == 1 else "s")


def pinning(study: Study) -> Check:
    """V10: the app must have had the core that was meant for it; the processes themselves tell where they ran."""
    planned, ran = study.run["machine"].get("app_core"), study.run.get("targets", {})
    known = {name: one["cpus"] for name, one in ran.items() if one.get("cpus") and name not in study.run.get("unpinned", [])}
    if planned is None or not known:
        why = "the app was not pinned, or nobody knows where it ran"
        return Check("V10", "pinning", "*", None, (0.0, 0.0), (0.0, math.inf), why, number)
    astray = [name for name, cpus in known.items() if cpus != [planned]]
    why = f"the app ran on core {planned}, as planned"
    if astray:
        why = f"{count(len(astray), 'server')} ran on {known[astray[0]]}, not on core {planned} as planned: on the generator's core, or anywhere"
    return Check("V10", "pinning", "*", float(len(astray)), (0.0, 0.0), (0.0, math.inf), why, number)


def origin(study: Study) -> Check:
    """V22: everything that changes the law must be known. A package may be absent, but that must be recorded."""
    missing = [name for name in ("seed", "schedule", "loop", "workers", "connections", "plan") if name not in study.run]
    for section, names in ORIGIN.items():
        missing += [name for name in names if name not in study.run.get(section, {})]
    for variant, runtime in study.run.get("targets", {}).items():
        missing += [f"{variant}: {name}" for name in RUNTIME if runtime.get(name) is None]
        ran = str(runtime.get("loop")).partition(".")[0]
        asked = study.run.get("loops", {}).get(variant, study.run.get("loop"))
        missing += [f"{variant}: the loop that was asked for (it ran {ran})"] if asked not in {ran, "unknown"} else []
    acts = [] if study.run.get("probe") is False else study.run.get("acts", [])
    seen = study.run.get("targets")
    missing += [f"{act}: what ran, its probe left no record" for act in acts if seen and act not in seen]
    foreign, blind = study.run.get("host"), study.run.get("probe") is False
    if not seen and not foreign and not blind:
        missing.append("what ran inside the target: its probe left no record")
    if foreign and not missing:
        why = f"{foreign} was not started by atonce: its versions, loop and workers are not known"
        return Check("V22", "origin", "*", None, 0.0, 0.0, why)
    if blind and not missing:
        why = "the probe was left out on purpose: nobody saw which loop, parser and pools really ran"
        return Check("V22", "origin", "*", None, 0.0, 0.0, why)
    why = f"missing: {', '.join(missing)}" if missing else "versions, loop, parser, pools, seed and plan are recorded"
    return Check("V22", "origin", "*", float(len(missing)), 0.0, 0.0, why, number)
