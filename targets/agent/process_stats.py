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
    """Return AnyIO's limiter of worker threads, or None. Call it in a task of the loop."""
    to_thread = sys.modules.get("anyio.to_thread")
    try:
        return to_thread.current_default_thread_limiter() if to_thread else None
    except RuntimeError:  # AnyIO does not know this loop
        return None


def expose_default_executor(loop: asyncio.AbstractEventLoop) -> None:
    """Create the default executor of a loop that would hide it (uvloop), to read its queue."""
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
    return getattr(getattr(loop, "_default_executor", None), "_work_queue", None)


def count_queued_calls(loop: asyncio.AbstractEventLoop) -> int | None:
    """Count calls that wait for a thread of the default executor; None where it is hidden."""
    if queue := _default_executor_queue(loop):
        return int(queue.qsize())
    return 0 if hasattr(loop, "_default_executor") else None


def longest_queue_pool(loop: asyncio.AbstractEventLoop) -> tuple[int | None, int | None]:
    """Return threads and queue of the executor with the longest queue, the loop's own excepted."""
    try:
        # the only list of all executors
        thread_queues = list(thread._threads_queues.items())  # noqa: SLF001
    except (AttributeError, RuntimeError):  # not in this Python, or a thread started just now
        return None, None
    own = _default_executor_queue(loop)
    busy = [
        (worker, queue) for worker, queue in thread_queues if queue is not own and queue.qsize()
    ]
    threads = Counter(queue for worker, queue in busy if worker.is_alive())
    fullest = max(threads, key=lambda queue: int(queue.qsize()), default=None)
    return (threads[fullest], fullest.qsize()) if fullest else (0, 0)


def runtime_facts(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """Return what runs here: the loop, the HTTP parser, and the sizes of both thread pools."""
    # the loop makes its own lazily; the formula of the size depends on the Python version
    executor = getattr(loop, "_default_executor", None) or ThreadPoolExecutor()
    limiter, parser_module = thread_limiter(), "uvicorn.protocols.http.{}_impl"
    parsers = [name for name in ("httptools", "h11") if parser_module.format(name) in sys.modules]
    return {
        "pid": os.getpid(),
        "python": platform.python_version(),
        "loop": f"{type(loop).__module__}.{type(loop).__qualname__}",
        "http_parser": parsers[0] if parsers else None,
        "thread_tokens": limiter.total_tokens if limiter else None,
        "executor_size": getattr(executor, "_max_workers", None),
        "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu_count": getattr(os, "process_cpu_count", os.cpu_count)(),  # what pools are sized by
    }


def resident_bytes() -> int | None:
    """Return the bytes of this process in RAM; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def child_cpu_seconds() -> float:
    """Return the CPU seconds of all descendants, dead ones included, in 10 ms ticks (Linux)."""
    own, ticks = os.getpid(), 0
    family_pids = {own}
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 - quick
    # a child's number follows its parent's; after the highest number the system begins again
    for pid in sorted(pids, key=lambda pid: (pid < own, pid)):
        with contextlib.suppress(OSError):  # it has ended
            stat_fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if int(stat_fields[1]) in family_pids:
                family_pids.add(pid)
                ticks += sum(map(int, stat_fields[11:15]))  # its own, and that of its dead children
    return sum(os.times()[2:4]) + ticks / os.sysconf("SC_CLK_TCK")
