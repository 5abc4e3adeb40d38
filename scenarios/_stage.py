"""Plays the cells of a plan one after another: connect, go, warm-up, window, drain, next.

One stage per Locust process. Its greenlet gives cues; the Locust users take part when they are called. Levels of a
crowd are parts of one cast: level 8 calls the first eight users, so that no user is ever spawned into a running load.
"""

import gc
import json
import time
from typing import Any, Protocol

import gevent
from gevent.event import Event
from gevent.queue import Queue

from results.schema import Cell, Phase, Scenario
from scenarios._recorder import Recorder
from scenarios._script import Script

clock = time.perf_counter
TICK = 0.02  # seconds between two looks at the generator itself
PATIENCE = 30.0  # seconds that connecting, or assembling the cast, may take


class Unanswered(ConnectionError):  # noqa: N818 - the name is what Locust shows in its table
    """Thrown into a user whose request was given up, so that Locust counts a failure instead of losing it."""


class Cue:
    """One cell while it is played. Users wait for `begun`, then act until `closed`.

    The mutable state - phase, closed, the counts of users ready and finished - changes only between greenlet switches.
    """

    def __init__(self, cell: Cell, size: int) -> None:
        self.cell = cell
        self.size = size
        self.phase = Phase.WARM_UP
        self.closed = False
        self.go = 0.0
        self.ready_count = self.finished_count = 0
        self.all_ready, self.begun, self.ended, self.all_finished = Event(), Event(), Event(), Event()

    def ready(self) -> None:
        """One user has its connections open; wait with it for the others."""
        self.ready_count += 1
        if self.ready_count == self.size:
            self.all_ready.set()
        self.begun.wait()

    def finished(self) -> None:
        """One user has sent its last request and has its answer, or gave it up."""
        self.finished_count += 1
        if self.finished_count == self.size:
            self.all_finished.set()

    def pause_until(self, moment: float) -> None:
        """Sleep until a moment of the clock, or until the cell closes. Timers are coarse: look again after each."""
        while not self.closed and (early := moment - clock()) > 0:
            self.ended.wait(early)


class User(Protocol):
    """What the stage needs to know of a Locust user."""

    scenario: Scenario
    cues: "Queue[Cue]"


class Stage:
    """The conductor of one Locust process."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.recorder = Recorder(script.folder, script.worker)
        self.cast: dict[Scenario, list[User]] = {scenario: [] for scenario in Scenario}
        self.stopping = Event()
        self.conductor: gevent.Greenlet | None = None

    def join(self, user: User) -> int:
        """A user has been spawned; its number among its kind."""
        self.cast[user.scenario].append(user)
        return len(self.cast[user.scenario]) - 1

    def play(self) -> None:
        """Play every cell in order, until the last one or until `stop`."""
        deadline = clock() + PATIENCE
        while any(len(self.cast[kind]) < size for kind, size in self.script.cast().items()):
            if clock() > deadline:
                message = f"Locust did not spawn the cast within {PATIENCE:.0f} s"
                raise TimeoutError(message)
            gevent.sleep(0.01)
        for cell in self.script.cells:
            if self.stopping.is_set():
                return
            self.play_cell(cell)

    def play_cell(self, cell: Cell) -> None:
        """Connect, release everybody at one moment, measure, drain, give up what is still open."""
        users = self.cast[cell.scenario][: cell.users] + self.cast[Scenario.NEIGHBOURS][: len(cell.neighbours)]
        cue = Cue(cell, len(users))
        say("connect", cell.name)
        for user in users:
            user.cues.put(cue)
        cue.all_ready.wait(PATIENCE)
        gc.collect()
        gc.disable()  # a collection of the generator's own garbage would look like latency of the server
        ticker = gevent.spawn(self.tick, cell.name)
        try:
            cue.go = clock()
            cue.begun.set()
            self.mark("go", cell)
            if cell.scenario is not Scenario.BURST:
                self.stopping.wait(cell.warm_up)
                cue.phase = Phase.STEADY
                self.mark("open", cell)
                self.stopping.wait(cell.window)
                self.mark("close", cell)
                cue.closed = True
                cue.ended.set()
            cue.all_finished.wait(cell.drain)
            self.give_up()
            cue.all_finished.wait(PATIENCE)
            self.mark("end", cell)
        finally:
            ticker.kill()
            gc.enable()

    def mark(self, name: str, cell: Cell) -> None:
        """Note a moment in both gauges of the cell, and tell the driver."""
        self.recorder.mark(cell.name, name)
        if cell.neighbours and cell.aside != cell.name:
            self.recorder.mark(cell.aside, name)
        say(name, cell.name)

    def give_up(self) -> None:
        """Nobody waits any longer: write down what is open, and free the users that wait for it."""
        for ticket in list(self.recorder.open.values()):
            self.recorder.give_up(ticket)
            gevent.kill(ticket.bearer, Unanswered("unanswered when the drain ended"), block=False)

    def tick(self, cell: str) -> None:
        """Look at the generator's own lateness and CPU while a cell runs."""
        due = clock() + TICK
        while True:
            gevent.sleep(max(0.0, due - clock()))
            self.recorder.tick(cell, clock() - due)
            due = max(due + TICK, clock())

    def stop(self) -> None:
        """Stop sending; what is in flight is still waited for."""
        self.stopping.set()


def say(*words: Any) -> None:
    """One line for the driver."""
    print("@atonce", json.dumps(words), flush=True)
