"""Runs the cells of a job in one Locust process: connect, go, warm-up, window, drain.

With a driver, cells follow one another and share the users of the largest, so that no user is
spawned into a running load. Under plain Locust all cells last from the test's start to its end.
"""

import gc
import json
import math
from collections.abc import Iterable
from typing import Any, Protocol

import gevent
import msgspec
from gevent.event import Event
from gevent.queue import Queue

from results.records import Mark
from results.schema import Cell, Phase, Scenario
from scenarios.generator.cell_run import MIN_ROUNDS, CellRun, clock, wait_for
from scenarios.generator.client import AbandonedRequest, Client
from scenarios.generator.dispatcher import build_dispatchers
from scenarios.generator.job import Job
from scenarios.generator.recorder import Recorder
from scenarios.generator.silence import SilenceWatch

_TICK_INTERVAL = 0.01  # seconds between two samples of the generator itself
_ASSEMBLY_TIMEOUT = 30.0  # seconds that connecting, or spawning the users, may take
_ACCEPT_TIME = 0.0005  # seconds per user for a server to accept its connection


class UserProtocol(Protocol):
    """What the load engine needs to know of a Locust user."""

    scenario: Scenario
    cell_runs: "Queue[CellRun]"


class LoadEngine:
    """Runs the load of process `part` of `parts`; `joinable_runs` take in users as they come."""

    def __init__(self, job: Job, environment: Any, part: int = 0, parts: int = 1) -> None:
        self.job, self.part, self.parts, self.environment = job, part, parts, environment
        self.recorder = Recorder(job.folder, job.worker)
        self.client = self._create_client()
        self.users: dict[Scenario, list[UserProtocol]] = {scenario: [] for scenario in Scenario}
        self.joinable_runs: list[CellRun] = []
        self.all_spawned, self.stopping = Event(), Event()
        # the moment at which a burst without a driver leaves, the same in every process
        self.burst_time = 0.0
        self.greenlets: list[gevent.Greenlet] = []
        self.write_error: OSError | None = None  # why the samples cannot be written any further

    def _create_client(self) -> Client:
        environment, job = self.environment, self.job
        return Client(environment, environment.host, self.recorder, job.letters, job.trust)

    def register_user(self, user: UserProtocol) -> int:
        """Add a spawned user; return its number among its kind."""
        self.users[user.scenario].append(user)
        for cell_run in self.joinable_runs:
            if cell_run.cell.scenario is user.scenario and not cell_run.cell.arrivals:
                _enlist_user(cell_run, user)
        return len(self.users[user.scenario]) - 1

    def run_job(self, job: Job) -> None:
        """Run every cell of a job in order, unless stopped before; then print that it rests."""
        sizes, limit = job.user_counts().items(), _ASSEMBLY_TIMEOUT
        if not wait_for(lambda: all(len(self.users[kind]) >= n for kind, n in sizes), limit):
            raise TimeoutError(f"Locust did not spawn the users within {limit:.0f} s")
        if job is self.job:  # the first: Locust's own objects need no more collections
            gc.collect()
            gc.freeze()
        self._take_job(job)
        for cell in job.cells:
            if self.stopping.is_set():
                return
            cell_run = CellRun(cell, self.stopping, endless=False)
            _emit_event("connect", cell.name)
            for user in self.users[cell.scenario][: cell.users]:
                _enlist_user(cell_run, user)
            self._start_dispatchers(cell_run)
            if not cell_run.is_ready():
                cell_run.assembled.wait(_ASSEMBLY_TIMEOUT)
            gevent.sleep(0.0 if cell.cold else _ACCEPT_TIME * cell.users)
            gc.collect()
            # a collection of the generator's own garbage would look like latency of the server
            gc.disable()
            try:
                self._run_cell(cell_run, clock(), cell.window)
            finally:
                gc.enable()
            if self.write_error:
                raise self.write_error
        if not self.stopping.is_set():
            self.recorder.flush()
            _emit_event("rest", "")

    def _take_job(self, job: Job) -> None:
        """Write this job's samples to its own spools, and use its templates and trust."""
        if job.worker != self.job.worker or job.folder != self.job.folder:
            self.recorder.close()
            self.recorder = Recorder(job.folder, job.worker)
        self.job = job
        self.client = self._create_client()

    def start_standalone(self) -> None:
        """Begin all cells at once; they last until stopped, or until their arrivals end."""
        self.joinable_runs = [CellRun(cell, self.stopping, endless=True) for cell in self.job.cells]
        gc.collect()
        gc.freeze()
        for cell_run in self.joinable_runs:
            self._start_dispatchers(cell_run)
            self.greenlets.append(gevent.spawn(self._run_standalone_cell, cell_run))

    def _start_dispatchers(self, cell_run: CellRun) -> None:
        share = self.job.seed, self.part, self.parts
        for dispatcher in build_dispatchers(self.client, cell_run.cell, *share):
            cell_run.participant_count += 1
            gevent.spawn(dispatcher.run, cell_run)

    def _run_standalone_cell(self, cell_run: CellRun) -> None:
        """Run a cell of plain Locust. A burst waits for all users, an open model for its moment."""
        cell, stopping = cell_run.cell, self.stopping
        if cell.arrivals:
            stopping.wait(max(0.0, self.job.begins - clock()))
            window = cell.arrivals.duration - cell.warm_up
            self._run_cell(cell_run, max(clock(), self.job.begins), window)
            return
        if cell.scenario is Scenario.BURST:
            all_in = self.all_spawned.is_set
            wait_for(lambda: stopping.is_set() or (all_in() and cell_run.is_ready()), math.inf)
            stopping.wait(max(0.0, self.burst_time - clock()))
        self._run_cell(cell_run, clock(), None)

    def _run_cell(self, cell_run: CellRun, start_time: float, window: float | None) -> None:
        """Start all at one moment, measure, drain, abandon the rest. No window: until stopped."""
        cell, cell_run.start_time = cell_run.cell, start_time
        silence = SilenceWatch(self.recorder, cell)
        ticker = gevent.spawn(self._run_ticker, cell_run, silence)
        try:
            cell_run.started.set()
            self.mark("go", cell)
            if cell.scenario is not Scenario.BURST:
                self._open_window(cell_run, silence)
                cell_run.wait_until(None if window is None else cell_run.open_time + window)
                cell_run.wait_for_rounds(cell_run.open_time, MIN_ROUNDS, cell_run.count_at_open)
                self._close_window(cell_run, silence)
            cell_run.wait_until_finished(cell.drain, cell_run.silent)
            if cell_run.silent.is_set() and cell_run.early_reason != "silent":
                self.mark("silent", cell, silence.marks)
            self._abandon_open_requests(cell)
            cell_run.wait_until_finished(_ASSEMBLY_TIMEOUT)
            self.mark("end", cell)
        finally:
            ticker.kill()

    def _open_window(self, cell_run: CellRun, silence: SilenceWatch) -> None:
        """Let the queue build, then open the window; wait for a crowd that is still spawned.

        If all are silent before that, the window is the silence.
        """
        cell = cell_run.cell
        if cell_run.endless and not cell.arrivals:
            gevent.wait([self.all_spawned, self.stopping], count=1)
        cell_run.wait_until(clock() + cell.warm_up)
        cell_run.wait_for_rounds(cell_run.start_time, 0, 0)
        if not (cell_run.endless and self.stopping.is_set()):
            cell_run.open_window()
            self.mark("open", cell, silence.marks if cell_run.silent.is_set() else ())

    def _close_window(self, cell_run: CellRun, silence: SilenceWatch) -> None:
        if reason := cell_run.early_reason:
            self.mark(reason, cell_run.cell, silence.marks if reason == "silent" else ())
        self.mark("close", cell_run.cell)
        cell_run.close()

    def on_all_users_spawned(self, users: int, burst_time: float) -> None:
        """Note that Locust has spawned all, `users` of them here; reopen a crowd's window."""
        if self.all_spawned.is_set():
            for cell_run in self.joinable_runs:
                is_open = cell_run.phase is Phase.STEADY and not cell_run.closed
                if is_open and cell_run.cell.scenario is Scenario.CROWD:
                    self.mark("open", cell_run.cell)
            return
        self.burst_time = burst_time
        # spawned is not yet registered
        wait_for(lambda: sum(map(len, self.users.values())) >= users, _ASSEMBLY_TIMEOUT)
        self.all_spawned.set()

    def mark(self, name: str, cell: Cell, earlier: Iterable[Mark] = ()) -> None:
        """Note a moment for the cell and its neighbours; inform the driver."""
        for mark in earlier or self.recorder.read_marks(cell, name):
            self.recorder.load.write(msgspec.structs.replace(mark, mark=name))
        if not self.joinable_runs:
            _emit_event(name, cell.name)

    def _abandon_open_requests(self, cell: Cell) -> None:
        """Record open requests as given up, and free the greenlets that wait for them."""
        for request in list(self.recorder.in_flight.values()):
            if request.cell in {cell.name, cell.neighbour_cell_name}:
                self.recorder.abandon(request)
                gevent.kill(request.greenlet, AbandonedRequest("unanswered when the drain ended"))

    def _run_ticker(self, cell_run: CellRun, silence: SilenceWatch) -> None:
        due = clock() + _TICK_INTERVAL
        while True:
            gevent.sleep(max(0.0, due - clock()))
            try:
                self.recorder.tick(cell_run.cell.name, clock() - due)
                if silence.is_silent(_TICK_INTERVAL, closed=cell_run.closed):
                    cell_run.mark_silent()
            except OSError as error:  # a full disk: what cannot be recorded must not be sent
                self.write_error = error
                self.stopping.set()
                return
            due = max(due + _TICK_INTERVAL, clock())

    def finish(self) -> None:
        """Stop sending; wait for what is in flight; write it all. May be called more than once."""
        self.stopping.set()
        gevent.joinall(self.greenlets)
        self.recorder.close()


def _enlist_user(cell_run: CellRun, user: UserProtocol) -> None:
    cell_run.participant_count += 1
    user.cell_runs.put(cell_run)


def _emit_event(*event: Any) -> None:
    print("@atonce", json.dumps(event), flush=True)
