"""The test bed: the app and Locust side by side, each in its process, and the jobs of Locust."""

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import httpx
import psutil

from results.errors import AtonceError, ExitCode
from results.records import Sent, decode_request_line
from results.schema import Cell
from results.spool import read_spool
from results.store import RunWriter
from results.thresholds import MANY_USERS
from scenarios.doctor import controls
from scenarios.doctor.app import read_agent_file, watch_file
from scenarios.doctor.openapi.request_builder import MAX_ALTERNATIVES
from scenarios.doctor.openapi.route_request import RouteRequest, create_template
from scenarios.doctor.progress import DoctorProgressListener
from scenarios.doctor.retry import is_part_of_session
from scenarios.doctor.settings import DoctorSettings
from scenarios.generator.job import Job, RequestTemplate
from scenarios.runner.preflight import open_http_client
from scenarios.runner.run_plan import RunningProcess, locust_running
from scenarios.runner.supervise import supervise_locust, wait_until_ready
from scenarios.system.child_process import SupervisedProcess, supervised_process
from scenarios.system.interrupt import StopRequest
from scenarios.system.machine import app_cores, cpu_count_env, pinned_cores
from scenarios.system.private_log import RunLog

_STARTUP_TIMEOUT = 120.0  # seconds for an app to start: some load a model first
# Seconds at most, seconds per sample, and the share of a core below which the app is idle
_IDLE_TIMEOUT, _IDLE_POLL_SECONDS, _IDLE_CPU_SHARE = 10.0, 0.2, 0.2
# Seconds until the watchdog samples, and for how long it samples an app at rest
WATCHDOG_DELAY, IDLE_WATCH_SECONDS = (0.3, 2.2)
LOCUST_START_SECONDS = 2.0  # seconds that Locust takes to start
# Seconds beyond the budget after which something hangs: work begun in time may end later
_MAX_OVERTIME = 120.0
MIN_ROUTE_REQUESTS = 1000  # requests that an examination takes: the minimum of --requests
# Requests that no spool counts: alternatives, smoke test, smoke test with watchdog; all twice
SMOKE_TEST_REQUESTS = 2 * (MAX_ALTERNATIVES + 3 + 3)
_LOCUST_LIFETIME = 900  # seconds after which Locust ends by itself, even without its driver


class AppTestBed:
    """The test bed of a run. Mutable state: longest start, can the app idle, why unwatched."""

    def __init__(
        self,
        options: DoctorSettings,
        run: RunWriter,
        stop_request: StopRequest,
        listener: DoctorProgressListener,
    ) -> None:
        self.options, self.app = options, options.app
        self.run, self.stop_request, self.listener = run, stop_request, listener
        self.secret = secrets.token_hex(6)
        self.cores = pinned_cores()
        self.app_cores = app_cores()
        self.cpu_count_env = cpu_count_env()
        self.started_at = time.perf_counter()
        self.startup_seconds = 0.0
        self.can_become_idle = True
        self.unwatched_reason = ""  # why the watchdog could not sample

    def fits_budget(self, seconds: float) -> bool:
        """Return whether that many more seconds fit the budget."""
        return time.perf_counter() - self.started_at + seconds <= self.options.budget

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

    @contextlib.contextmanager
    def app_running(
        self, session: str, *, with_watchdog: bool
    ) -> Iterator[tuple[SupervisedProcess | None, str]]:
        """Run the app, ready to answer; a URL runs already."""
        url, port = controls.resolve_address(self.app)
        if self.app.launch_mode == "url":
            yield None, url
            return
        env = self.cpu_count_env | self.app.launch_environment(
            session, self.run.path, self.secret, is_first=session == "idle"
        )
        if with_watchdog and session != "idle":
            watch_file(self.run.path, session).touch()
        log = RunLog.from_here(self.run.path / "log.txt")
        path = controls.readiness_path(self.app, self.secret)
        timeout = min(_STARTUP_TIMEOUT, self.options.budget)
        self.report_step(f"starting the app for {session}")
        started = time.perf_counter()
        with supervised_process(
            self.app.launch_command(port),
            folder=self.run.path,
            env=env,
            core=self.app_cores,
            cwd=Path.cwd(),
            secrets=self.app.secrets,
            stop_within=self.options.stop_within,
        ) as app_process:
            try:
                wait_until_ready(
                    app_process, url, path, log, self.raise_if_stopped, timeout, self.app.trust
                )
            except AtonceError as error:
                if error.code is not ExitCode.TARGET:
                    raise
                raise self.app.startup_error(session, self.run.path, app_process.poll()) from None
            self.wait_until_idle(app_process)
            self.startup_seconds = max(self.startup_seconds, time.perf_counter() - started)
            yield app_process, url
        if app_process.was_killed:
            seconds = f"{self.options.stop_within:g} s"
            why = f"The app, or a process of it, still ran {seconds} after SIGTERM and was killed."
            _add_note(self.run, f"{why} --stop-within gives it more time.")

    def wait_until_idle(self, app_process: subprocess.Popen[str]) -> None:
        """Wait for work after the start, like filling a cache; once if the app never idles."""
        processes = [head := psutil.Process(app_process.pid), *controls.descendant_processes(head)]
        deadline = time.perf_counter() + min(_IDLE_TIMEOUT, 0.1 * self.options.budget)
        while self.can_become_idle:
            self.raise_if_stopped()
            before = sum(map(controls.cpu_seconds, processes))
            time.sleep(_IDLE_POLL_SECONDS)
            if (
                sum(map(controls.cpu_seconds, processes)) - before
                <= _IDLE_CPU_SHARE * _IDLE_POLL_SECONDS
            ):
                return
            self.can_become_idle = time.perf_counter() < deadline

    def watch_idle_app(self) -> None:
        """Let the watchdog sample the app without load, after the neighbours."""
        if failure := read_agent_file(self.run.path / "guest" / "unwatched-idle.json"):
            self.unwatched_reason = failure["why"]
            _add_note(self.run, f"The watchdog could not sample the event loop: {failure['why']}.")
            return
        self.report_step("the loop at rest")
        watch_file(self.run.path, "idle").touch()
        begun = time.perf_counter() - self.run.info.origin + WATCHDOG_DELAY
        self.run.info.idle_span = begun, begun + IDLE_WATCH_SECONDS
        while time.perf_counter() - self.run.info.origin < begun + IDLE_WATCH_SECONDS:
            self.stop_request.raise_if_requested()
            time.sleep(0.1)

    def locust_running(self, url: str) -> RunningProcess:
        """Run a Locust that waits for its jobs, with as many users as may be needed."""
        return locust_running(self.run.path, url, MANY_USERS, _LOCUST_LIFETIME, self.cores[1])

    def open_client(self, url: str) -> httpx.Client:
        """Return an HTTP client for the smoke test and other single requests."""
        return open_http_client(url, self.app.trust, 30.0)

    def count_remaining(self, session: str, request: RouteRequest) -> int:
        """Return the requests that a route may still get: all attempts share one limit."""
        attempts = (self.run.path, *self.run.path.glob(f"aside/{session}-*"))
        paths = chain.from_iterable(folder.glob("samples/*.jsonl") for folder in attempts)
        own = (path for path in paths if is_part_of_session(session, path.stem))
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
        self, session: str, cells: tuple[Cell, ...], request: RouteRequest | None
    ) -> Job:
        """Return a job of cells for Locust, with its request template; extend the run's plan."""
        templates: dict[str, RequestTemplate] = {}
        if request:
            templates[request.route] = create_template(request, self.options.selection.headers)
            wanted, base_session = cells, session.removesuffix("-watch")
            cells = share_requests(wanted, self.count_remaining(base_session, request))
            for cell in wanted[len(cells) :]:
                self.note_request_limit(f"{cell.name} was not measured", base_session, request)
        self.run.extend_plan(cells)
        if session not in self.run.info.sessions:
            self.run.info.sessions.append(session)
        return Job(
            self.run.path,
            session,
            self.options.seed,
            cells,
            letters=templates,
            trust=self.app.trust,
            users=MANY_USERS,
        )

    def run_levels(  # noqa: PLR0913, PLR0917 - the app, its load generator, and the load
        self,
        app_process: subprocess.Popen[str] | None,
        locust: subprocess.Popen[str],
        url: str,
        session: str,
        levels: Iterable[tuple[Cell, ...]],
        request: RouteRequest | None = None,
    ) -> None:
        """Run levels one after another; the next is chosen when the last has been measured."""
        record_sample = controls.create_cpu_meter(self.app, self.run.path, session, url)

        def check_and_sample() -> None:
            self.raise_if_stopped()
            record_sample()

        log = RunLog.from_here(self.run.path / "log.txt", self.app.redact)
        jobs = (self._create_job(session, cells, request) for cells in levels)
        supervise_locust(
            app_process, locust, jobs, lambda cell, _: self.report_step(cell), log, check_and_sample
        )

    def report_step(self, step: str) -> None:
        """Report the current step to the listener."""
        self.listener.on_progress(step, time.perf_counter() - self.started_at)


def share_requests(cells: Iterable[Cell], remaining: int) -> tuple[Cell, ...]:
    """Limit each cell to the requests left; drop cells for which none is left."""
    shared: list[Cell] = []
    for cell in cells:
        max_requests = min(cell.most if cell.most > 0 else remaining, remaining)
        remaining -= max_requests
        if max_requests:
            shared.append(replace(cell, most=max_requests))
    return tuple(shared)


def _add_note(run: RunWriter, note: str) -> None:
    notes = run.info.plan.notes
    if note not in notes:
        notes.append(note)
