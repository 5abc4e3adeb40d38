"""One cell while it is played: when it begins, whether it is over, who takes part.

Whoever takes part connects, says `ready`, and acts from `begun` until `closed`. The mutable state - phase, closed, the
counts of those called, ready and finished, and of the requests - changes only between greenlet switches.
"""

import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from results.schema import Cell, Phase

clock = time.perf_counter
FAILING = 20  # wrong answers in a row after which nobody is helped by more


class Cue:
    """What a cell's participants and its conductor share. `stopping` ends all cells; an `endless` one expects that."""

    def __init__(self, cell: Cell, stopping: Event, *, endless: bool) -> None:
        self.cell, self.stopping, self.endless = cell, stopping, endless
        self.phase = Phase.WARM_UP
        self.closed = False
        self.go = 0.0
        self.size = self.ready_count = self.finished_count = 0
        self.begun, self.ended, self.enough = Event(), Event(), Event()
        self.taken = self.wrong = 0  # requests so far, and wrong answers in a row

    def ready(self) -> None:
        """One who was called has its connections open; wait with it for the others."""
        self.ready_count += 1
        self.begun.wait()

    def finished(self) -> None:
        """One who was called has sent its last request and has its answer, or gave it up."""
        self.finished_count += 1

    def is_ready(self) -> bool:
        """Whether all who were called have their connections open."""
        return self.ready_count >= self.size

    def is_finished(self) -> bool:
        """Whether all who were called have done their part."""
        return self.finished_count >= self.size

    def may_ask(self) -> bool:
        """Count one more request; False when the cell is closed, or its ceiling reached."""
        if self.cell.most and self.taken >= self.cell.most:
            self.enough.set()
        if self.closed or self.enough.is_set():
            return False
        self.taken += 1
        return True

    def came_back(self, *, rightly: bool) -> None:
        """An answer. Where a ceiling protects the target, a target that only fails is left alone at once."""
        self.wrong = 0 if rightly else self.wrong + 1
        if self.cell.most and self.wrong >= FAILING:
            self.enough.set()

    def pause_until(self, moment: float) -> None:
        """Sleep until a moment of the clock, or until the cell closes. Timers are coarse: look again after each."""
        while not self.closed and (early := moment - clock()) > 0:
            self.ended.wait(early)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds, at most so long; whether it does."""
    deadline = clock() + seconds
    while not condition() and clock() < deadline:
        gevent.sleep(0.01)
    return condition()
