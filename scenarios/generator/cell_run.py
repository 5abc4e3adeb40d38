"""One cell while it runs. Its mutable state changes only between greenlet switches.

A participant (a user or a dispatcher) connects, waits for the start, and sends until `closed`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event

from results.schema import Cell, Phase

clock = time.perf_counter
MAX_WRONG_IN_ROW = 20  # wrong answers in a row after which more do not help
MIN_ROUNDS = 2  # answers that each user of a crowd gets in a window, at least
_MIN_ANSWERS = 8  # right answers that a mean takes
_MIN_GAPS = 16  # times between two answers that show an even rate
_HALF_INTERVAL = 1.96  # standard errors: half a 95 % interval


@dataclass(slots=True)
class RunningMean:
    """Mean and variance of values as they come (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of the squared deviations from the mean

    def add(self, value: float) -> None:
        """Count one more value."""
        self.count += 1
        deviation = value - self.mean
        self.mean += deviation / self.count
        self.squares += deviation * (value - self.mean)

    def is_within(self, share: float) -> bool:
        """Return whether 1.96 standard errors are at most this share of the mean.

        Takes the values as independent, and the mean of at least eight of them as normal.
        """
        if self.count < _MIN_ANSWERS:
            return False
        error = math.sqrt(self.squares / (self.count - 1) / self.count)
        return _HALF_INTERVAL * error <= share * self.mean


class CellRun:
    """State that a cell's participants and the engine share. `stopping` ends an `endless` one."""

    def __init__(self, cell: Cell, stopping: Event, *, endless: bool) -> None:
        self.cell, self.stopping, self.endless = cell, stopping, endless
        self.phase = Phase.WARM_UP
        self.closed = False
        self.start_time = self.open_time = 0.0
        self.participant_count = self.ready_count = self.finished_count = 0
        self.started, self.ended = Event(), Event()
        self.assembled, self.finished = Event(), Event()  # set then; more participants may join
        # the cell ends before its time, and why: ceiling, failing, precise or silent
        self.ending_early, self.early_reason = Event(), ""
        self.silent = Event()  # nothing has come back for the cell's `patience`
        self.request_count = self.wrong_in_row = 0  # requests so far, and wrong answers in a row
        self.answer_count = 0  # requests that came back, whatever the outcome
        self.count_at_open = 0  # of the answers, when the window opened
        self.latencies = RunningMean()  # of the right answers in the window
        # of times between two right answers in it, once every user has had one: the queue is built
        self.gaps, self.last_answer_at = RunningMean(), 0.0
        self.mid_round = Event()  # set when half of the users have one answer more than the rest

    def wait_for_start(self) -> None:
        """Wait until all participants have their connections open, as this one has."""
        self.ready_count += 1
        if self.is_ready():
            self.assembled.set()
        self.started.wait()

    def mark_finished(self) -> None:
        """Count a participant that has its last answer, or gave it up."""
        self.finished_count += 1
        if self.is_finished():
            self.finished.set()

    def is_ready(self) -> bool:
        """Return whether all participants have their connections open."""
        return self.ready_count >= self.participant_count

    def is_finished(self) -> bool:
        """Return whether all participants have done their part."""
        return self.finished_count >= self.participant_count

    @property
    def is_stopped(self) -> bool:
        """Whether no more requests are wanted: a signal, or a reason to end early."""
        return bool(self.stopping.is_set() or self.ending_early.is_set())

    @property
    def is_cut(self) -> bool:
        """Whether it has closed before its time: later arrivals are not sent."""
        return self.closed and bool(self.early_reason)

    def end_early(self, reason: str) -> None:
        """Have the engine close the cell now. The first reason counts."""
        self.early_reason = self.early_reason or reason
        self.ending_early.set()

    def mark_silent(self) -> None:
        """Give up the requests in flight; before the close, that ends the cell."""
        self.silent.set()
        if not self.closed:
            self.end_early("silent")

    def open_window(self) -> None:
        """Begin the part that is judged."""
        self.phase, self.open_time, self.count_at_open = Phase.STEADY, clock(), self.answer_count

    def close(self) -> None:
        """Send no more, and wake those who pause."""
        self.closed = True
        self.ended.set()

    def wait_until(self, moment: float | None) -> None:
        """Wait until a moment of the clock, or until the cell is stopped; None for no moment."""
        while not self.is_stopped and (moment is None or moment > clock()):
            left = None if moment is None else max(0.0, moment - clock())
            gevent.wait([self.stopping, self.ending_early], left, count=1)

    def wait_until_finished(self, seconds: float, *others: Event) -> None:
        """Wait for all participants, at most so long, or until one of the other events."""
        deadline = clock() + seconds
        while not self.is_finished() and (left := deadline - clock()) > 0:
            self.finished.clear()
            gevent.wait([self.finished, *others], left, count=1)
            if any(event.is_set() for event in others):
                return

    def try_acquire_request(self) -> bool:
        """Count one more request; False when the cell is closed, or its ceiling reached."""
        if self.cell.most and self.request_count >= self.cell.most:
            self.end_early("ceiling")
            return False
        if self.closed or self.early_reason == "failing":
            return False
        self.request_count += 1
        return True

    def record_answer(self, latency: float, *, is_right: bool) -> None:
        """Count an answer. A target with a ceiling that only fails is left alone at once."""
        self.answer_count += 1
        if self._is_mid_round():
            self.mid_round.set()
        self.wrong_in_row = 0 if is_right else self.wrong_in_row + 1
        if self.cell.most and self.wrong_in_row >= MAX_WRONG_IN_ROW:
            self.end_early("failing")
        if is_right and self.phase is Phase.STEADY and not self.closed:
            self.latencies.add(latency)
            self._count_gap()
            if self._is_precise():
                self.end_early("precise")

    def _is_mid_round(self) -> bool:
        """Return whether a window may open or close: in the middle of a round of all users.

        A server may answer all waiting requests almost at once. The middle of such a lump hardly
        varies, while its last answer may come late, and the next lump's first one early.
        """
        users = self.cell.users
        return bool(users) and self.answer_count % users == users // 2

    def _count_gap(self) -> None:
        now, last = clock(), self.last_answer_at
        self.last_answer_at = now
        if last and self.answer_count > self.cell.users:
            self.gaps.add(now - last)

    def _is_precise(self) -> bool:
        """Return whether the window may close: its rate or its mean latency is known.

        Answers of a queue may come evenly, one after another; else it takes whole rounds.
        """
        cell = self.cell
        if not cell.precision or clock() - self.open_time < cell.least:
            return False
        if self.gaps.count >= _MIN_GAPS and self.gaps.is_within(cell.precision):
            return True
        return bool(
            self._is_mid_round()
            and self._count_rounds(self.count_at_open) >= MIN_ROUNDS
            and self.latencies.is_within(cell.precision)
        )

    def _count_rounds(self, before: int) -> int:
        """Return how often all users were answered since the answers were `before`.

        A window may open some answers after the middle of a round: a quarter of one is allowed.
        """
        users = self.cell.users or 1
        return (self.answer_count - before + users // 4) // users

    def wait_for_rounds(self, since: float, least: int, before: int) -> None:
        """Wait for the middle of a round of all users, `least` of them on, if time allows.

        `before` is the count of answers at `since`. A window that ended between two rounds would
        count half of one too many or too few.
        """
        users, longest = self.cell.users, self.cell.longest
        while users and not self.is_stopped and (left := since + longest - clock()) > 0:
            self.mid_round.clear()
            gevent.wait([self.mid_round, self.stopping, self.ending_early], left, count=1)
            rounds, elapsed = self._count_rounds(before), clock() - since
            if self.mid_round.is_set() and (
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
