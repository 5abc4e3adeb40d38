"""What the watch costs the app: `python -m benchmarks.watch [PAIRS]`, watched against not.

Three loops in a process, in alternating pairs (AB BA ...): with short tasks, held for 30 ms at a
time, and held while a thread computes. Printed: work watched / work unwatched, as the geometric
mean of the pairs with its 95 % interval; per second, which other programs disturb, and per CPU
second of the process, which they hardly disturb.
"""

import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from targets.agent.watchdog import Watchdog

PAIRS, SECONDS = 12, 0.6
KINDS = {
    "short tasks": (0.0005, False),
    "held": (0.03, False),
    "held, beside a thread": (0.03, True),
}


def work(seconds: float) -> int:
    """Run Python that now and then releases the GIL; count the rounds."""
    done, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        sum(range(500))
        os.stat(".")  # noqa: PTH116 - the cheapest call that does
        done += 1
    return done


def measure(hold: float, *, beside: bool, watched: bool) -> tuple[float, float]:
    """The work per second of the loop and a thread together, and per CPU second."""
    done, others, over = [0], [0], threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(500))
            others[0] += 1

    async def task() -> None:
        done[0] += work(hold)

    async def main(folder: str) -> None:
        watch = Watchdog(Path(folder, "a-1.jsonl"), Path(folder))
        if watched:
            watch.start(asyncio.get_running_loop())
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            await asyncio.create_task(task())
            await asyncio.sleep(0)
        if watched:
            watch.stop()

    begun, spent = time.perf_counter(), time.process_time()
    thread = threading.Thread(target=compute)
    if beside:
        thread.start()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
    over.set()
    if beside:
        thread.join()
    total = done[0] + others[0]
    return total / (time.perf_counter() - begun), total / (time.process_time() - spent)


def ratio(logs: list[float]) -> str:
    """Geometric mean and 95 % interval."""
    middle, half = statistics.fmean(logs), 2.2 * statistics.stdev(logs) / math.sqrt(len(logs))
    return " ".join(f"{math.exp(log):.3f}" for log in (middle, middle - half, middle + half))


def main() -> None:
    """Measure and print."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    for name, (hold, beside) in KINDS.items():
        logs: list[list[float]] = [[], []]
        for pair in range(pairs):
            rates = {
                watched: measure(hold, beside=beside, watched=watched)
                for watched in sorted((False, True), reverse=bool(pair % 2))
            }
            for i in range(2):
                logs[i].append(math.log(rates[True][i] / rates[False][i]))
        ratios = {"per second": ratio(logs[0]), "per CPU second": ratio(logs[1])}
        print(json.dumps({name: ratios}), flush=True)


if __name__ == "__main__":
    main()
