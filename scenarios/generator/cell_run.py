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
        self.answered = 0  # requests that came back, in whatever way
        self.round_over = Event()  # set when all users have been answered equally often

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
        self.answered += 1
        if self.cell.users and self.answered % self.cell.users == 0:
            self.round_over.set()
        self.wrong = 0 if rightly else self.wrong + 1
        if self.cell.most and self.wrong >= FAILING:
            self.enough.set()

    def complete_rounds(self, since: float, least: int, before: int) -> None:
        """Wait until all users were answered equally often, at least so often since the count was `before`, at a moment `since`.

        A server may answer all that wait for it at one moment, and whoever counts from one moment to another between
        two of these counts one lump too many or too few: a window begins and ends where a round does. What would last
        longer than the cell may is content with less.
        """
        users, longest = self.cell.users, self.cell.longest
        while users and (left := since + longest - clock()) > 0 and not (self.stopping.is_set() or self.enough.is_set()):
            self.round_over.clear()
            gevent.wait([self.round_over, self.stopping, self.enough], left, count=1)
            rounds, lasted = (self.answered - before) // users, clock() - since
            if self.round_over.is_set() and (rounds >= least or lasted * (1 + 1 / max(rounds, 1)) > longest):
                return

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
