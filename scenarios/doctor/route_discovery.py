"""Which routes an app has, and how each answered its smoke test."""

import httpx

from results.run_info import RouteRecord
from results.store import RunWriter
from scenarios.doctor.app import read_agent_file
from scenarios.doctor.controls import fetch_openapi, skip_docs_routes
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.routes import EXCLUDED_THOUGH_NAMED, UNSAFE, select_routes
from scenarios.doctor.openapi.smoke_test import SmokeResult
from scenarios.doctor.testbed import AppTestBed
from scenarios.system.private_log import RunLog


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
