"""Samples where requests wait: 20 times a second, each request in flight and each busy thread.

A look keeps places in the code, names and sizes; the app's objects are free again when it ends.
Lines of `<process>-<pid>.jsonl`: `place` (a stack and what it waits in, once), then `look` with
the number of requests, and how many of them, or of a pool's threads, are at which place. A request
that waits for several tasks counts in parts.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from .await_chain import await_chains
from .forks import ForkSafeThread
from .loop_thread import read_stack
from .probe import RequestTrace
from .stack_frames import FrameFormatter, RawFrame
from .wait_objects import Waiting, identify_call, identify_thread, identify_wait

_INTERVAL = 0.05  # seconds between two looks
_OURS = RequestTrace.time_handler.__code__
_THREAD_POOLS = {"AnyIO worker thread": "threads", "asyncio_": "executor"}  # by the thread's name
# where a worker of a pool waits for work
_IDLE_FILES = ("/threading.py", "/queue.py", "/concurrent/futures/thread.py", "/_asyncio.py")

Place = tuple[tuple[int, ...], Waiting]  # a stack's key, and what it waits in


class WaitSampler(ForkSafeThread):
    """Samples one loop's requests. `requests` returns the coroutine of each in flight."""

    def __init__(self, path: Path, home: Path, requests: Callable[[], Iterable[Any]]) -> None:
        super().__init__("atonce-waits")
        self.path, self.formatter, self.requests = path, FrameFormatter(home), requests
        self.numbers: dict[Place, int] = {}  # of the places written so far
        self.stacks: dict[tuple[int, ...], list[RawFrame]] = {}  # innermost first
        self.user_files: dict[str, bool] = {}

    def run(self) -> None:
        """Look until stopped."""
        with self.path.open("a", encoding="utf-8") as file:
            while not self.pausing.wait(_INTERVAL):
                begun = time.perf_counter()
                cpu = time.thread_time()
                requests = self._look_at_requests()
                threads = self._look_at_threads()
                self._write(file, begun, cpu, requests, threads)

    def _look_at_requests(self) -> list[Counter[Place]]:
        """Return the places of each request."""
        looks, known = [], dict[tuple[int, ...], Waiting]()
        for coroutine in self.requests():
            places: Counter[Place] = Counter()
            for branch in await_chains(coroutine):
                key, waiting = branch.key, identify_call(branch)
                if waiting is None:
                    if key not in known:
                        known[key] = identify_wait(branch, self._is_user_code)
                    waiting = known[key]
                self.stacks.setdefault(key, branch.frames[::-1])
                places[key, waiting] += 1
            looks.append(places)
        return looks

    def _look_at_threads(self) -> Counter[tuple[str, Place]]:
        """Return the places of the busy threads of pools."""
        counts: Counter[tuple[str, Place]] = Counter()
        for thread in threading.enumerate():
            pool = _pool_name(thread.name)
            if pool and thread.ident:
                stack = read_stack(thread.ident)
                # below the agent's own function that calls a `def` handler
                ours = next((i for i, (code, _) in enumerate(stack) if code is _OURS), len(stack))
                stack = stack[:ours]
                if not all(code.co_filename.endswith(_IDLE_FILES) for code, _ in stack):
                    key = tuple(chain.from_iterable((id(code), last) for code, last in stack))
                    self.stacks.setdefault(key, stack)
                    counts[pool, (key, identify_thread(stack, self._is_user_code))] += 1
        return counts

    def _is_user_code(self, file: str) -> bool:
        if file not in self.user_files:
            self.user_files[file] = self.formatter.is_user_code(os.path.realpath(file))
        return self.user_files[file]

    def _write(
        self,
        file: TextIO,
        moment: float,
        cpu: float,
        requests: list[Counter[Place]],
        threads: Counter[tuple[str, Place]],
    ) -> None:
        shares: dict[int, float] = {}
        for places in requests:
            for place, count in places.items():
                number = self._number(file, place)
                shares[number] = shares.get(number, 0.0) + count / places.total()
        line = {
            "kind": "look",
            "t": round(moment, 6),
            "took": round(time.perf_counter() - moment, 6),
            "cpu": round(time.thread_time() - cpu, 6),
            "requests": len(requests),
            "waits": [[number, round(share, 3)] for number, share in shares.items()],
            "threads": [
                [pool, self._number(file, place), count] for (pool, place), count in threads.items()
            ],
        }
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()

    def _number(self, file: TextIO, place: Place) -> int:
        if place not in self.numbers:
            self.numbers[place] = len(self.numbers)
            key, waiting = place
            frames, _ = self.formatter.format_stack(self.stacks[key])
            line = {
                "kind": "place",
                "number": self.numbers[place],
                "frames": [frame._asdict() for frame in frames],
                **waiting._asdict(),
            }
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
        return self.numbers[place]


def _pool_name(thread: str) -> str:
    """Return the name of a thread's pool; "" for threads of none that is known."""
    for start, pool in _THREAD_POOLS.items():
        if thread.startswith(start):
            return pool
    name, _, number = thread.rpartition("_")  # as ThreadPoolExecutor names its threads
    return name if number.isdigit() else ""
