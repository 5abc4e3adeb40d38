"""The test bed: one Locust and one process of the app, which serve one route after another.

A process that does not come back to rest is replaced by a fresh one, under the next name. What
other work on the machine disturbs is measured again.
"""

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from results.errors import AtonceError, ExitCode
from results.records import Sent, decode_request_line
from results.schema import Cell
from results.spool import read_spool
from results.store import RunWriter
from results.thresholds import MANY_USERS
from scenarios.doctor import controls, retry
from scenarios.doctor.app_process import AppProcess
from scenarios.doctor.levels import level_duration
from scenarios.doctor.openapi.request_builder import MAX_ALTERNATIVES
from scenarios.doctor.openapi.route_request import RouteRequest, create_template
from scenarios.doctor.openapi.smoke_test import run_smoke_test
from scenarios.doctor.recording import SpoolRecording
from scenarios.doctor.settings import DoctorSettings
from scenarios.generator.job import Job, RequestTemplate
from scenarios.runner.locust_process import LocustProcess
from scenarios.runner.preflight import open_http_client
from scenarios.runner.run_plan import ProgressListener, locust_running
from scenarios.runner.supervise import describe_cell, run_job, wait_until_ready
from scenarios.system.child_process import SupervisedProcess, supervised_process
from scenarios.system.cpu_witness import CpuWitness, cpu_seconds, descendant_processes
from scenarios.system.interrupt import StopRequest
from scenarios.system.machine import app_cores, cpu_count_env, pinned_cores
from scenarios.system.private_log import RunLog

_STARTUP_TIMEOUT = 120.0  # seconds for an app to start: some load a model first
# Seconds at most, seconds per sample, and the share of a core below which the app is idle
_IDLE_TIMEOUT, _IDLE_POLL_SECONDS, _IDLE_CPU_SHARE = 10.0, 0.2, 0.2
IDLE_WATCH_SECONDS = 2.2  # seconds for which the watchdog samples an app at rest
_LEVEL_SECONDS = 5.0  # seconds that a usual level takes at most
# of a disturbed level; of that of the idle neighbours, with which all others are compared
_MAX_REPEATS, _MAX_IDLE_REPEATS = 3, 9
# Levels that are not repeated for other work's sake after one whose every try it disturbed: that
# work goes on for long, or it is the app's own, like a database's
_ENDURED_LEVELS = 10
# Seconds beyond the budget after which something hangs: work begun in time may end later
_MAX_OVERTIME = 120.0
# Requests that no spool counts: alternatives, smoke test, warm-up of a fresh process; with a margin
SMOKE_TEST_REQUESTS = 2 * (MAX_ALTERNATIVES + 3 + 3)
_LOCUST_MARGIN = 300  # seconds after the end of all time that Locust ends even without its driver


class OverBudgetError(Exception):
    """No time is left to start the app again."""


class AppTestBed:
    """The test bed of a run. Mutable state: both processes, and what was seen of them."""

    def __init__(
        self,
        options: DoctorSettings,
        run: RunWriter,
        stop_request: StopRequest,
        listener: ProgressListener,
    ) -> None:
        self.options, self.app = options, options.app
        self.run, self.stop_request, self.listener = run, stop_request, listener
        self.secret = secrets.token_hex(6)
        self.locust_core, self.app_cores = pinned_cores()[1], app_cores()
        self.cpu_count_env = cpu_count_env()
        self.started_at = time.perf_counter()
        self.startup_seconds = 0.0
        self.can_become_idle = True
        self.unwatched_reason: str | None = None  # why the watchdog could not sample
        self.url = ""
        self.app_process: AppProcess | None = None
        self.locust: LocustProcess | None = None
        self.app_stack, self.locust_stack = contextlib.ExitStack(), contextlib.ExitStack()
        self.process_count, self.job_counts = 0, Counter[str]()
        self.others, self.endured_levels = retry.OtherLoad(self._own_cpu), 0

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Prepare the app and reserve its address; end with both processes and the agent gone."""
        self.app.inspect_interpreter(self.run.info.app)
        with controls.reserved_url(self.app) as self.url:
            try:
                self.app.install_agent(self.run.path)
                yield
                if self.locust and self.locust.process.poll() is None:
                    log = RunLog.from_here(self.run.path / "log.txt", self.app.redact)
                    run_job(None, self.locust, None, lambda *_: None, log, self.raise_if_stopped)
            finally:
                self.locust_stack.close()
                self.stop_app()
                self.app.remove_agent(self.run.path)

    @property
    def elapsed(self) -> float:
        """Seconds since the test bed was made."""
        return time.perf_counter() - self.started_at

    def fits_budget(self, seconds: float) -> bool:
        """Return whether that many more seconds fit the budget."""
        return self.elapsed + seconds <= self.options.budget

    def raise_if_stopped(self) -> None:
        """Raise AtonceError when the user stops the run, or when the budget is long over."""
        self.stop_request.raise_if_requested()
        if not self.fits_budget(-_MAX_OVERTIME):
            raise AtonceError(
                f"The budget of {self.options.budget:.0f} s is over by {_MAX_OVERTIME:.0f} s:"
                " something hangs. The run keeps what was measured. For the cause see"
                f" {self.run.path / 'log.txt'}",
                ExitCode.UNTRUSTED,
            )

    def start_locust(self) -> LocustProcess:
        """Return the Locust that waits for jobs, with as many users as may be needed."""
        if not self.locust or self.locust.process.poll() is not None:
            self.locust_stack.close()
            seconds = int(self.options.budget + _MAX_OVERTIME + _LOCUST_MARGIN)
            running = locust_running(self.run.path, self.url, MANY_USERS, seconds, self.locust_core)
            self.locust = LocustProcess(self.locust_stack.enter_context(running))
        return self.locust

    def use_app(self, *, at_rest: bool = True) -> AppProcess:
        """Return a process of the app that can be loaded, a fresh one if it must be.

        Raises OverBudgetError where no time is left to start one.
        """
        process = self.app_process
        if process and process.is_alive:
            if not at_rest:
                return process
            self.report_step("waiting for the app to rest")
            is_at_rest = process.wait_for_rest(self.raise_if_stopped, self.startup_seconds)
            if is_at_rest or not process.child:  # one that is not ours is left alone
                return process
        if process and process.child and not process.is_alive:
            code = process.child.returncode
            self.add_note(f"The app ended by itself (exit code {code}) and was started again.")
        self.stop_app()
        if self.process_count and not self.fits_budget(self.startup_seconds):
            raise OverBudgetError
        return self._start_app()

    def _start_app(self) -> AppProcess:
        """Start the app, ready to answer; a URL runs already."""
        self.process_count += 1
        name = f"app-{self.process_count}"
        client = self.app_stack.enter_context(open_http_client(self.url, self.app.trust, 30.0))
        has_agent, our_path = self.app.launch_mode == "module", f"/_atonce-{self.secret}"
        ping_path = f"{our_path}/async" if has_agent else our_path
        child = None if self.app.launch_mode == "url" else self._launch(name, ping_path)
        given = [] if has_agent else controls.server_processes(self.url)
        witness = CpuWitness(self.run.path, name, given)
        self.app_stack.callback(witness.close)
        paths = ping_path, f"{our_path}/rest"
        self.app_process = AppProcess(witness, given, client, paths, child)
        self.run.info.sessions.append(name)
        return self.app_process

    def _launch(self, name: str, ready_path: str) -> SupervisedProcess:
        controls.wait_for_free_port(self.app)
        log = RunLog.from_here(self.run.path / "log.txt")
        timeout = min(_STARTUP_TIMEOUT, self.options.budget)
        is_first = self.process_count == 1
        self.report_step("starting the app" if is_first else "starting the app again")
        env = self.cpu_count_env | self.app.launch_environment(
            name, self.run.path, self.secret, is_first=is_first
        )
        started = time.perf_counter()
        child = self.app_stack.enter_context(
            supervised_process(
                self.app.launch_command(self.url),
                folder=self.run.path,
                env=env,
                core=self.app_cores,
                cwd=Path.cwd(),
                secrets=self.app.secrets,
                stop_within=self.options.stop_within,
            )
        )
        try:
            wait_until_ready(
                child, self.url, ready_path, log, self.raise_if_stopped, timeout, self.app.trust
            )
        except AtonceError as error:
            if error.code is not ExitCode.TARGET:
                raise
            raise self.app.startup_error(name, self.run.path, child.poll()) from None
        self.wait_until_idle(child)
        self.startup_seconds = max(self.startup_seconds, time.perf_counter() - started)
        return child

    def stop_app(self, stop_within: float | None = None) -> None:
        """Stop the app; the next use starts a fresh process."""
        child, self.app_process = self.app_process and self.app_process.child, None
        if child and stop_within is not None:
            child.stop(stop_within)
        self.app_stack.close()
        if child and child.was_killed:
            seconds = f"{self.options.stop_within:g} s"
            why = f"The app, or a process of it, still ran {seconds} after SIGTERM and was killed."
            self.add_note(f"{why} --stop-within gives it more time.")

    def wait_until_idle(self, app_process: SupervisedProcess) -> None:
        """Wait for work after the start, like filling a cache; once if the app never idles."""
        processes = descendant_processes(app_process.pid)
        if self.locust:  # which starts at the same time
            processes += descendant_processes(self.locust.process.pid)
        deadline = time.perf_counter() + min(_IDLE_TIMEOUT, 0.1 * self.options.budget)
        while self.can_become_idle:
            self.raise_if_stopped()
            before = sum(map(cpu_seconds, processes))
            time.sleep(_IDLE_POLL_SECONDS)
            used = sum(map(cpu_seconds, processes)) - before
            if used <= _IDLE_CPU_SHARE * _IDLE_POLL_SECONDS:
                return
            self.can_become_idle = time.perf_counter() < deadline

    def watch_idle_app(self) -> None:
        """Let the watchdog sample the app without load, after the neighbours."""
        self.report_step("the loop at rest")
        with self.use_app().watched(self.raise_if_stopped) as self.unwatched_reason:
            if self.unwatched_reason:
                self._note_unwatched()
                return
            begun = time.perf_counter() - self.run.info.origin
            self.run.info.idle_span = begun, begun + IDLE_WATCH_SECONDS
            while time.perf_counter() - self.run.info.origin < begun + IDLE_WATCH_SECONDS:
                self.stop_request.raise_if_requested()
                time.sleep(0.1)

    def _note_unwatched(self) -> None:
        self.add_note(f"The watchdog could not sample the event loop: {self.unwatched_reason}.")

    def count_remaining(self, session: str, request: RouteRequest) -> int:
        """Return the requests that a route may still get: all attempts share one limit."""
        attempts = (self.run.path, *self.run.path.glob(f"aside/{session}/*"))
        own = chain.from_iterable(it.glob(f"samples/{session}-*.jsonl") for it in attempts)
        lines = chain.from_iterable(read_spool(path, decode_request_line) for path in own)
        sent = sum(isinstance(line, Sent) and line.route == request.route for line in lines)
        return max(0, self.options.requests - SMOKE_TEST_REQUESTS - sent)

    def note_request_limit(self, sentence: str, session: str, request: RouteRequest) -> None:
        """Note what did not run for lack of requests."""
        remaining = self.count_remaining(session, request)
        self.run.info.plan.notes.append(
            f"{sentence}: {remaining:,} of its {self.options.requests:,} requests were left;"
            " --requests allows more."
        )

    def _create_job(
        self, session: str, cells: tuple[Cell, ...], process: str, request: RouteRequest | None
    ) -> Job:
        """Return a job of cells for Locust, with its request template; extend the run's plan."""
        templates: dict[str, RequestTemplate] = {}
        if request:
            templates[request.route] = create_template(request, self.options.selection.headers)
            wanted = cells
            cells = share_requests(wanted, self.count_remaining(session, request))
            for cell in wanted[len(cells) :]:
                self.note_request_limit(f"{cell.name} was not measured", session, request)
        cells = tuple(replace(cell, on=process) for cell in cells)
        self.run.extend_plan(cells)
        self.job_counts[session] += 1
        worker = f"{session}-{self.job_counts[session]}"
        folder, seed, trust = self.run.path, self.options.seed, self.app.trust
        return Job(folder, worker, seed, cells, letters=templates, trust=trust, users=MANY_USERS)

    def run_level(
        self, session: str, cells: tuple[Cell, ...], request: RouteRequest | None = None
    ) -> None:
        """Run the cells of one level; again where it was disturbed, if there is time for it.

        What cannot be watched, though it should be, is not run.
        """
        label, reasons = request.route if request else "The idle neighbours", set[str]()
        most = _MAX_REPEATS if request else _MAX_IDLE_REPEATS
        for repeat in range(1 + most):
            left = self.count_remaining(session, request) if request else 0
            job = self._run_job(session, cells, request)
            self.endured_levels = max(0, self.endured_levels - 1)
            if not job:
                return
            why = retry.find_interference(SpoolRecording(self.run, session), job.cells)
            if not why or (why == retry.OTHERS_REASON and self.endured_levels):
                return
            reasons.add(why)
            if repeat >= _MAX_REPEATS and reasons == {retry.OTHERS_REASON}:
                self.endured_levels = _ENDURED_LEVELS
                return
            if repeat == most or not self.fits_budget(sum(map(level_duration, job.cells))):
                return
            if request and self.count_remaining(session, request) < left / 2:
                sentence = f"{label} was not measured again, though {why}"
                self.note_request_limit(sentence, session, request)
                return
            retry.archive_level(self.run, session, job, label, why)

    def _run_job(
        self, session: str, cells: tuple[Cell, ...], request: RouteRequest | None
    ) -> Job | None:
        """Run a level once, on a process that is at rest if it is watched.

        Return its job, if what it measured may have been disturbed.
        """
        is_watched, before = any(cell.watched for cell in cells), self.process_count
        process, check = self.use_app(at_rest=is_watched), self.raise_if_stopped
        if request and self.process_count != before:  # the levels before have warmed up another
            run_smoke_test(process.client, request, self.options.selection.headers)
        log = RunLog.from_here(self.run.path / "log.txt", self.app.redact)
        locust, steps = self.start_locust(), {cell.name: describe_cell(cell) for cell in cells}

        def sample_and_report(cell: str, _: float) -> None:
            process.witness.sample()
            self.report_step(steps.get(cell, cell))

        watching = process.watched(check) if is_watched else contextlib.nullcontext()
        is_profiled = any(cell.profiled for cell in cells)
        profiling = process.profiled() if is_profiled else contextlib.nullcontext()
        with profiling, watching as self.unwatched_reason:
            if self.unwatched_reason:
                self._note_unwatched()
                return None
            if not self.endured_levels and self.fits_budget(retry.QUIET_TIMEOUT + _LEVEL_SECONDS):
                self.others.wait_for_quiet(check)
            job = self._create_job(session, cells, process.name, request)
            if not job.cells:
                return None
            run_job(process.child, locust, job, sample_and_report, log, check)
        recording = SpoolRecording(self.run, session)
        if not any("silent" in recording.marks(cell) for cell in job.cells):
            return job
        if process.child:
            self.stop_app(stop_within=0.0)  # it would not come back to rest
        return None

    def _own_cpu(self) -> float:
        """Return the CPU seconds so far of this process, the app and Locust."""
        app = self.app_process.cpu_seconds() if self.app_process else 0.0
        locust = descendant_processes(self.locust.process.pid) if self.locust else ()
        return time.process_time() + app + sum(map(cpu_seconds, locust))

    def report_step(self, step: str) -> None:
        """Report the current step to the listener."""
        self.listener.on_progress(step, self.elapsed)

    def add_note(self, note: str) -> None:
        """Add a note to the plan, once."""
        notes = self.run.info.plan.notes
        if note not in notes:
            notes.append(note)


def share_requests(cells: Iterable[Cell], remaining: int) -> tuple[Cell, ...]:
    """Limit each cell to the requests left; drop cells for which none is left."""
    shared: list[Cell] = []
    for cell in cells:
        max_requests = min(cell.most if cell.most > 0 else remaining, remaining)
        remaining -= max_requests
        if max_requests:
            shared.append(replace(cell, most=max_requests))
    return tuple(shared)
