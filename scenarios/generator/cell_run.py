"""One cell while it runs. Its mutable state changes only between greenlet switches.

A participant (a user or a dispatcher) connects, waits for the start, and sends until `closed`.
"""

import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from results.schema import Cell, Phase

clock = time.perf_counter
MAX_WRONG_IN_ROW = 20  # wrong answers in a row after which more do not help


class CellRun:
    """State that a cell's participants and the engine share. `stopping` ends an `endless` one."""

    def __init__(self, cell: Cell, stopping: Event, *, endless: bool) -> None:
        self.cell, self.stopping, self.endless = cell, stopping, endless
        self.phase = Phase.WARM_UP
        self.closed = False
        self.start_time = 0.0
        self.participant_count = self.ready_count = self.finished_count = 0
        self.started, self.ended, self.limit_reached = Event(), Event(), Event()
        self.request_count = self.wrong_in_row = 0  # requests so far, and wrong answers in a row
        self.answer_count = 0  # requests that came back, whatever the outcome
        self.round_complete = Event()  # set when all users have been answered equally often

    def wait_for_start(self) -> None:
        """Wait until all participants have their connections open, as this one has."""
        self.ready_count += 1
        self.started.wait()

    def mark_finished(self) -> None:
        """Count a participant that has its last answer, or gave it up."""
        self.finished_count += 1

    def is_ready(self) -> bool:
        """Return whether all participants have their connections open."""
        return self.ready_count >= self.participant_count

    def is_finished(self) -> bool:
        """Return whether all participants have done their part."""
        return self.finished_count >= self.participant_count

    @property
    def is_stopped(self) -> bool:
        """Whether no more requests are sent: a signal, or a ceiling of requests or failures."""
        return bool(self.stopping.is_set() or self.limit_reached.is_set())

    def wait_for_stop(self, seconds: float | None) -> None:
        """Wait until the cell is stopped, at most so many seconds."""
        gevent.wait([self.stopping, self.limit_reached], seconds, count=1)

    def try_acquire_request(self) -> bool:
        """Count one more request; False when the cell is closed, or its ceiling reached."""
        if self.cell.most and self.request_count >= self.cell.most:
            self.limit_reached.set()
        if self.closed or self.limit_reached.is_set():
            return False
        self.request_count += 1
        return True

    def record_answer(self, *, is_right: bool) -> None:
        """Count an answer. A target with a ceiling that only fails is left alone at once."""
        self.answer_count += 1
        if self.cell.users and self.answer_count % self.cell.users == 0:
            self.round_complete.set()
        self.wrong_in_row = 0 if is_right else self.wrong_in_row + 1
        if self.cell.most and self.wrong_in_row >= MAX_WRONG_IN_ROW:
            self.limit_reached.set()

    def wait_for_rounds(self, since: float, least: int, before: int) -> None:
        """Wait until all users were answered equally often, at least `least` times, if time allows.

        `before` is the count of answers at `since`. A server may answer all waiting requests at
        once: a window that ended between two rounds would count one too many or too few.
        """
        users, longest = self.cell.users, self.cell.longest
        while users and not self.is_stopped and (left := since + longest - clock()) > 0:
            self.round_complete.clear()
            gevent.wait([self.round_complete, self.stopping, self.limit_reached], left, count=1)
            rounds, elapsed = (self.answer_count - before) // users, clock() - since
            if self.round_complete.is_set() and (
                rounds >= least or elapsed * (1 + 1 / max(rounds, 1)) > longest
            ):
                return

    def pause_until(self, deadline: float) -> None:
        """Sleep until a moment of the clock, or until the cell closes. Timers are coarse."""
        while not self.closed and (early := deadline - clock()) > 0:
            self.ended.wait(early)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, at most so many seconds; return whether it does."""
    deadline = clock() + seconds
    while not condition() and clock() < deadline:
        gevent.sleep(0.01)
    return condition()
