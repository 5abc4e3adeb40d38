"""A locustfile without users that plants a generator fault, by the repeat of the running cell.

Loaded after the scenarios; the driver's tests add it to their list. Repeat 1 stays sound.
"""

import itertools
import sys
import time
from collections.abc import Callable

import gevent
from gevent.monkey import get_original

from scenarios.generator.cell_run import CellRun
from scenarios.generator.dispatcher import Dispatcher

CLEAN, LATE, SKIPS, SLOW, STALLS, SPINS = range(1, 7)
stand_still: Callable[[float], None] = get_original("time", "sleep")
send, send_all, pause_until = Dispatcher.send, Dispatcher.send_all, CellRun.pause_until
numbers = itertools.count(1)


def faulty_send(self: Dispatcher, cell_run: CellRun, due: float) -> None:
    """Late: every request waits 20 ms. Skips: every 50th is forgotten."""
    if self.cell.repeat == LATE:
        gevent.sleep(0.02)
    if self.cell.repeat == SKIPS and not next(numbers) % 50:
        self.in_flight -= 1
        return
    send(self, cell_run, due)


def faulty_send_all(self: Dispatcher, cell_run: CellRun) -> None:
    """Stalls: the process stops for 50 ms once a second. Spins: one of its threads never rests."""
    over = time.perf_counter() + self.cell.warm_up + self.cell.window
    if self.cell.repeat == STALLS:
        gevent.spawn(stall_until, over)
    if self.cell.repeat == SPINS:
        gevent.get_hub().threadpool.spawn(spin_until, over)
    send_all(self, cell_run)


def stall_until(over: float) -> None:
    """Nothing else runs in this process during a stall."""
    while time.perf_counter() < over:
        stand_still(0.05)
        gevent.sleep(0.95)


def spin_until(over: float) -> None:
    """Compute, in a thread of the system."""
    while time.perf_counter() < over:
        pass


def faulty_pause(self: CellRun, deadline: float) -> None:
    """Slow: the schedule runs at 0.8 of its speed."""
    pause_until(
        self,
        self.start_time + (deadline - self.start_time) / 0.8
        if self.cell.repeat == SLOW
        else deadline,
    )


if "locust" in sys.modules:  # a test may ask for the numbers above without catching the faults
    Dispatcher.send, Dispatcher.send_all, CellRun.pause_until = (  # type: ignore[method-assign]
        faulty_send,
        faulty_send_all,
        faulty_pause,
    )
