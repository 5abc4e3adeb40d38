"""Plays the cells of a script in one Locust process: connect, go, warm-up, window, drain.

With a driver, cells follow one another: its greenlet gives cues, and the Locust users take part when they are called.
Levels of a crowd are parts of one cast, so that no user is ever spawned into a running load. Under plain Locust all cells
begin with the test and last until somebody stops it; users take part as Locust spawns them.
"""

import gc
import json
import math
from typing import Any, Protocol

import gevent
from gevent.event import Event
from gevent.queue import Queue

from results.schema import Cell, Phase, Scenario
from scenarios.generator.cell_run import FAILING, Cue, clock, wait_for
from scenarios.generator.client import Client, Unanswered
from scenarios.generator.dispatcher import dispatchers
from scenarios.generator.job import Script
from scenarios.generator.recorder import Recorder

TICK = 0.01  # seconds between two looks at the generator itself
ROUNDS = 2  # answers that each user of a crowd gets in a window, at least
PATIENCE = 30.0  # seconds that connecting, or assembling the cast, may take


class User(Protocol):
    """What the stage needs to know of a Locust user."""

    scenario: Scenario
    cues: "Queue[Cue]"


class Stage:
    """The conductor of one Locust process, number `part` of `parts`. `standing` cues take in users as they come."""

    def __init__(self, script: Script, environment: Any, part: int = 0, parts: int = 1) -> None:
        self.script, self.part, self.parts = script, part, parts
        self.recorder = Recorder(script.folder, script.worker)
        self.client = Client(environment, environment.host, self.recorder, script.letters, script.trust)
        self.cast: dict[Scenario, list[User]] = {scenario: [] for scenario in Scenario}
        self.standing: list[Cue] = []
        self.everybody, self.stopping = Event(), Event()
        self.together = 0.0  # the moment at which a burst without a driver leaves, the same in every process
        self.conductors: list[gevent.Greenlet] = []
        self.broken: OSError | None = None  # why the samples cannot be written any further

    def join(self, user: User) -> int:
        """A user has been spawned; its number among its kind."""
        self.cast[user.scenario].append(user)
        for cue in self.standing:
            if cue.cell.scenario is user.scenario and not cue.cell.arrivals:
                call(cue, user)
        return len(self.cast[user.scenario]) - 1

    def play(self, script: Script) -> None:
        """Play every cell of a script in order, until the last one or until somebody stops; then tell that it rests."""
        if not wait_for(lambda: all(len(self.cast[kind]) >= size for kind, size in script.cast().items()), PATIENCE):
            raise TimeoutError(f"Locust did not spawn the cast within {PATIENCE:.0f} s")
        for cell in script.cells:
            if self.stopping.is_set():
                return
            cue = Cue(cell, self.stopping, endless=False)
            say("connect", cell.name)
            for user in self.cast[cell.scenario][: cell.users]:
                call(cue, user)
            self.dispatch(cue)
            wait_for(cue.is_ready, PATIENCE)
            gc.collect()
            gc.disable()  # a collection of the generator's own garbage would look like latency of the server
            try:
                self.conduct(cue, clock(), cell.window)
            finally:
                gc.enable()
            if self.broken:
                raise self.broken
        if not self.stopping.is_set():
            self.recorder.flush()
            say("rest", "")

    def improvise(self) -> None:
        """Begin all cells at once; they last until somebody stops them, or until their arrivals end."""
        self.standing = [Cue(cell, self.stopping, endless=True) for cell in self.script.cells]
        gc.collect()
        gc.freeze()
        for cue in self.standing:
            self.dispatch(cue)
            self.conductors.append(gevent.spawn(self.conduct_unscripted, cue))

    def dispatch(self, cue: Cue) -> None:
        """Whoever keeps a schedule in this cell takes part."""
        for dispatcher in dispatchers(self.client, cue.cell, self.script.seed, self.part, self.parts):
            cue.size += 1
            gevent.spawn(dispatcher.take_part, cue)

    def conduct_unscripted(self, cue: Cue) -> None:
        """A cell of plain Locust. A burst waits for everybody, an open model for its moment, a crowd for nobody."""
        arrivals = cue.cell.arrivals
        if arrivals:
            self.stopping.wait(max(0.0, self.script.begins - clock()))
            self.conduct(cue, max(clock(), self.script.begins), arrivals.seconds - cue.cell.warm_up)
            return
        if cue.cell.scenario is Scenario.BURST:
            wait_for(lambda: self.stopping.is_set() or (self.everybody.is_set() and cue.is_ready()), math.inf)
            self.stopping.wait(max(0.0, self.together - clock()))
        self.conduct(cue, clock(), None)

    def conduct(self, cue: Cue, go: float, window: float | None) -> None:
        """Release everybody at one moment, measure, drain, give up what is still open. No window: until stopped."""
        cell, cue.go = cue.cell, go
        ticker = gevent.spawn(self.tick, cell.name)
        try:
            cue.begun.set()
            self.mark("go", cell)
            if cell.scenario is not Scenario.BURST:
                self.warm_up(cue)
                opened, before = clock(), cue.answered
                gevent.wait([self.stopping, cue.enough], window, count=1)
                cue.complete_rounds(opened, ROUNDS, before)
                if cue.enough.is_set():
                    self.mark("failing" if cue.wrong >= FAILING else "ceiling", cell)
                self.mark("close", cell)
                cue.closed = True
                cue.ended.set()
            wait_for(cue.is_finished, cell.drain)
            self.give_up(cell)
            wait_for(cue.is_finished, PATIENCE)
            self.mark("end", cell)
        finally:
            ticker.kill()

    def warm_up(self, cue: Cue) -> None:
        """Let the queue build, then open the window. A crowd that grows as Locust spawns it is awaited first."""
        if cue.endless and not cue.cell.arrivals:
            gevent.wait([self.everybody, self.stopping], count=1)
        gevent.wait([self.stopping, cue.enough], cue.cell.warm_up, count=1)
        cue.complete_rounds(cue.go, 1, 0)
        if not (cue.endless and self.stopping.is_set()):
            cue.phase = Phase.STEADY
            self.mark("open", cue.cell)

    def everybody_is_here(self, users: int, together: float) -> None:
        """Locust has spawned all its users, so many of them here. A change of their number begins a crowd's window again."""
        if self.everybody.is_set():
            for cue in self.standing:
                if cue.phase is Phase.STEADY and cue.cell.scenario is Scenario.CROWD and not cue.closed:
                    self.mark("open", cue.cell)
            return
        self.together = together
        wait_for(lambda: sum(map(len, self.cast.values())) >= users, PATIENCE)  # spawned is not yet at work
        self.everybody.set()

    def mark(self, name: str, cell: Cell) -> None:
        """Note a moment in both gauges of the cell, and tell the driver."""
        self.recorder.mark(cell.name, name)
        if cell.neighbours and cell.aside != cell.name:
            self.recorder.mark(cell.aside, name)
        if not self.standing:
            say(name, cell.name)

    def give_up(self, cell: Cell) -> None:
        """Nobody waits any longer: write down what is open, and free those that wait for it."""
        for ticket in list(self.recorder.open.values()):
            if ticket.cell in {cell.name, cell.aside}:
                self.recorder.give_up(ticket)
                gevent.kill(ticket.bearer, Unanswered("unanswered when the drain ended"))

    def tick(self, cell: str) -> None:
        """Look at the generator's own lateness and CPU while a cell runs."""
        due = clock() + TICK
        while True:
            gevent.sleep(max(0.0, due - clock()))
            try:
                self.recorder.tick(cell, clock() - due)
            except OSError as error:  # a full disk: what is not written down must not be asked
                self.broken = error
                self.stopping.set()
                return
            due = max(due + TICK, clock())

    def finish(self) -> None:
        """Stop sending; wait for what is in flight; write it all down. Whoever calls, and however often."""
        self.stopping.set()
        gevent.joinall(self.conductors)
        self.recorder.close()


def call(cue: Cue, user: User) -> None:
    """One more user takes part."""
    cue.size += 1
    user.cues.put(cue)


def say(*words: Any) -> None:
    """One line for the driver."""
    print("@atonce", json.dumps(words), flush=True)
