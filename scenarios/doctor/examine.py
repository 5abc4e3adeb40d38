"""Examines the routes of an app one after another, each in a fresh process; always leaves a run.

The first start shows the routes and the latency of the neighbours at rest. Then each route gets a
smoke test, one user, a few users, and many only if the few allow no verdict. If the loop is
blocked, a second process with the watchdog shows by what.
"""

import contextlib
import time
from dataclasses import replace
from functools import partial

import httpx

from results.errors import AtonceError, ExitCode
from results.gate_expression import unmatched_gate_error
from results.records import TABLES
from results.run_info import RouteRecord
from results.schema import Cell
from results.store import RunWriter
from scenarios.doctor.adaptive_plan import AdaptivePlan
from scenarios.doctor.controls import count_workers, find_neighbours, readiness_path
from scenarios.doctor.interim import read_interim_stats
from scenarios.doctor.levels import LevelPlanner, idle_neighbours_cell, level_duration
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.smoke_test import find_accepted_request, run_smoke_test
from scenarios.doctor.progress import DoctorProgressListener, NoProgress
from scenarios.doctor.retry import archive_attempt, session_interference
from scenarios.doctor.route_discovery import read_routes, save_smoke_result
from scenarios.doctor.settings import (
    ROUTE_SECONDS,
    DoctorSettings,
    doctor_run_info,
    find_over_budget,
    loadable_requests,
    route_record,
    warn_too_few_requests,
)
from scenarios.doctor.testbed import LOCUST_START_SECONDS, MIN_ROUTE_REQUESTS, AppTestBed
from scenarios.runner.preflight import fetch_response
from scenarios.runner.recorded_run import recorded_run
from scenarios.runner.run_plan import pin_to_core
from scenarios.system.interrupt import handle_stop_signals
from scenarios.system.private_log import RunLog

MIN_ROUTE_SECONDS = 10.0  # seconds below which no route can be examined
_BLACK_BOX_IDLE_TIMEOUT = 30.0  # seconds
_IDLE_TRIES = 3  # for the neighbours at rest, the baseline of every verdict


def examine_app(settings: DoctorSettings, run: RunWriter, listener: DoctorProgressListener) -> None:
    """Examine every route. The run is always closed; errors are raised after that."""
    with recorded_run(run, partial(doctor_run_info, settings)) as stop_request:
        try:
            # It reads the available cores, so it must come before pinning to one
            testbed = AppTestBed(settings, run, stop_request, listener)
            with pin_to_core(testbed.cores[1]):
                Examination(testbed).execute()
        finally:
            settings.app.remove_agent(run.path)


def discover_routes(settings: DoctorSettings, run: RunWriter) -> list[RouteRequest]:
    """Return the routes only: the app is started once, if we start it, and nothing is loaded."""
    run.describe(doctor_run_info(settings))
    with handle_stop_signals() as stop_request:
        testbed = AppTestBed(settings, run, stop_request, NoProgress())
        Examination(testbed).install_agent()
        with (
            testbed.app_running("idle", with_watchdog=False) as (_, url),
            testbed.open_client(url) as client,
        ):
            return read_routes(testbed, client, is_outline=True)


class Examination:
    """One examination. Mutable state: the idle baseline, the seconds per route, the first crash."""

    def __init__(self, testbed: AppTestBed) -> None:
        self.testbed, self.settings = testbed, testbed.options
        self.run, self.app = testbed.run, testbed.app
        self.idle_p90: dict[str, float] = {}
        self._route_seconds = ROUTE_SECONDS  # the first guess
        self._crash: AtonceError | None = None

    def execute(self) -> None:
        """Measure the app at rest, then its routes."""
        self.install_agent()
        route_requests = self.measure_idle()
        records = list(map(route_record, route_requests))
        self.run.info.routes = records
        self.run.write_info()
        ordered = loadable_requests(self.settings, route_requests)
        records_by_route = {record.route: record for record in records}
        loadable = [(request, records_by_route[request.route]) for request in ordered]
        for warning in warn_too_few_requests(self.settings):
            self._add_note(warning)
        skip_reasons = {request.route: request.skipped for request in route_requests}
        if error := unmatched_gate_error(self.settings.gates, skip_reasons):
            raise error
        if not loadable:
            raise self._no_route_error(records[0])
        first_seconds = ROUTE_SECONDS + self.testbed.startup_seconds
        _, sentence = find_over_budget(self.settings, ordered, self._elapsed, first_seconds)
        if sentence:
            self._add_note(sentence)
        try:
            self.examine_routes(loadable)
        finally:
            for _, record in loadable:
                if not record.session and not record.unmeasured:
                    record.unmeasured = "it was not reached"
        if all(record.skipped for record in records):
            raise self._no_route_error(loadable[0][1])

    @property
    def _elapsed(self) -> float:
        return time.perf_counter() - self.testbed.started_at

    def _add_note(self, sentence: str) -> None:
        self.run.info.plan.notes.append(sentence)
        self.testbed.report_step(sentence)

    def _no_route_error(self, record: RouteRecord) -> AtonceError:
        why = f"{record.route}: {record.skipped}"
        return AtonceError(f"No route of {self.app.target} can be loaded: {why}.", ExitCode.TARGET)

    def examine_routes(self, loadable: list[tuple[RouteRequest, RouteRecord]]) -> None:
        """Examine all routes within the budget, repeat disturbed routes, then raise any crash."""
        for number, (request, record) in enumerate(loadable):
            remaining = (len(loadable) - number) * self._route_seconds
            self.testbed.listener.set_total(min(self.settings.budget, self._elapsed + remaining))
            if self.testbed.fits_budget(MIN_ROUTE_SECONDS):
                record.session = f"route-{number + 1:02}"
                self._examine_or_record_crash(request, record)
            else:
                record.unmeasured = self._over_budget_reason
        for request, record in loadable:
            session = record.session
            why = None if record.unmeasured else session_interference(self.run, session)
            if not why or not self.testbed.fits_budget(self._route_seconds):
                continue
            if self.testbed.count_remaining(session, request) < MIN_ROUTE_REQUESTS:
                sentence = f"{request.route} was not examined again, though {why}"
                self.testbed.note_request_limit(sentence, session, request)
                continue
            sentence = f"{request.route} was examined again, because {why}"
            archive_attempt(self.run, session, sentence, (*TABLES, "holds"))
            self._examine_or_record_crash(request, record)
        if self._crash:
            raise self._crash

    @property
    def _over_budget_reason(self) -> str:
        return f"it did not fit the budget of {self.settings.budget:.0f} s; --budget sets another"

    def _examine_or_record_crash(self, request: RouteRequest, record: RouteRecord) -> None:
        """Examine a route. If our app crashes, keep the error: the next route restarts it."""
        started = time.perf_counter()
        try:
            self.examine_route(request, record.session, record)
        except AtonceError as error:
            if error.code is not ExitCode.TARGET or self.app.launch_mode == "url":
                raise
            record.unmeasured = error.sentence.partition(". ")[0]
            self.run.add_warning(error.sentence)
            self._crash = self._crash or error
        seconds = time.perf_counter() - started
        self._route_seconds = max(8.0, 0.5 * self._route_seconds + 0.5 * seconds)

    def install_agent(self) -> None:
        """Inspect the app's interpreter and install the agent."""
        self.app.inspect_interpreter(self.run.info.app)
        self.app.install_agent(self.run.path)

    def measure_idle(self) -> list[RouteRequest]:
        """Start the app once: read its routes, measure its neighbours without other load."""
        with self.testbed.app_running("idle", with_watchdog=True) as (app_process, url):
            with self.testbed.open_client(url) as client:
                route_requests = read_routes(self.testbed, client)
                neighbours, ping_cost = find_neighbours(self.app, self.testbed.secret, client)
            if self.app.launch_mode != "module":
                self.run.info.workers = count_workers(url) or 1
            if not neighbours:
                self.run.info.plan.notes.append(
                    "No neighbour route was found: the effect on other routes is not measured."
                )
                return route_requests
            rate = min(40.0, 0.05 / ping_cost) if ping_cost else 80.0
            cell = idle_neighbours_cell(neighbours, rate)
            for tries_left in reversed(range(_IDLE_TRIES)):
                with self.testbed.locust_running(url) as locust:
                    self.testbed.run_levels(app_process, locust, url, "idle", [(cell,)])
                why = session_interference(self.run, "idle")
                seconds = LOCUST_START_SECONDS + level_duration(cell)
                if not (why and tries_left and self.testbed.fits_budget(seconds)):
                    break
                sentence = f"The idle neighbours were measured again, because {why}"
                archive_attempt(self.run, "idle", sentence, ("samples", "load"))
            if self.app.launch_mode == "module":
                self.testbed.watch_idle_app()
        if idle_stats := read_interim_stats(self.run.path, "idle", cell):
            p90s = {kind: idle_stats.neighbour_p90(kind) for kind in ("async", "def")}
            self.idle_p90 = {kind: p90 for kind, p90 in p90s.items() if p90 is not None}
        return route_requests

    def examine_route(self, request: RouteRequest, session: str, record: RouteRecord) -> None:
        """Examine one route: smoke test, load, and the watchdog if the loop seems blocked."""
        hold_time = None
        with (
            self.testbed.app_running(session, with_watchdog=False) as (app_process, url),
            self.testbed.locust_running(url) as locust,
        ):
            with self.testbed.open_client(url) as client:
                self._wait_until_idle(client)
                if app_process:
                    app_process.flush_log()
                log = RunLog.from_here(self.run.path / "log.txt")  # without the start-up lines
                headers = self.settings.selection.headers
                request, result = find_accepted_request(client, request, headers)
                record.path = request.path
                self.testbed.stop_request.raise_if_requested()
                neighbours, ping_cost = find_neighbours(self.app, self.testbed.secret, client)
            if app_process:
                app_process.flush_log()  # so that Python's warnings are in the log
            save_smoke_result(self.run, record, result, log)
            planner = LevelPlanner(
                session=session,
                route=request.route,
                path=request.path,
                service_time=min(result.seconds[1:] or result.seconds),
                neighbours=neighbours,
                ping_cost=ping_cost,
                requests=self.testbed.count_remaining(session, request),
                answer_bytes=result.answer_bytes,
            )
            cells = planner.single_user_cell(), planner.few_users_cell()
            is_loadable = not (record.skipped or record.fault)
            seconds = LOCUST_START_SECONDS
            if is_loadable and self._fits(record, planner, *cells, extra_seconds=seconds):
                plan = AdaptivePlan(
                    self.run.path,
                    planner,
                    self.idle_p90,
                    self.settings.gates,
                    lambda cell, is_needed: self._fits(record, planner, cell, is_needed=is_needed),
                )
                self.testbed.run_levels(app_process, locust, url, session, plan.levels(), request)
                hold_time = plan.hold_time
        if result.status == httpx.codes.INTERNAL_SERVER_ERROR:
            # Python warns of a missing await late, when the coroutine is collected
            save_smoke_result(self.run, record, result, log)
        if hold_time is None:
            return
        if self.testbed.unwatched_reason:
            record.unwatched = self.testbed.unwatched_reason
        elif self.app.launch_mode == "module":
            cell = planner.watchdog_cell(hold_time)
            seconds = self.testbed.startup_seconds + LOCUST_START_SECONDS
            if self._fits(record, planner, cell, extra_seconds=seconds):
                self._run_with_watchdog(request, f"{session}-watch", planner, hold_time)

    def _fits(
        self,
        record: RouteRecord,
        planner: LevelPlanner,
        *cells: Cell,
        extra_seconds: float = 0.0,
        is_needed: bool = True,
    ) -> bool:
        """Return whether cells fit all limits; keep the reason if they do not but are needed."""
        why = planner.why_too_large(*cells)
        if not why and self.testbed.fits_budget(sum(map(level_duration, cells), extra_seconds)):
            why = planner.why_too_few_requests(*cells)
        elif not why:
            why = self._over_budget_reason
        if is_needed:
            record.unmeasured = why or record.unmeasured
        return not why

    def _wait_until_idle(self, client: httpx.Client) -> None:
        """Wait until a black box answers as at rest: it may still work on abandoned requests."""
        if self.app.launch_mode != "url" or "async" not in self.idle_p90:
            return
        deadline = time.perf_counter() + _BLACK_BOX_IDLE_TIMEOUT
        while (started := time.perf_counter()) < deadline:
            self.testbed.stop_request.raise_if_requested()
            with contextlib.suppress(httpx.HTTPError):
                fetch_response(client, "GET", readiness_path(self.app, self.testbed.secret))
                if time.perf_counter() - started <= max(0.05, 5 * self.idle_p90["async"]):
                    return

    def _run_with_watchdog(
        self, request: RouteRequest, session: str, planner: LevelPlanner, hold_time: float
    ) -> None:
        """Load a fresh, warmed-up process with the watchdog inside, by a few users."""
        cell = replace(planner, session=session).watchdog_cell(hold_time)
        with (
            self.testbed.app_running(session, with_watchdog=True) as (app_process, url),
            self.testbed.locust_running(url) as locust,
        ):
            with self.testbed.open_client(url) as client:
                run_smoke_test(client, request, self.settings.selection.headers)
            self.testbed.run_levels(app_process, locust, url, session, [(cell,)], request)
