"""Examines the routes of an app one after another; always leaves a run.

First come the routes and the latency of the neighbours at rest. Then each route gets a smoke test,
one user, a few users, and whatever else may decide its verdict.
"""

from functools import partial

import httpx

from results.errors import AtonceError, ExitCode
from results.gate_expression import unmatched_gate_error
from results.run_info import RouteRecord
from results.schema import Cell, Neighbour
from results.store import RunWriter
from scenarios.doctor.adaptive_plan import AdaptivePlan
from scenarios.doctor.app import read_agent_file
from scenarios.doctor.controls import (
    count_workers,
    fetch_openapi,
    find_neighbours,
    skip_docs_routes,
)
from scenarios.doctor.levels import LevelPlanner, idle_neighbours_cell, level_duration
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.routes import EXCLUDED_THOUGH_NAMED, UNSAFE, select_routes
from scenarios.doctor.openapi.smoke_test import SmokeResult, find_accepted_request
from scenarios.doctor.recording import IDLE_SESSION, SpoolRecording
from scenarios.doctor.settings import (
    ROUTE_SECONDS,
    DoctorSettings,
    doctor_run_info,
    find_over_budget,
    loadable_requests,
    route_record,
    warn_too_few_requests,
)
from scenarios.doctor.testbed import AppTestBed, OverBudgetError
from scenarios.runner.recorded_run import recorded_run
from scenarios.runner.run_plan import NoProgress, ProgressListener, pin_to_core
from scenarios.system.interrupt import handle_stop_signals
from scenarios.system.private_log import RunLog

MIN_ROUTE_SECONDS = 5.0  # seconds below which no route can be examined


def examine_app(settings: DoctorSettings, run: RunWriter, listener: ProgressListener) -> None:
    """Examine every route. The run is always closed; errors are raised after that."""
    with recorded_run(run, partial(doctor_run_info, settings)) as stop_request:
        # It reads the available cores, so it must come before pinning to one
        testbed = AppTestBed(settings, run, stop_request, listener)
        with pin_to_core(testbed.locust_core), testbed.opened():
            Examination(testbed).execute()


def discover_routes(settings: DoctorSettings, run: RunWriter) -> list[RouteRequest]:
    """Return the routes only: the app is started once, if we start it, and nothing is loaded."""
    run.describe(doctor_run_info(settings))
    with handle_stop_signals() as stop_request:
        testbed = AppTestBed(settings, run, stop_request, NoProgress())
        with testbed.opened():
            return read_routes(testbed, testbed.use_app().client, is_outline=True)


class Examination:
    """One examination. Mutable state: its neighbours, seconds per route, a crash."""

    def __init__(self, testbed: AppTestBed) -> None:
        self.testbed, self.settings = testbed, testbed.options
        self.run, self.app = testbed.run, testbed.app
        self.neighbours: tuple[Neighbour, ...] = ()
        self.ping_cost = 0.0
        self._route_seconds: list[float] = []
        self._crash: AtonceError | None = None

    def execute(self) -> None:
        """Measure the app at rest, then its routes."""
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
        _, sentence = find_over_budget(self.settings, ordered, self.testbed.elapsed)
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

    def _add_note(self, sentence: str) -> None:
        self.testbed.add_note(sentence)
        self.testbed.report_step(sentence)

    def _no_route_error(self, record: RouteRecord) -> AtonceError:
        why = f"{record.route}: {record.skipped}"
        return AtonceError(f"No route of {self.app.target} can be loaded: {why}.", ExitCode.TARGET)

    def examine_routes(self, loadable: list[tuple[RouteRequest, RouteRecord]]) -> None:
        """Examine all routes within the budget, then raise any crash."""
        testbed = self.testbed
        for number, (request, record) in enumerate(loadable):
            known = self._route_seconds or [ROUTE_SECONDS]
            remaining = (len(loadable) - number) * sum(known) / len(known)
            testbed.listener.set_total(min(self.settings.budget, testbed.elapsed + remaining))
            if testbed.fits_budget(MIN_ROUTE_SECONDS):
                self._examine_or_record_crash(request, record, f"route-{number + 1:02}")
            else:
                record.unmeasured = self._over_budget_reason
        if self._crash:
            raise self._crash

    @property
    def _over_budget_reason(self) -> str:
        return f"it did not fit the budget of {self.settings.budget:.0f} s; --budget sets another"

    def _examine_or_record_crash(
        self, request: RouteRequest, record: RouteRecord, session: str
    ) -> None:
        """Examine a route. If our app crashes, keep the error: the next route restarts it."""
        started = self.testbed.elapsed
        try:
            self.examine_route(request, session, record)
        except OverBudgetError:
            record.unmeasured = self._over_budget_reason
        except AtonceError as error:
            if error.code is not ExitCode.TARGET or self.app.launch_mode == "url":
                raise
            record.unmeasured = error.sentence.partition(". ")[0]
            self.run.add_warning(error.sentence)
            self._crash = self._crash or error
            self.testbed.stop_app()
        self._route_seconds.append(self.testbed.elapsed - started)

    def measure_idle(self) -> list[RouteRequest]:
        """Start both processes: read the routes, measure the neighbours without other load."""
        testbed = self.testbed
        testbed.start_locust()  # at the same time: nothing is measured so far
        client = testbed.use_app().client
        route_requests = read_routes(testbed, client)
        self.neighbours, self.ping_cost = find_neighbours(self.app, testbed.secret, client)
        if self.app.launch_mode != "module":
            self.run.info.workers = count_workers(testbed.url) or 1
        if not self.neighbours:
            testbed.add_note(
                "No neighbour route was found: the effect on other routes is not measured."
            )
            return route_requests
        rate = min(40.0, 0.05 / self.ping_cost) if self.ping_cost else 80.0
        cell = idle_neighbours_cell(self.neighbours, rate)
        testbed.run_level(IDLE_SESSION, (cell,))
        if self.app.launch_mode == "module":
            testbed.watch_idle_app()
        return route_requests

    def examine_route(self, request: RouteRequest, session: str, record: RouteRecord) -> None:
        """Examine one route: smoke test, then the load that the plan asks for."""
        testbed, run = self.testbed, self.run
        request, result = self._smoke_test(request, session, record)
        planner = LevelPlanner(
            session=session,
            route=request.route,
            path=request.path,
            service_time=min(result.seconds[1:] or result.seconds),
            longest=max(result.seconds[1:] or result.seconds),
            neighbours=self.neighbours,
            ping_cost=self.ping_cost,
            requests=testbed.count_remaining(session, request),
            answer_bytes=result.answer_bytes,
        )
        cells = planner.single_user_cell(), planner.few_users_cell()
        if record.skipped or record.fault or not self._fits(record, planner, *cells):
            return
        plan = AdaptivePlan(
            lambda: SpoolRecording(run, session).observe(record),
            planner,
            self.settings.gates,
            lambda cell, is_needed: self._fits(record, planner, cell, is_needed=is_needed),
        )
        for level in plan.levels():
            testbed.run_level(session, level, request)
            if any(cell.watched for cell in level):
                record.unwatched = testbed.unwatched_reason

    def _smoke_test(
        self, request: RouteRequest, session: str, record: RouteRecord
    ) -> tuple[RouteRequest, SmokeResult]:
        """Send single requests to an app at rest; return what it accepts, and how it answered."""
        process = self.testbed.use_app()
        record.session = session
        self.testbed.report_step(f"{request.route}: single requests")
        if process.child:
            process.child.flush_log()
        log = RunLog.from_here(self.run.path / "log.txt")  # without the lines before
        headers = self.settings.selection.headers
        request, result = find_accepted_request(process.client, request, headers)
        record.path = request.path
        self.testbed.stop_request.raise_if_requested()
        process.raise_idle_work()
        if result.status == httpx.codes.INTERNAL_SERVER_ERROR:
            # Python warns of a missing await late, when the coroutine is collected
            self.testbed.stop_app()
        elif process.child:
            process.child.flush_log()  # so that Python's warnings are in the log
        # a coroutine that was never awaited makes any answer wrong
        unawaited = [line for line in log.warnings().splitlines() if "was never awaited" in line]
        fault = result.fault or next(iter(unawaited), "").removeprefix("RuntimeWarning: ") or None
        record.skipped, record.fault = None if fault else result.skipped, fault
        record.smoke_seconds, record.status = list(result.seconds), result.status
        record.notes = [result.note] if result.note else []
        self.run.write_info()
        return request, result

    def _fits(
        self, record: RouteRecord, planner: LevelPlanner, *cells: Cell, is_needed: bool = True
    ) -> bool:
        """Return whether cells fit all limits; keep the reason if they do not but are needed."""
        why = planner.why_too_large(*cells)
        if not why and not self.testbed.fits_budget(sum(map(level_duration, cells))):
            why = self._over_budget_reason
        why = why or planner.why_too_few_requests(*cells)
        if is_needed:
            record.unmeasured = why or record.unmeasured
        return not why


def read_routes(
    testbed: AppTestBed, client: httpx.Client, *, is_outline: bool = False
) -> list[RouteRequest]:
    """Return the routes by the agent's app info, or by the OpenAPI document of a black box.

    Those left out follow, with the reason. A run lists them only if the user may not expect it.
    """
    selection, app, run = testbed.options.selection, testbed.app, testbed.run
    is_module = app.launch_mode == "module"
    if is_module:
        app_info = read_agent_file(run.path / "guest" / "census-app-1.json") or {}
        run.info.app.framework = app_info.get("framework")
        run.info.loop = app_info.get("loop") or run.info.loop
    else:
        app_info = {"openapi": fetch_openapi(client, selection.headers)}
    check = testbed.stop_request.raise_if_requested
    route_requests, left_out = select_routes(
        app_info.get("openapi"), app_info.get("routes"), selection, check
    )
    if not is_module:
        named = [it for it in route_requests if it.route in selection.routes]
        others = [it for it in route_requests if it not in named]
        route_requests = [*named, *skip_docs_routes(others, client, selection.headers)]
    return route_requests + [
        RouteRequest(route=name, path="", skipped=why)
        for name, why in left_out.items()
        if is_outline or why in (UNSAFE, EXCLUDED_THOUGH_NAMED)
    ]
