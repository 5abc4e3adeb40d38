"""The probe's journal: visits that could not tell their own moments, and ten looks a second at the process.

Written from a thread, so that a held loop cannot stop it.
"""

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
# visits carry nanoseconds of the same clock: whole numbers are quicker to write than fractions
NANOS_PER_SECOND = 1e9
_SAMPLE_INTERVAL = 0.1  # seconds between two looks at the loop and its pools
_FLUSH_INTERVAL = 0.25  # seconds between two writes of the journal


class TraceLog:
    """Writes visits and samples to `<prefix>-<pid>.jsonl`.

    The mutable state: `lines` and `left` (a deque's ends are atomic), `kin`, and `inside`, which
    only the loop's thread changes; the writer's thread reads a copy (atomic as well). An answer
    tells its own moments, so a visit is written when it stays for long, or when it has left without
    telling all.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[list[Any]] = deque()
        self.active: set[Any] = set()
        self.finished: deque[Any] = deque()
        self.pool_sizes: tuple[Any, Any] | None = None
        self.child_cpu: float | None = None  # until a sample has told it
        self.closing, self.pausing = threading.Event(), threading.Event()
        self.writer = threading.Thread()
        self.sampler: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write, and to sample the loop."""
        expose_default_executor(loop)
        self.loop = loop
        self.resume()
        pause_in_forks(self)
        self.sampler = loop.create_task(self.sample_until_closed(loop))

    def stop(self) -> None:
        """Write what is left."""
        self.closing.set()
        self.pause()

    def pause(self) -> None:
        """End the writer's thread."""
        self.pausing.set()
        end_thread(self.writer)

    def resume(self) -> None:
        """A thread that writes, unless that is over."""
        if self.closing.is_set():
            return
        self.pausing.clear()
        if not self.writer.is_alive():
            self.writer = threading.Thread(
                target=self.write_until_paused, name="atonce-probe", daemon=True
            )
            self.writer.start()

    async def sample_until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ten times a second. A task, not a callback: where sniffio is installed, AnyIO knows its limiter in tasks only."""
        while not self.closing.is_set():
            due = clock_seconds() + _SAMPLE_INTERVAL
            await asyncio.sleep(_SAMPLE_INTERVAL)
            self.sample(loop, due)

    def sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Look at the loop's lag and its pools. A held loop answers late: that is the lag."""
        now = clock_seconds()
        executor = getattr(loop, "_default_executor", None)
        limiter = thread_limiter()
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if sizes != self.pool_sizes:  # an app may widen its pools at any time; the last word counts
            self.pool_sizes = sizes
            self.lines.append(["runtime", now, runtime_facts(loop)])
        threads = (
            (limiter.borrowed_tokens, limiter.statistics().tasks_waiting)
            if limiter
            else (None, None)
        )
        child_cpu, self.child_cpu = self.child_cpu, None
        cpu, of_loop = time.process_time(), time.thread_time()
        measurements = (
            *threads,
            count_queued_calls(loop),
            cpu,
            resident_bytes(),
            child_cpu,
            of_loop,
            *longest_queue_pool(loop),
        )
        self.lines.append(["sample", now, now - due, *measurements])

    def write_until_paused(self) -> None:
        """The writer's thread: every quarter of a second, and once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            while True:
                last = self.pausing.wait(_FLUSH_INTERVAL)
                if (
                    sys.platform == "linux" and clock_seconds() % 1 < _FLUSH_INTERVAL
                ):  # once a second: it takes half a millisecond
                    self.child_cpu = child_cpu_seconds()
                file.writelines(
                    json.dumps(line) + "\n" for line in self.drain(last=self.closing.is_set())
                )
                file.flush()
                if last:
                    return

    def drain(self, *, last: bool) -> list[list[Any]]:
        """Everything new: samples, visits that have left untold, and those inside for long whose moments changed."""
        out = [self.lines.popleft() for _ in range(len(self.lines))]
        long_traces = [
            trace
            for trace in list(self.active)
            if last or time.perf_counter_ns() - trace.app_start > _FLUSH_INTERVAL * NANOS_PER_SECOND
        ]
        for trace in [*long_traces, *(self.finished.popleft() for _ in range(len(self.finished)))]:
            row = trace.to_row()
            if row and row != trace.written_row:
                trace.written_row = row
                out.append(row)
        return out
