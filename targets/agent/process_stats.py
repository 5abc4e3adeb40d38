"""Facts about this process: its loop and its pools. Its CPU is read from outside."""

import asyncio
import contextlib
import os
import platform
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, thread
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
    busy = [it for it in thread_queues if it[1] is not own and it[1].qsize()]
    threads = Counter(queue for worker, queue in busy if worker.is_alive())
    fullest = max(threads, key=lambda queue: int(queue.qsize()), default=None)
    return (threads[fullest], fullest.qsize()) if fullest else (0, 0)


def runtime_facts(loop: asyncio.AbstractEventLoop, limiter: Any) -> dict[str, Any]:
    """Return what runs here: the loop, the HTTP parser, and the sizes of both thread pools."""
    # the loop makes its own lazily; the formula of the size depends on the Python version
    executor = getattr(loop, "_default_executor", None) or ThreadPoolExecutor()
    parser_module = "uvicorn.protocols.http.{}_impl"
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
