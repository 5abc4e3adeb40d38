"""The open model: every request leaves at its planned moment, whether or not others were answered.

A dispatcher sends each arrival in a greenlet of its own and waits for no answer: a slow server
cannot slow the load down. A request that leaves late because our process stalled keeps its planned
moment. One that the in-flight cap refuses is a row as well.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gevent
from gevent.pool import Group

from results.schema import Arrivals, Cell, ConnectionMode
from results.thresholds import CLOSED_EARLY
from scenarios.generator.arrivals import arrival_times
from scenarios.generator.cell_run import CellRun, clock
from scenarios.generator.client import Client
from scenarios.generator.recorder import SampleKey
from scenarios.plans.cells import poisson_arrivals

_MAX_IDLE_TIME = 4.0  # seconds
_LONG_GAP = 0.002  # seconds; of shorter gaps a busy generator would be the greater evil
# seconds that libev's timers may come late: they round up to whole milliseconds
_TIMER_SLACK = 0.001


class Dispatcher:
    """Sends part `part` of `parts` of one schedule.

    `idle` are the open connections not in use, the one used last on top. One that was idle for long
    is closed: a server might close it (uvicorn after 5 s) as our request arrives.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a schedule, and its sharing
        self,
        client: Client,
        cell: Cell,
        arrivals: Arrivals,
        seed: str,
        part: int = 0,
        parts: int = 1,
        first: int = 0,
    ) -> None:
        self.client, self.cell, self.arrivals = client, cell, arrivals
        schedule = arrivals.profile, arrivals.law, seed, part, parts
        self.arrival_times = partial(arrival_times, *schedule)
        self.idle: deque[tuple[int, Any, float]] = deque()  # number, connection, idle since
        self.next_number, self.in_flight = first, 0

    def run(self, cell_run: CellRun) -> None:
        """Take part in one cell run, from connecting to the last answer."""
        recorder, connect = self.client.recorder, self.client.connect
        try:
            if self.arrivals.pool is ConnectionMode.WARM:
                # unused connections are not closed: idle since infinity
                warm = [self.new_connection() for _ in range(self.arrivals.warm)]
                self.idle.extend((*connection, math.inf) for connection in warm)
                gevent.joinall([gevent.spawn(connect, connection) for _, connection in warm])
            if not cell_run.endless:  # without a planned end the planned number is unknown
                recorder.record_planned(self.cell.name, sum(1 for _ in self.arrival_times()))
            cell_run.wait_for_start()
            self.send_all(cell_run)
        finally:
            for _, connection, _ in self.idle:
                connection.close()
            cell_run.mark_finished()

    def new_connection(self) -> tuple[int, Any]:
        """Return one more connection, with its number."""
        self.next_number += 1
        return self.next_number - 1, self.client.new_connection()

    def _acquire_connection(self) -> tuple[int, Any]:
        while self.idle:
            number, connection, since = self.idle.pop()
            if clock() - since < _MAX_IDLE_TIME:
                return number, connection
            connection.close()
        return self.new_connection()

    def send_all(self, cell_run: CellRun) -> None:
        """Send every arrival at its moment, or record why not; then wait for open requests."""
        out = Group()  # without a size: a pool that made us wait would close the loop
        for offset in self.arrival_times():
            due = cell_run.start_time + offset
            self._wait_until_due(cell_run, due)
            if cell_run.stopping.is_set() and cell_run.endless:
                break
            if reason := self._why_not_sent(cell_run):
                key = SampleKey(self.cell, cell_run.phase, None)
                self.client.recorder.record_unsent(key, due, reason)
            else:
                self.in_flight += 1
                out.spawn(self.send, cell_run, due)
        out.join()

    def _why_not_sent(self, cell_run: CellRun) -> str:
        if cell_run.stopping.is_set():
            return "the run was stopped"
        is_refused = self._is_own_load(cell_run) and not cell_run.try_acquire_request()
        if cell_run.is_cut or is_refused:
            return CLOSED_EARLY
        is_full = self.in_flight >= self.arrivals.cap
        return f"the in-flight cap of {self.arrivals.cap} was reached" if is_full else ""

    @staticmethod
    def _wait_until_due(cell_run: CellRun, due: float) -> None:
        """Wait for a moment; after a long gap, spend the last millisecond in a busy loop."""
        if due - clock() > _LONG_GAP:
            cell_run.pause_until(due - _TIMER_SLACK)
            while clock() < due and not cell_run.closed:
                gevent.sleep(0)
        while not (cell_run.is_cut or cell_run.stopping.is_set()) and (early := due - clock()) > 0:
            gevent.sleep(early)  # the last arrivals may be due a moment after the close

    def send(self, cell_run: CellRun, due: float) -> None:
        """Send one request; afterwards its connection is idle, or closed."""
        number, connection = self._acquire_connection()
        try:
            key = SampleKey(self.cell, cell_run.phase, number)
            _, is_right = self.client.send_request(connection, key, due)
            if self._is_own_load(cell_run):
                cell_run.record_answer(clock() - due, is_right=is_right)
        finally:
            self.in_flight -= 1
            if self.arrivals.pool is not ConnectionMode.FRESH:
                self.idle.append((number, connection, clock()))
            else:
                connection.close()

    def _is_own_load(self, cell_run: CellRun) -> bool:
        """Return whether these are the cell's own arrivals, and not those of a neighbour."""
        return self.cell.name == cell_run.cell.name


def build_dispatchers(
    client: Client, cell: Cell, seed: int, part: int, parts: int
) -> Iterator[Dispatcher]:
    """Yield the dispatchers of a cell: one for its own arrivals, one for each neighbour."""
    # the seed does not depend on the route: every variant gets the same arrivals
    if cell.arrivals:
        yield Dispatcher(client, cell, cell.arrivals, str(seed), part, parts)
    for number, ping in enumerate(cell.neighbours):
        neighbour = replace(
            cell,
            name=cell.neighbour_cell_name,
            route=ping.route,
            path=ping.path,
            expects=ping.expects,
            status=ping.status,
        )
        count, seconds = ping.connections, cell.warm_up + cell.window
        arrivals = poisson_arrivals(ping.rate, seconds, warm=count, cap=count)
        first = number * count
        yield Dispatcher(client, neighbour, arrivals, f"{seed}/{ping.kind}", first=first)
