"""The example app: its routers and one lifespan. `uvicorn targets.app:app --port 8002` serves it.

The probe is the outermost middleware: it records when each request arrives and when its handler
runs. `ATONCE_TARGET_PROBE=0` in the environment leaves it out, and all its changes to FastAPI;
`ATONCE_TARGET_LAB=0` leaves out the lesson's routes and their imports.
"""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread
import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from targets import neighbours, upstream
from targets.agent.probe import Probe
from targets.child_processes import exit_with_parent
from targets.lesson import gather, load_topics, sleep_and_fetch, waiting

UPSTREAM_FAULTS = (
    (504, "took too long"),
    (502, "answered with an error"),
    (502, "cannot be reached, or closed the connection"),
)
POOL_FAULT = (503, "was not called: all connections of the client's pool are in use")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Set the number of threads and run the upstream; each router opens its own resources."""
    exit_with_parent()
    if threads := os.environ.get("ATONCE_APP_THREADS"):
        anyio.to_thread.current_default_thread_limiter().total_tokens = int(threads)
    async with upstream.run_upstream() as app.state.upstream:
        gc.freeze()  # objects of the start-up stay: to check them would hold the loop for 65 ms
        yield


async def answer_upstream_error(
    status: int, why: str, _request: Request, error: Exception
) -> JSONResponse:
    """Answer that the other service failed, and how."""
    return JSONResponse({"detail": f"the upstream {why} ({type(error).__name__})"}, status)


app = FastAPI(title="atonce example app", description=__doc__, lifespan=lifespan)
if os.environ.get("ATONCE_TARGET_PROBE") != "0":
    app.add_middleware(Probe)
modules = (waiting, sleep_and_fetch, gather, neighbours)
topics = [(module.router, getattr(module, "FAILURES", ())) for module in modules]
if os.environ.get("ATONCE_TARGET_LAB") != "0":
    topics += load_topics()
app.add_exception_handler(httpx.PoolTimeout, partial(answer_upstream_error, *POOL_FAULT))
for router, failures in topics:
    app.include_router(router)
    for failure, fault in zip(failures, UPSTREAM_FAULTS, strict=False):
        app.add_exception_handler(failure, partial(answer_upstream_error, *fault))
