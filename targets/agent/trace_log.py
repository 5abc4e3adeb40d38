"""The probe's trace log. Its thread samples and writes on while the event loop is held.

Only C code that keeps the GIL stops it too: then samples are missing.
"""

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import process_stats
from .forks import ForkSafeThread

clock_seconds = time.perf_counter
# traces carry nanoseconds of the same clock: integers are quicker to write than floats
NANOS_PER_SECOND = 1e9
_SAMPLE_INTERVAL = 0.1  # seconds between two samples of the loop and its pools, and two writes
_LONG_REQUEST = 0.25  # seconds after which a request is written before it has ended


class TraceLog(ForkSafeThread):
    """Writes traces and process samples to `<prefix>-<pid>.jsonl`.

    Only the loop's thread changes `active`. The log's thread reads a copy, and the ends of the
    deques, which is atomic.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__("atonce-probe")
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[dict[str, Any]] = deque()
        self.active: set[Any] = set()
        self.finished: deque[Any] = deque()
        self.pool_sizes: tuple[Any, Any] | None = None
        self.limiter: Any = None
        self.tasks: int | None = None  # of the loop, at the last heartbeat
        self.requested_at = self.answered_at = 0.0  # of the last heartbeat
        self.on_tick: Callable[[], None] = lambda: None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to sample and to write. Call it in the loop's thread."""
        process_stats.expose_default_executor(loop)
        self.loop_thread = threading.get_native_id()
        super().start(loop)

    def run(self) -> None:
        """Sample and write every tenth of a second, and write once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            is_last = False
            while not is_last:
                self.request_heartbeat()
                is_last = self.pausing.wait(_SAMPLE_INTERVAL)
                if not is_last:
                    self.sample()
                    self.on_tick()
                lines = self.drain(last=self.is_stopped)
                file.writelines(json.dumps(line) + "\n" for line in lines)
                file.flush()

    def request_heartbeat(self) -> None:
        """Ask the loop for a sign of life, unless it still owes one."""
        if self.answered_at < self.requested_at:
            return
        self.requested_at = clock_seconds()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._answer_heartbeat)

    def _answer_heartbeat(self) -> None:
        self.answered_at = clock_seconds()
        # here, as another thread could free a task that ends; while the loop is held none does
        self.tasks = len(asyncio.all_tasks())
        if self.limiter is None and "anyio.to_thread" in sys.modules:
            self.loop.create_task(self._find_limiter())

    async def _find_limiter(self) -> None:
        """Get AnyIO's limiter, which AnyIO shows only to a task of the loop."""
        self.limiter = process_stats.thread_limiter()

    def sample(self) -> None:
        """Sample the loop's lag, which is how late its sign of life is, and its pools."""
        loop, limiter, now = self.loop, self.limiter, clock_seconds()
        is_answered = self.answered_at >= self.requested_at
        executor = getattr(loop, "_default_executor", None)
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if sizes != self.pool_sizes:  # an app may resize its pools at any time
            self.pool_sizes = sizes
            facts = process_stats.runtime_facts(loop, limiter) | {"loop_thread": self.loop_thread}
            self.lines.append({"kind": "runtime", "t": now, "facts": facts})
        pool_threads, pool_waiting = process_stats.longest_queue_pool(loop)
        self.lines.append(
            {
                "kind": "sample",
                "t": now,
                "loop_lag": (self.answered_at if is_answered else now) - self.requested_at,
                "threads_busy": limiter and limiter.borrowed_tokens,
                "threads_waiting": limiter and limiter.statistics().tasks_waiting,
                "executor_queue": process_stats.count_queued_calls(loop),
                "pool_threads": pool_threads,
                "pool_waiting": pool_waiting,
                "tasks": self.tasks,
            }
        )

    def drain(self, *, last: bool) -> list[dict[str, Any]]:
        """Take all new lines: samples, finished traces, and long active traces that changed."""
        out = [self.lines.popleft() for _ in range(len(self.lines))]
        long_ago = time.perf_counter_ns() - _LONG_REQUEST * NANOS_PER_SECOND
        traces = [trace for trace in list(self.active) if last or trace.app_start < long_ago]
        traces += [self.finished.popleft() for _ in range(len(self.finished))]
        for trace in traces:
            line = trace.to_line()
            if line and line != trace.written_line:
                trace.written_line = line
                out.append(line)
        return out
