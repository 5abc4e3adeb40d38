"""The watchdog's shares on routes that compute and call by turns, against clocks inside them."""

import asyncio
import hashlib
import logging
import os
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from results.judgement.culprit import read_holds, summarise_holds
from targets.agent.watchdog import Watchdog

HERE = Path(__file__)
DATA = os.urandom(4000)
LASTS, HOLDS = 2.0, 0.035  # seconds of a trial, and that a route holds the loop


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
    """Compute and call, so often: seconds of CPU that each took."""
    computed = called = 0.0
    for _ in range(times):
        start = time.thread_time()
        compute(laps)
        half = time.thread_time()
        call()
        computed += half - start
        called += time.thread_time() - half
    return computed, called


class Trial(NamedTuple):
    """What the watchdog says, beside the truth."""

    function: str
    """The function that holds the loop most."""
    call: float
    """Share of the call."""
    true_call: float
    seen: float
    """Share of the held time that has a culprit."""


def trial(folder: Path, call: Callable[[], Any], stretch: float) -> Trial:
    """Watch such a route for a while."""
    laps = int(laps_per_second() * stretch)
    times = int(HOLDS / stretch)
    took: list[tuple[float, float]] = []

    async def route() -> None:
        took.append(by_turns(call, laps, times))

    async def main() -> None:
        watch = Watchdog(folder / "a-1.jsonl", HERE.parent)
        watch.start(asyncio.get_running_loop())
        until = time.monotonic() + LASTS
        while time.monotonic() < until:
            await asyncio.create_task(route())
            await asyncio.sleep(0.002)
        watch.stop()

    asyncio.run(main())
    holds = summarise_holds(read_holds(folder, "a", 0.0), [(0, 1e12)], [HERE.parent])
    calls = sum(
        culprit.share
        for culprit in holds.culprits
        if culprit.call and culprit.call != "compute" and "thread_time" not in culprit.call
    )
    computed, called = (sum(times) for times in zip(*took, strict=True))
    true = computed + called
    return Trial(holds.culprits[0].function, calls, called / true, holds.seconds / true)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("what", ["stat", "compress", "digest", "send", "write"])
@pytest.mark.parametrize("stretch", [0.0003, 0.00085, 0.005])
def test_a_call_has_the_share_that_it_takes(tmp_path: Path, what: str, stretch: float) -> None:
    """The call releases the GIL after each stretch of Python.

    With a switch interval of 1 ms the calls had up to 1.0 where 0.01 is true, or the watchdog came
    when the hold was over, and none of it had a culprit.
    """
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    log = logging.Logger("family")  # noqa: LOG001 - of this test alone
    receiver.bind(("127.0.0.1", 0))  # what is not read is dropped
    with receiver, Path(os.devnull).open("w", encoding="utf-8") as nothing:
        log.addHandler(logging.StreamHandler(nothing))
        calls: dict[str, Callable[[], Any]] = {
            "stat": lambda: os.stat(HERE),  # noqa: PTH116 - the call that was named
            "compress": lambda: zlib.compress(DATA),
            "digest": lambda: hashlib.sha256(DATA),
            "send": lambda: receiver.sendto(b"x", receiver.getsockname()),
            "write": lambda: log.info("A line."),
        }
        result = trial(tmp_path, calls[what], stretch)
    assert result.function == "compute"
    assert result.call == pytest.approx(result.true_call, abs=0.2)
    assert result.seen > 0.6
