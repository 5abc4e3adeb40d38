"""The probe's trace log, written from a thread that a held loop cannot stop."""

import asyncio
import json
import os
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from .forks import end_thread, pause_in_forks
from .process_stats import (
    child_cpu_seconds,
    count_queued_calls,
    expose_default_executor,
    longest_queue_pool,
    resident_bytes,
    runtime_facts,
    thread_limiter,
)

clock_seconds = time.perf_counter
# traces carry nanoseconds of the same clock: integers are quicker to write than floats
NANOS_PER_SECOND = 1e9
_SAMPLE_INTERVAL = 0.1  # seconds between two samples of the loop and its pools
_FLUSH_INTERVAL = 0.25  # seconds between two writes of the trace log


class TraceLog:
    """Writes traces and process samples to `<prefix>-<pid>.jsonl`.

    Only the loop's thread changes `active`; the writer's thread reads a copy, and the ends of the
    deques, which is atomic. A trace is written when it is active for long, or when it has finished
    and its answer did not carry all.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[dict[str, Any]] = deque()
        self.active: set[Any] = set()
        self.finished: deque[Any] = deque()
        self.pool_sizes: tuple[Any, Any] | None = None
        self.child_cpu: float | None = None  # until the next sample takes it
        self.closing, self.pausing = threading.Event(), threading.Event()
        self.writer = threading.Thread()
        self.sampler: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to write, and to sample the loop."""
        expose_default_executor(loop)
        self.loop = loop
        self.resume()
        pause_in_forks(self)
        self.sampler = loop.create_task(self._sample_until_closed(loop))

    def stop(self) -> None:
        """Stop, and write what is left."""
        self.closing.set()
        self.pause()

    def pause(self) -> None:
        """End the writer's thread."""
        self.pausing.set()
        end_thread(self.writer)

    def resume(self) -> None:
        """Start the writer's thread, unless the log is closed."""
        if self.closing.is_set():
            return
        self.pausing.clear()
        if not self.writer.is_alive():
            self.writer = threading.Thread(
                target=self._write_until_paused, name="atonce-probe", daemon=True
            )
            self.writer.start()

    async def _sample_until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sample ten times a second, in a task: AnyIO with sniffio knows its limiter there only."""
        while not self.closing.is_set():
            due = clock_seconds() + _SAMPLE_INTERVAL
            await asyncio.sleep(_SAMPLE_INTERVAL)
            self.sample(loop, due)

    def sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Sample the loop's lag and its pools; the lag is how late a held loop answers."""
        now = clock_seconds()
        executor = getattr(loop, "_default_executor", None)
        limiter = thread_limiter()
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if (
            sizes != self.pool_sizes
        ):  # an app may resize its pools at any time; the last size counts
            self.pool_sizes = sizes
            self.lines.append({"kind": "runtime", "t": now, "facts": runtime_facts(loop)})
        child_cpu, self.child_cpu = self.child_cpu, None
        cpu, loop_cpu = time.process_time(), time.thread_time()
        pool_threads, pool_waiting = longest_queue_pool(loop)
        self.lines.append(
            {
                "kind": "sample",
                "t": now,
                "loop_lag": now - due,
                "threads_busy": limiter and limiter.borrowed_tokens,
                "threads_waiting": limiter and limiter.statistics().tasks_waiting,
                "executor_queue": count_queued_calls(loop),
                "cpu": cpu,
                "memory": resident_bytes(),
                "kin_cpu": child_cpu,
                "loop_cpu": loop_cpu,
                "pool_threads": pool_threads,
                "pool_waiting": pool_waiting,
            }
        )

    def _write_until_paused(self) -> None:
        """Run the writer's thread: write every quarter of a second, and once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            while True:
                last = self.pausing.wait(_FLUSH_INTERVAL)
                # once a second: it takes half a millisecond
                if sys.platform == "linux" and clock_seconds() % 1 < _FLUSH_INTERVAL:
                    self.child_cpu = child_cpu_seconds()
                lines = self.drain(last=self.closing.is_set())
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
