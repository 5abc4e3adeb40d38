"""The watch's shares on routes that compute and call by turns, against clocks inside the route."""

import asyncio
import hashlib
import logging
import os
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.blame import held, read_holds
from targets.guest.watch import Watch

HERE = Path(__file__)
DATA = os.urandom(4000)
LASTS, HOLDS = 2.0, 0.035  # seconds of a trial, and that a route holds the loop
PAUSE = 0.003  # seconds


def pause() -> None:
    """Wait, as a guilty call does."""
    time.sleep(PAUSE)


def compute(laps: int) -> None:
    """Python, and no call."""
    while laps:
        laps -= 1


def laps_per_second() -> float:
    """How quickly that goes, undisturbed."""
    times = []
    for _ in range(20):
        before = time.thread_time()
        compute(20_000)
        times.append(time.thread_time() - before)
    return 20_000 / min(times)


def by_turns(call: Callable[[], Any], laps: int, times: int) -> tuple[float, float]:
    """Compute and call, so often: seconds of CPU that each took, or of waiting."""
    computed = called = 0.0
    for _ in range(times):
        start, before = time.thread_time(), 0.0
        compute(laps)
        half, before = time.thread_time(), time.perf_counter()
        call()
        waited = time.perf_counter() - before if call is pause else 0.0
        computed += half - start
        called += waited or time.thread_time() - half
    return computed, called


def shares(folder: Path, call: Callable[[], Any], stretch: float) -> tuple[str, float, float]:
    """Who holds the loop most, and the share of the call: as the watch says, and as it was."""
    laps = int(laps_per_second() * stretch)
    times = int(HOLDS / (stretch + (PAUSE if call is pause else 0.0)))
    took: list[tuple[float, float]] = []

    async def route() -> None:
        took.append(by_turns(call, laps, times))

    async def main() -> None:
        watch = Watch(folder / "a-1.jsonl", HERE.parent)
        watch.start(asyncio.get_running_loop())
        until = time.monotonic() + LASTS
        while time.monotonic() < until:
            await asyncio.create_task(route())
            await asyncio.sleep(0.002)
        watch.stop()

    asyncio.run(main())
    blames = held(read_holds(folder, "a"), (0, 1e12), 0.0, [HERE.parent]).blames
    calls = sum(one.share for one in blames if one.call and one.call != "compute" and "thread_time" not in one.call)
    computed, called = (sum(times) for times in zip(*took, strict=True))
    return blames[0].function, calls, called / (called + computed)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    ("what", "stretch"),
    [
        ("stat", 0.00085),
        ("stat", 0.005),
        ("compress", 0.002),
        ("digest", 0.002),
        ("send", 0.002),
        ("write", 0.002),
        ("pause", 0.002),
    ],
)
def test_a_call_has_the_share_that_it_takes(tmp_path: Path, what: str, stretch: float) -> None:
    """Whether it only lets the GIL go after each stretch of Python, or truly holds the loop.

    Wide on purpose: on an idle machine a few looks take a call that came at once for one that was
    under way. Named by the first chance alone, the calls had 0.6 to 1.0 where 0.01 is true.
    """
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    log = logging.Logger("family")  # noqa: LOG001 - of this test alone
    one.bind(("127.0.0.1", 0))  # what nobody reads is dropped
    with one, Path(os.devnull).open("w", encoding="utf-8") as nothing:
        log.addHandler(logging.StreamHandler(nothing))
        calls: dict[str, Callable[[], Any]] = {
            "stat": lambda: os.stat(HERE),  # noqa: PTH116 - the call that was named
            "compress": lambda: zlib.compress(DATA),
            "digest": lambda: hashlib.sha256(DATA),
            "send": lambda: one.sendto(b"x", one.getsockname()),
            "write": lambda: log.info("A line."),
            "pause": pause,
        }
        worst, told, true = shares(tmp_path, calls[what], stretch)
    assert worst == ("pause" if what == "pause" else "compute")
    assert told == pytest.approx(true, abs=0.35)
