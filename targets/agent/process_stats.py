"""What a process can tell about itself from inside: its loop, its pools, its memory, the CPU of its descendants."""

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
    """AnyIO's limiter of worker threads as this app sees it, or None where AnyIO is not in use. In a task of the loop only."""
    to_thread = sys.modules.get("anyio.to_thread")
    try:
        return to_thread.current_default_thread_limiter() if to_thread else None
    except RuntimeError:  # it does not know this loop; all else can be told
        return None


def expose_default_executor(loop: asyncio.AbstractEventLoop) -> None:
    """Where the loop hides its default executor (uvloop), give it the one it would make itself, and see any that the app sets later."""
    if hasattr(loop, "_default_executor"):
        return
    original_setter = loop.set_default_executor

    def set_default_executor(executor: Any) -> None:
        original_setter(executor)
        loop._default_executor = executor  # type: ignore[attr-defined]  # noqa: SLF001 - where asyncio keeps its own

    with contextlib.suppress(
        AttributeError, TypeError
    ):  # a loop that takes no attributes keeps its secret
        loop.set_default_executor = set_default_executor  # type: ignore[method-assign]
        set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


def _default_executor_queue(loop: asyncio.AbstractEventLoop) -> Any:
    """The queue of the loop's default executor; None where there is none yet, or none to be seen."""
    return getattr(getattr(loop, "_default_executor", None), "_work_queue", None)


def count_queued_calls(loop: asyncio.AbstractEventLoop) -> int | None:
    """Calls that wait for a thread of the loop's default executor; None where the loop does not show it."""
    queue = _default_executor_queue(loop)
    return queue.qsize() if queue else 0 if hasattr(loop, "_default_executor") else None


def longest_queue_pool(loop: asyncio.AbstractEventLoop) -> tuple[int | None, int | None]:
    """Threads and waiting calls of the executor with the longest queue, the loop's own left out; zeros where no call waits."""
    try:
        # No other place knows them all
        thread_queues = list(thread._threads_queues.items())  # noqa: SLF001
    except (
        AttributeError,
        RuntimeError,
    ):  # not here in this Python, or a thread was born meanwhile
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
    """What really runs here: the loop, the HTTP parser, and the true sizes of both thread pools.

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
    """Memory that this process keeps in RAM, in bytes; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    return None


def child_cpu_seconds() -> float:
    """CPU seconds of all processes that descend from this one, dead ones included; as Linux tells, in ticks of 10 ms."""
    family_pids, ticks = {os.getpid()}, 0
    later_pids = (
        pid
        for entry in os.listdir("/proc")
        if entry.isdigit() and (pid := int(entry)) > os.getpid()
    )  # noqa: PTH208 - quick
    for pid in sorted(later_pids):  # a child's number is above its parent's
        with contextlib.suppress(OSError):  # gone meanwhile
            stat_fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if int(stat_fields[1]) in family_pids:
                family_pids.add(pid)
                ticks += sum(map(int, stat_fields[11:15]))  # its own, and that of its dead children
    return sum(os.times()[2:4]) + ticks / os.sysconf("SC_CLK_TCK")
