"""Which routes an app has, and how each answered its smoke test."""

import httpx

from results.run_info import RouteRecord
from results.store import RunWriter
from scenarios.doctor.controls import fetch_openapi, skip_docs_routes
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.routes import select_route_requests, unsafe_routes
from scenarios.doctor.openapi.smoke_test import SmokeResult
from scenarios.doctor.testbed import AppTestBed
from scenarios.system.private_log import RunLog

_UNSAFE_REASON = "its method may change data; name it with --route to examine it"


def read_routes(testbed: AppTestBed, client: httpx.Client) -> list[RouteRequest]:
    """Return the routes by the agent's app info, or by the OpenAPI document of a black box."""
    selection, app, run = testbed.options.selection, testbed.app, testbed.run
    is_module = app.launch_mode == "module"
    if is_module:
        app_info = app.read_app_info("app-1", run.path) or {}
        run.info.app.framework = app_info.get("framework")
        run.info.loop = app_info.get("loop") or run.info.loop
    else:
        app_info = {"openapi": fetch_openapi(client, selection.headers)}
    declarations = (app_info.get("openapi"), app_info.get("routes"))
    check = testbed.stop_request.raise_if_requested
    route_requests = select_route_requests(*declarations, selection, check)
    if not is_module and not selection.routes:
        route_requests = skip_docs_routes(route_requests, client, selection.headers)
    if not selection.routes and not selection.only:
        listed = {request.route for request in route_requests}
        route_requests += [
            RouteRequest(route=name, path="", skipped=_UNSAFE_REASON)
            for name in unsafe_routes(*declarations)
            if name not in listed
        ]
    return route_requests


def save_smoke_result(
    run: RunWriter, record: RouteRecord, result: SmokeResult, log: RunLog
) -> None:
    """Record the smoke test; a coroutine that was never awaited makes any answer wrong."""
    unawaited = [line for line in log.warnings().splitlines() if "was never awaited" in line]
    fault = result.fault or next(iter(unawaited), "").removeprefix("RuntimeWarning: ") or None
    record.skipped = None if fault else result.skipped
    record.fault = fault
    record.smoke_seconds = list(result.seconds)
    record.status = result.status
    record.notes = [result.note] if result.note else []
    run.write_info()
