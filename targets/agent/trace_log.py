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
from .process_stats import fullest_pool, kin_cpu, queued, resident_bytes, runtime, show_executor, thread_limiter

seconds = time.perf_counter
NANO = 1e9  # visits carry nanoseconds of the same clock: whole numbers are quicker to write than fractions
SAMPLE_EVERY = 0.1  # seconds between two looks at the loop and its pools
FLUSH_EVERY = 0.25  # seconds between two writes of the journal


class Journal:
    """Writes visits and samples to `<prefix>-<pid>.jsonl`.

    The mutable state: `lines` and `left` (a deque's ends are atomic), `kin`, and `inside`, which only the loop's thread changes;
    the writer's thread reads a copy (atomic as well). An answer tells its own moments, so a visit is written when it stays
    for long, or when it has left without telling all.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[list[Any]] = deque()
        self.inside: set[Any] = set()
        self.left: deque[Any] = deque()
        self.sizes: tuple[Any, Any] | None = None
        self.kin: float | None = None  # until a sample has told it
        self.closing, self.pausing = threading.Event(), threading.Event()
        self.writer = threading.Thread()
        self.sampler: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write, and to sample the loop."""
        show_executor(loop)
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
            self.writer = threading.Thread(target=self.write_until_paused, name="atonce-probe", daemon=True)
            self.writer.start()

    async def sample_until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ten times a second. A task, not a callback: where sniffio is installed, AnyIO knows its limiter in tasks only."""
        while not self.closing.is_set():
            due = seconds() + SAMPLE_EVERY
            await asyncio.sleep(SAMPLE_EVERY)
            self.sample(loop, due)

    def sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Look at the loop's lag and its pools. A held loop answers late: that is the lag."""
        now = seconds()
        executor = getattr(loop, "_default_executor", None)
        limiter = thread_limiter()
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if sizes != self.sizes:  # an app may widen its pools at any time; the last word counts
            self.sizes = sizes
            self.lines.append(["runtime", now, runtime(loop)])
        threads = (limiter.borrowed_tokens, limiter.statistics().tasks_waiting) if limiter else (None, None)
        kin, self.kin = self.kin, None
        cpu, of_loop = time.process_time(), time.thread_time()
        looks = (*threads, queued(loop), cpu, resident_bytes(), kin, of_loop, *fullest_pool(loop))
        self.lines.append(["sample", now, now - due, *looks])

    def write_until_paused(self) -> None:
        """The writer's thread: every quarter of a second, and once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            while True:
                last = self.pausing.wait(FLUSH_EVERY)
                if sys.platform == "linux" and seconds() % 1 < FLUSH_EVERY:  # once a second: it takes half a millisecond
                    self.kin = kin_cpu()
                file.writelines(json.dumps(line) + "\n" for line in self.drain(last=self.closing.is_set()))
                file.flush()
                if last:
                    return

    def drain(self, *, last: bool) -> list[list[Any]]:
        """Everything new: samples, visits that have left untold, and those inside for long whose moments changed."""
        out = [self.lines.popleft() for _ in range(len(self.lines))]
        stays = [visit for visit in list(self.inside) if last or time.perf_counter_ns() - visit.app_start > FLUSH_EVERY * NANO]
        for visit in [*stays, *(self.left.popleft() for _ in range(len(self.left)))]:
            words = visit.words()
            if words and words != visit.written:
                visit.written = words
                out.append(words)
        return out
