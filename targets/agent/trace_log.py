"""The probe's trace log. Its thread writes on while the event loop is blocked."""

import asyncio
import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from . import process_stats
from .forks import ForkSafeThread

clock_seconds = time.perf_counter
# traces carry nanoseconds of the same clock: integers are quicker to write than floats
NANOS_PER_SECOND = 1e9
_SAMPLE_INTERVAL = 0.1  # seconds between two samples of the loop and its pools
_FLUSH_INTERVAL = 0.25  # seconds between two writes of the trace log


class TraceLog(ForkSafeThread):
    """Writes traces and process samples to `<prefix>-<pid>.jsonl`.

    Only the loop's thread changes `active`. The writer's thread reads a copy, and the ends of the
    deques, which is atomic.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__("atonce-probe")
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[dict[str, Any]] = deque()
        self.active: set[Any] = set()
        self.finished: deque[Any] = deque()
        self.pool_sizes: tuple[Any, Any] | None = None
        self.child_cpu: float | None = None  # until the next sample takes it
        self.sampler: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to write, and to sample the loop."""
        process_stats.expose_default_executor(loop)
        super().start(loop)
        self.sampler = loop.create_task(self._sample_until_stopped(loop))

    async def _sample_until_stopped(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sample ten times a second, in a task: AnyIO finds its limiter only there."""
        while not self.is_stopped:
            due = clock_seconds() + _SAMPLE_INTERVAL
            await asyncio.sleep(_SAMPLE_INTERVAL)
            self.sample(loop, due)

    def sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Sample the loop's lag, which is how late this call is, and its pools."""
        now = clock_seconds()
        executor = getattr(loop, "_default_executor", None)
        limiter = process_stats.thread_limiter()
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if sizes != self.pool_sizes:  # an app may resize its pools at any time
            self.pool_sizes = sizes
            facts = process_stats.runtime_facts(loop)
            self.lines.append({"kind": "runtime", "t": now, "facts": facts})
        child_cpu, self.child_cpu = self.child_cpu, None
        cpu, loop_cpu = time.process_time(), time.thread_time()
        pool_threads, pool_waiting = process_stats.longest_queue_pool(loop)
        self.lines.append(
            {
                "kind": "sample",
                "t": now,
                "loop_lag": now - due,
                "threads_busy": limiter and limiter.borrowed_tokens,
                "threads_waiting": limiter and limiter.statistics().tasks_waiting,
                "executor_queue": process_stats.count_queued_calls(loop),
                "cpu": cpu,
                "memory": process_stats.resident_bytes(),
                "kin_cpu": child_cpu,
                "loop_cpu": loop_cpu,
                "pool_threads": pool_threads,
                "pool_waiting": pool_waiting,
            }
        )

    def run(self) -> None:
        """Write every quarter of a second, and once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            while True:
                last = self.pausing.wait(_FLUSH_INTERVAL)
                # only once a second, as it takes some 13 us per process of the machine
                if sys.platform == "linux" and clock_seconds() % 1 < _FLUSH_INTERVAL:
                    self.child_cpu = process_stats.child_cpu_seconds()
                lines = self.drain(last=self.is_stopped)
                file.writelines(json.dumps(line) + "\n" for line in lines)
                file.flush()
                if last:
                    return

    def drain(self, *, last: bool) -> list[dict[str, Any]]:
        """Take all new lines: samples, finished traces, and long active traces that changed."""
        out = [self.lines.popleft() for _ in range(len(self.lines))]
        long_ago = time.perf_counter_ns() - _FLUSH_INTERVAL * NANOS_PER_SECOND
        traces = [trace for trace in list(self.active) if last or trace.app_start < long_ago]
        traces += [self.finished.popleft() for _ in range(len(self.finished))]
        for trace in traces:
            line = trace.to_line()
            if line and line != trace.written_line:
                trace.written_line = line
                out.append(line)
        return out
