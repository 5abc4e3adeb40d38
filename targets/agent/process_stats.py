"""Facts about this process: its loop, its pools, its memory, the CPU of its children."""

import asyncio
import contextlib
import os
import platform
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, thread
from pathlib import Path
from typing import Any


def thread_limiter() -> Any:
    """AnyIO's limiter of worker threads, or None without AnyIO. Call it in a task of the loop."""
    to_thread = sys.modules.get("anyio.to_thread")
    try:
        return to_thread.current_default_thread_limiter() if to_thread else None
    except RuntimeError:  # AnyIO does not know this loop
        return None


def expose_default_executor(loop: asyncio.AbstractEventLoop) -> None:
    """Make the default executor of a loop that hides it (uvloop) readable.

    Gives the loop the executor it would make itself, and notes any that the app sets later.
    """
    if hasattr(loop, "_default_executor"):
        return
    original_setter = loop.set_default_executor

    def set_default_executor(executor: Any) -> None:
        original_setter(executor)
        # where asyncio keeps its own
        loop._default_executor = executor  # type: ignore[attr-defined]  # noqa: SLF001

    # some loops take no attributes
    with contextlib.suppress(AttributeError, TypeError):
        loop.set_default_executor = set_default_executor  # type: ignore[method-assign]
        set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


def _default_executor_queue(loop: asyncio.AbstractEventLoop) -> Any:
    """The queue of the loop's default executor, or None if there is none or it is hidden."""
    return getattr(getattr(loop, "_default_executor", None), "_work_queue", None)


def count_queued_calls(loop: asyncio.AbstractEventLoop) -> int | None:
    """Calls that wait for a thread of the loop's default executor; None where it is hidden."""
    queue = _default_executor_queue(loop)
    if queue:
        return int(queue.qsize())
    return 0 if hasattr(loop, "_default_executor") else None


def longest_queue_pool(loop: asyncio.AbstractEventLoop) -> tuple[int | None, int | None]:
    """Threads and waiting calls of the executor with the longest queue, or zeros.

    The loop's default executor does not count; None where Python does not list them.
    """
    try:
        # the only list of all executors
        thread_queues = list(thread._threads_queues.items())  # noqa: SLF001
    except (AttributeError, RuntimeError):  # not in this Python, or a thread started just now
        return None, None
    own = _default_executor_queue(loop)
    threads = Counter(
        queue
        for worker, queue in thread_queues
        if queue is not own and queue.qsize() and worker.is_alive()
    )
    fullest = max(threads, key=lambda queue: int(queue.qsize()), default=None)
    return (threads[fullest], fullest.qsize()) if fullest else (0, 0)


def runtime_facts(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """What runs here: the loop, the HTTP parser, and the true sizes of both thread pools.

    The executor's size is asked of a throw-away executor of the same kind: the formula depends on
    the Python version (3.13 counts the CPUs the process may use, earlier ones those of the host),
    and the loop makes its own lazily.
    """
    executor = getattr(loop, "_default_executor", None) or ThreadPoolExecutor()
    limiter = thread_limiter()
    parsers = {
        "httptools": "uvicorn.protocols.http.httptools_impl",
        "h11": "uvicorn.protocols.http.h11_impl",
    }
    return {
        "pid": os.getpid(),
        "python": platform.python_version(),
        "loop": f"{type(loop).__module__}.{type(loop).__qualname__}",
        "http_parser": next(
            (name for name, module in parsers.items() if module in sys.modules), None
        ),
        "thread_tokens": limiter.total_tokens if limiter else None,
        "executor_size": getattr(executor, "_max_workers", None),
        "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu_count": getattr(os, "process_cpu_count", os.cpu_count)(),  # what pools are sized by
    }


def resident_bytes() -> int | None:
    """Memory of this process in RAM, in bytes; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    return None


def child_cpu_seconds() -> float:
    """CPU seconds of all descendants, dead ones included, in ticks of 10 ms (Linux)."""
    family_pids, ticks = {os.getpid()}, 0
    later_pids = (
        pid
        for entry in os.listdir("/proc")  # noqa: PTH208 - quick
        if entry.isdigit() and (pid := int(entry)) > os.getpid()
    )
    for pid in sorted(later_pids):  # a child's number is above its parent's
        with contextlib.suppress(OSError):  # it has ended
            stat_fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if int(stat_fields[1]) in family_pids:
                family_pids.add(pid)
                ticks += sum(map(int, stat_fields[11:15]))  # its own, and that of its dead children
    return sum(os.times()[2:4]) + ticks / os.sysconf("SC_CLK_TCK")
