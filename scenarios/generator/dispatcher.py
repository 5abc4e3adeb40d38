"""The open model: every request leaves at its planned moment, whether or not the earlier ones were answered.

An open model has no users. A dispatcher walks through the schedule and sends each arrival off in a greenlet of its own; it
never waits for an answer, so a slow server cannot slow the load down. When our own process stalls, the late ones leave in a
burst and keep their planned moments: the lateness is ours, and counted. What the cap refuses is a row as well.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gevent
from gevent.pool import Group

from results.schema import Arrivals, Cell, Law, Neighbour, Pool
from results.thresholds import CLOSED_EARLY
from scenarios.generator.arrivals import moments
from scenarios.generator.cell_run import Cue, clock
from scenarios.generator.client import Client
from scenarios.generator.recorder import Place

RESTED = 4.0  # seconds
LONG = 0.002  # seconds; of shorter gaps a busy generator would be the greater evil
COARSE = 0.001  # seconds that libev's timers may come late: they round up to whole milliseconds


class Dispatcher:
    """Sends one schedule: part `part` of `parts`. `idle` are the open connections nobody uses; only this class changes it.

    The connection used last is taken first, and one that has rested for long is left alone: servers close those (uvicorn
    after 5 s), and on a held loop the closing may cross our request.
    """

    def __init__(  # noqa: PLR0913 - a schedule, and who shares it
        self, client: Client, cell: Cell, seed: str, *, part: int = 0, parts: int = 1, first: int = 0
    ) -> None:
        assert cell.arrivals is not None  # noqa: S101 - who plans an open model gives it arrivals
        self.client, self.cell, self.arrivals = client, cell, cell.arrivals
        self.moments = partial(moments, cell.arrivals.profile, cell.arrivals.law, seed, part, parts)
        self.idle: deque[tuple[int, Any, float]] = deque()  # number, connection, resting since
        self.next_number, self.in_flight = first, 0

    def take_part(self, cue: Cue) -> None:
        """One cell, from connecting to the last answer."""
        try:
            if self.arrivals.pool is Pool.WARM:
                self.idle.extend((*self.new(), math.inf) for _ in range(self.arrivals.warm))  # unused ones are not closed
                gevent.joinall([gevent.spawn(self.client.open, connection) for _, connection, _ in self.idle])
            if not cue.endless:  # where nobody planned an end, nobody knows how many there should have been
                self.client.recorder.expect(self.cell.name, sum(1 for _ in self.moments()))
            cue.ready()
            self.send_all(cue)
        finally:
            cue.finished()

    def new(self) -> tuple[int, Any]:
        """One more connection, with its number."""
        self.next_number += 1
        return self.next_number - 1, self.client.new_connection()

    def take(self) -> tuple[int, Any]:
        """A connection that is free, else a new one."""
        while self.idle:
            number, connection, since = self.idle.pop()
            if clock() - since < RESTED:
                return number, connection
            connection.close()
        return self.new()

    def send_all(self, cue: Cue) -> None:
        """Send every arrival at its moment, then wait for the answers still out.

        Whoever stops a planned run leaves arrivals behind that were never sent: rows too. Where nobody planned an end,
        stopping is the end.
        """
        out = Group()  # without a size: a pool that made us wait would close the loop
        for moment in self.moments():
            due = cue.go + moment
            self.pause(cue, due)
            if cue.stopping.is_set():
                if cue.endless:
                    break
                self.client.recorder.never_sent(self.place(cue, None), due, "the run was stopped")
            elif cue.enough.is_set() or (self.is_load(cue) and not cue.may_ask()):
                self.client.recorder.never_sent(self.place(cue, None), due, CLOSED_EARLY)
            elif self.in_flight >= self.arrivals.cap:
                why = f"the in-flight cap of {self.arrivals.cap} was reached"
                self.client.recorder.never_sent(self.place(cue, None), due, why)
            else:
                self.in_flight += 1
                out.spawn(self.send, cue, due)
        out.join()

    @staticmethod
    def pause(cue: Cue, due: float) -> None:
        """Wait for a moment; after a long gap, spend the last millisecond turning the hub: CPU instead of lateness.

        Where gaps are short, a busy generator would be the greater evil.
        """
        if due - clock() > LONG:
            cue.pause_until(due - COARSE)
            while clock() < due and not cue.closed:
                gevent.sleep(0)
        while not (cue.stopping.is_set() or cue.enough.is_set()) and (early := due - clock()) > 0:
            gevent.sleep(early)  # the last arrivals may be due a moment after the close

    def send(self, cue: Cue, due: float) -> None:
        """One request; afterwards its connection rests, or is closed."""
        number, connection = self.take()
        try:
            _, rightly = self.client.ask(connection, self.place(cue, number), self.cell, due)
            if self.is_load(cue):
                cue.came_back(rightly=rightly)
        finally:
            self.in_flight -= 1
            if self.arrivals.pool is not Pool.FRESH:
                self.idle.append((number, connection, clock()))
            else:
                connection.close()

    def is_load(self, cue: Cue) -> bool:
        """Whether these are the cell's own arrivals, and not those of a neighbour."""
        return self.cell.name == cue.cell.name

    def place(self, cue: Cue, number: int | None) -> Place:
        """Where a sample belongs that leaves now."""
        return Place(self.cell.name, cue.phase, self.cell.route, self.cell.variant, number)


def dispatchers(client: Client, cell: Cell, seed: int, part: int, parts: int) -> Iterator[Dispatcher]:
    """Who keeps the schedules of a cell: one for its own arrivals, one for each neighbour asked beside it.

    The seed does not depend on the route: every variant meets the same arrivals.
    """
    if cell.arrivals:
        yield Dispatcher(client, cell, str(seed), part=part, parts=parts)
    for number, ping in enumerate(cell.neighbours):
        yield Dispatcher(client, ping_cell(cell, ping), f"{seed}/{ping.kind}", first=number * ping.connections)


def ping_cell(cell: Cell, ping: Neighbour) -> Cell:
    """What one neighbour is asked beside a cell."""
    profile = ((cell.warm_up + cell.window, ping.rate, ping.rate),)
    arrivals = Arrivals(law=Law.POISSON, profile=profile, pool=Pool.WARM, warm=ping.connections, cap=ping.connections)
    place = replace(cell, name=cell.aside, route=ping.route, path=ping.path, arrivals=arrivals)
    return replace(place, expects=ping.expects, status=ping.status)
