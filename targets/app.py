"""The example app: its routers and one lifespan. `uvicorn targets.app:app --port 8002` serves it.

The probe is the outermost middleware: it stamps when each request arrived and when its handler ran.
With `ATONCE_TARGET_PROBE=0` in the environment it is left out, and so is all that it does to
FastAPI; with `ATONCE_TARGET_LAB=0` the lesson's routes and what they import.
"""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import anyio.to_thread
import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from targets import neighbours, upstream
from targets.agent.probe import Probe
from targets.child_processes import exit_with_parent
from targets.lesson import LessonRoutes, gather, sleep_and_fetch, waiting


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what all requests share before the first one, close it after the last one."""
    exit_with_parent()
    if threads := os.environ.get("ATONCE_APP_THREADS"):
        anyio.to_thread.current_default_thread_limiter().total_tokens = int(threads)
    async with upstream.run_upstream() as url, sleep_and_fetch.open_client(app, url):
        app.state.upstream = url
        async with lesson_routes.lifespan(app) if lesson_routes else nullcontext():
            # what start-up made is no garbage: a full collection would hold the loop for 65 ms
            gc.freeze()
            yield


lesson_routes = LessonRoutes() if os.environ.get("ATONCE_TARGET_LAB") != "0" else None
app = FastAPI(title="atonce example app", description=__doc__, lifespan=lifespan)
if os.environ.get("ATONCE_TARGET_PROBE") != "0":
    app.add_middleware(Probe)
app.include_router(waiting.router)
app.include_router(sleep_and_fetch.router)
app.include_router(gather.router)
app.include_router(neighbours.router)
for router in lesson_routes.routers if lesson_routes else ():
    app.include_router(router)


async def answer_upstream_error(
    status: int, why: str, _request: Request, error: Exception
) -> JSONResponse:
    """Say that the other service failed, and how."""
    return JSONResponse({"detail": f"the upstream {why} ({type(error).__name__})"}, status)


UPSTREAM_FAULTS = (
    (504, "took too long"),
    (502, "answered with an error"),
    (502, "cannot be reached, or broke off"),
)
app.add_exception_handler(
    httpx.PoolTimeout,
    partial(
        answer_upstream_error, 503, "was not asked: no connection of the client's pool became free"
    ),
)
for failures in (
    (httpx.TimeoutException, httpx.HTTPStatusError, httpx.HTTPError),
    *(lesson_routes.failures if lesson_routes else ()),
):
    for failure, (status, why) in zip(failures, UPSTREAM_FAULTS, strict=True):
        app.add_exception_handler(failure, partial(answer_upstream_error, status, why))
