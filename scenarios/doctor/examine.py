"""Examines the routes of an app one after another, each in a fresh process; always leaves a run.

First the app is started once to learn its routes and the latency of its neighbours at rest. Then
each route gets a smoke test, one user, a few users, and many only if the few leave it open. If the
loop is blocked, a second process with the watchdog shows by what. Only the next request is decided
here, no verdict.
"""

import contextlib
import time
from dataclasses import replace
from typing import Any

import httpx

from results.errors import AtonceError, ExitCode
from results.gate_expression import unmatched_gate_error
from results.records import TABLES
from results.schema import Cell, Neighbour, Status
from results.store import RunWriter
from scenarios.doctor.adaptive_plan import adaptive_levels
from scenarios.doctor.controls import find_neighbours, readiness_path
from scenarios.doctor.interim import read_interim_stats
from scenarios.doctor.levels import LevelPlanner, idle_neighbours_cell, level_duration
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.smoke_test import SmokeResult, find_accepted_request, run_smoke_test
from scenarios.doctor.options import (
    ROUTE_SECONDS,
    DoctorOptions,
    DoctorProgressListener,
    NoProgress,
    doctor_run_metadata,
    find_over_budget,
    loadable_requests,
    route_record,
    warn_too_few_requests,
)
from scenarios.doctor.request_allowance import MIN_ROUTE_REQUESTS
from scenarios.doctor.retry import archive_attempt, session_interference
from scenarios.doctor.route_discovery import read_routes, save_smoke_result
from scenarios.doctor.server_processes import count_workers
from scenarios.doctor.testbed import LOCUST_START_SECONDS, AppTestBed
from scenarios.runner.preflight import fetch_response
from scenarios.runner.run_plan import close_run, disk_error, pin_to_core
from scenarios.system.interrupt import handle_stop_signals
from scenarios.system.private_log import RunLog

MIN_ROUTE_SECONDS = 10.0  # seconds below which no route can be examined
_BLACK_BOX_IDLE_TIMEOUT = 30.0  # seconds
_IDLE_TRIES = 3  # for the neighbours at rest, the baseline of every verdict


def examine_app(options: DoctorOptions, run: RunWriter, listener: DoctorProgressListener) -> None:
    """Examine every route. The run is always closed; errors are raised after that."""
    status = Status.FAILED
    with handle_stop_signals() as stop_request:
        try:
            run.open(**doctor_run_metadata(options))
            # It reads the available cores, so it must come before pinning to one
            testbed = AppTestBed(options, run, stop_request, listener)
            with pin_to_core(testbed.cores[1]):
                Examination(testbed).execute()
            status = Status.COMPLETE
        except AtonceError as trouble:
            status = Status.INTERRUPTED if trouble.code is ExitCode.INTERRUPTED else Status.FAILED
            run.add_warning(trouble.sentence)
            raise
        except OSError as error:
            raise disk_error(run, error) from error
        finally:
            options.app.remove_agent(run.path)
            close_run(run, status)


def discover_routes(options: DoctorOptions, run: RunWriter) -> list[RouteRequest]:
    """Only the routes: the app is started once, if we start it, and nothing is loaded."""
    run.metadata.update(doctor_run_metadata(options))
    with handle_stop_signals() as stop_request:
        testbed = AppTestBed(options, run, stop_request, NoProgress())
        examination = Examination(testbed)
        examination.install_agent()
        with (
            testbed.app_running("idle", with_watchdog=False) as (_, url),
            testbed.open_client(url) as client,
        ):
            return read_routes(examination.testbed, client)


class Examination:
    """One examination. Mutable state: the idle baseline, and the estimated seconds per route."""

    def __init__(self, testbed: AppTestBed) -> None:
        self.testbed, self.options, self.run, self.app = (
            testbed,
            testbed.options,
            testbed.run,
            testbed.app,
        )
        self.idle_p90: dict[str, float] = {}
        self.route_seconds = ROUTE_SECONDS  # the first guess

    def execute(self) -> None:
        """Measure the app at rest, then its routes."""
        self.install_agent()
        route_requests = self.measure_idle()
        records = [route_record(request) for request in route_requests]
        self.run.metadata["routes"] = records
        self.run.write_metadata()
        ordered = loadable_requests(self.options, route_requests)
        records_by_route = {
            request.route: record for request, record in zip(route_requests, records, strict=True)
        }
        loadable = [(request, records_by_route[request.route]) for request in ordered]
        for warning in warn_too_few_requests(self.options):
            self.run.metadata["plan"]["notes"].append(warning)
            self.testbed.report_step(warning)
        if trouble := unmatched_gate_error(
            self.options.gates, {request.route: request.skipped for request in route_requests}
        ):
            raise trouble
        if not loadable:
            raise AtonceError(
                f"No route of {self.app.target} can be loaded: {route_requests[0].route}:"
                f" {route_requests[0].skipped}.",
                ExitCode.TARGET,
            )
        _, sentence = find_over_budget(
            self.options,
            ordered,
            time.perf_counter() - self.testbed.started_at,
            ROUTE_SECONDS + self.testbed.startup_seconds,
        )
        if sentence:
            self.run.metadata["plan"]["notes"].append(sentence)
            self.testbed.report_step(sentence)
        try:
            self.examine_routes(loadable)
        finally:
            for _, record in loadable:
                if record["act"] is None and not record["unfit"]:
                    record["unfit"] = "it was not reached"
        if all(record["skipped"] for record in records):
            first = next(record for _, record in loadable)
            raise AtonceError(
                f"No route of {self.app.target} could be loaded: {first['route']}:"
                f" {first['skipped']}.",
                ExitCode.TARGET,
            )

    def examine_routes(self, loadable: list[tuple[RouteRequest, dict[str, Any]]]) -> None:
        """Examine all routes within the budget, repeat disturbed routes, then raise any crash."""
        troubles: list[AtonceError] = []
        for number, (request, record) in enumerate(loadable, 1):
            elapsed = time.perf_counter() - self.testbed.started_at
            self.testbed.listener.set_total(
                min(
                    self.options.budget, elapsed + (len(loadable) - number + 1) * self.route_seconds
                )
            )
            if self.testbed.fits_budget(MIN_ROUTE_SECONDS):
                record["act"] = f"route-{number:02}"
                troubles += self.examine_or_record_crash(request, record)
            else:
                record["unfit"] = self.over_budget_reason
        for request, record in loadable:
            session = None if record["unfit"] else record["act"]
            if (
                session
                and (why := session_interference(self.run, session))
                and self.testbed.fits_budget(self.route_seconds)
            ):
                if self.testbed.count_remaining(session, request) < MIN_ROUTE_REQUESTS:
                    self.testbed.note_request_limit(
                        f"{request.route} was not examined again, though {why}", session, request
                    )
                    continue
                archive_attempt(
                    self.run,
                    session,
                    f"{request.route} was examined again, because {why}",
                    (*TABLES, "holds"),
                )
                troubles += self.examine_or_record_crash(request, record)
        if troubles:
            raise troubles[0]

    @property
    def over_budget_reason(self) -> str:
        """Why a route or a level did not run."""
        return f"it did not fit the budget of {self.options.budget:.0f} s: --budget names another"

    def examine_or_record_crash(
        self, request: RouteRequest, record: dict[str, Any]
    ) -> list[AtonceError]:
        """Examine a route. Return the error if our app crashes: the next route restarts it."""
        started, troubles = time.perf_counter(), []
        try:
            self.examine_route(request, record["act"], record)
        except AtonceError as error:
            if error.code is not ExitCode.TARGET or self.app.launch_mode == "url":
                raise
            record["unfit"] = error.sentence.partition(". ")[0]
            self.run.add_warning(error.sentence)
            troubles = [error]
        self.route_seconds = max(
            8.0, 0.5 * self.route_seconds + 0.5 * (time.perf_counter() - started)
        )
        return troubles

    def install_agent(self) -> None:
        """Inspect the app's interpreter and install the agent."""
        self.run.metadata["patient"].update(self.app.inspect_interpreter())
        self.app.install_agent(self.run.path)

    def measure_idle(self) -> list[RouteRequest]:
        """Start the app once: read its routes, measure its neighbours without other load."""
        with self.testbed.app_running("idle", with_watchdog=True) as (app_process, url):
            with self.testbed.open_client(url) as client:
                route_requests = read_routes(self.testbed, client)
                app_neighbours, ping_cost = find_neighbours(self.app, self.testbed.secret, client)
            if self.app.launch_mode != "module":
                self.run.metadata["workers"] = count_workers(url) or 1
            if not app_neighbours:
                self.run.metadata["plan"]["notes"].append(
                    "No innocent route could be found: nothing can be said of whom a route harms."
                )
                return route_requests
            cell = idle_neighbours_cell(
                app_neighbours, min(40.0, 0.05 / ping_cost) if ping_cost else 80.0
            )
            for tries_left in reversed(range(_IDLE_TRIES)):
                with self.testbed.locust_running(url) as locust:
                    self.testbed.run_jobs(
                        app_process,
                        locust,
                        url,
                        "idle",
                        iter([self.testbed.create_job("idle", (cell,), None)]),
                    )
                why = session_interference(self.run, "idle")
                if not (
                    why
                    and tries_left
                    and self.testbed.fits_budget(LOCUST_START_SECONDS + level_duration(cell))
                ):
                    break
                archive_attempt(
                    self.run,
                    "idle",
                    f"The neighbours at rest were asked again, because {why}",
                    ("samples", "load"),
                )
            if self.app.launch_mode == "module":
                self.testbed.watch_idle_app()
        idle_stats = read_interim_stats(self.run.path, "idle", cell)
        self.idle_p90 = {
            kind: p90
            for kind in ("async", "def")
            if idle_stats and (p90 := idle_stats.neighbour_p90(kind)) is not None
        }
        return route_requests

    def examine_route(self, request: RouteRequest, session: str, record: dict[str, Any]) -> None:
        """One route: smoke test, load, and the watchdog if the loop seems blocked."""
        hold_times: list[float] = []
        log = RunLog.from_here(self.run.path / "log.txt")
        with (
            self.testbed.app_running(session, with_watchdog=False) as (app_process, url),
            self.testbed.locust_running(url) as locust,
        ):
            with self.testbed.open_client(url) as client:
                self.wait_until_idle(client)
                if app_process:
                    app_process.flush_log()
                log = RunLog.from_here(log.path)  # without the start-up lines
                request, result = find_accepted_request(
                    client, request, self.options.selection.headers
                )
                record["path"] = request.path
                self.testbed.stop_request.raise_if_requested()
                app_neighbours, ping_cost = find_neighbours(self.app, self.testbed.secret, client)
            if app_process:
                app_process.flush_log()  # so that Python's warnings are in the log
            save_smoke_result(self.run, record, result, log)
            planner = self.level_planner(session, request, result, (app_neighbours, ping_cost))

            def fits(*cells: Cell, extra_seconds: float = 0.0, is_needed: bool = True) -> bool:
                is_in_budget = self.testbed.fits_budget(
                    sum(map(level_duration, cells), extra_seconds)
                )
                why = planner.why_too_large(*cells) or (
                    planner.why_too_few_requests(*cells)
                    if is_in_budget
                    else self.over_budget_reason
                )
                if is_needed:
                    record["unfit"] = why or record["unfit"]
                return not why

            if not (record["skipped"] or record["wrong"]) and fits(
                planner.single_user_cell(),
                planner.few_users_cell(),
                extra_seconds=LOCUST_START_SECONDS,
            ):
                levels = adaptive_levels(
                    self.run.path,
                    planner,
                    self.idle_p90,
                    self.options.gates,
                    hold_times,
                    lambda cell, is_needed: fits(cell, is_needed=is_needed),
                )
                self.testbed.run_jobs(
                    app_process,
                    locust,
                    url,
                    session,
                    (self.testbed.create_job(session, cells, request) for cells in levels),
                )
        if result.status == httpx.codes.INTERNAL_SERVER_ERROR:
            # Python warns of a missing await late, when the coroutine is collected
            save_smoke_result(self.run, record, result, log)
        if hold_times and self.testbed.unwatched_reason:
            record["unwatched"] = self.testbed.unwatched_reason
        elif (
            hold_times
            and self.app.launch_mode == "module"
            and fits(
                planner.watchdog_cell(hold_times[0]),
                extra_seconds=self.testbed.startup_seconds + LOCUST_START_SECONDS,
            )
        ):
            self.run_with_watchdog(
                request, replace(planner, session=f"{session}-watch"), hold_times[0]
            )

    def level_planner(
        self,
        session: str,
        request: RouteRequest,
        result: SmokeResult,
        neighbours_and_cost: tuple[tuple[Neighbour, ...], float],
    ) -> LevelPlanner:
        """The planner of the levels of this route."""
        service_time = min(result.seconds[1:] or result.seconds)
        known: dict[str, Any] = {
            "session": session,
            "route": request.route,
            "path": request.path,
            "requests": self.testbed.count_remaining(session, request),
        }
        known["answer_bytes"] = result.answer_bytes
        return LevelPlanner(
            service_time=service_time,
            neighbours=neighbours_and_cost[0],
            ping_cost=neighbours_and_cost[1],
            **known,
        )

    def wait_until_idle(self, client: httpx.Client) -> None:
        """Wait until a black box answers as quickly as at rest, for a bounded time.

        It may still work on abandoned requests.
        """
        deadline = time.perf_counter() + _BLACK_BOX_IDLE_TIMEOUT
        while (
            self.app.launch_mode == "url"
            and "async" in self.idle_p90
            and time.perf_counter() < deadline
        ):
            self.testbed.stop_request.raise_if_requested()
            started = time.perf_counter()
            with contextlib.suppress(httpx.HTTPError):
                fetch_response(client, "GET", readiness_path(self.app, self.testbed.secret))
                if time.perf_counter() - started <= max(0.05, 5 * self.idle_p90["async"]):
                    return

    def run_with_watchdog(
        self, request: RouteRequest, planner: LevelPlanner, hold_time: float
    ) -> None:
        """Load a fresh, warmed-up process with the watchdog inside, by a few users."""
        session = planner.session
        with (
            self.testbed.app_running(session, with_watchdog=True) as (app_process, url),
            self.testbed.locust_running(url) as locust,
        ):
            with self.testbed.open_client(url) as client:
                run_smoke_test(client, request, self.options.selection.headers)
            self.testbed.run_jobs(
                app_process,
                locust,
                url,
                session,
                iter(
                    [self.testbed.create_job(session, (planner.watchdog_cell(hold_time),), request)]
                ),
            )
