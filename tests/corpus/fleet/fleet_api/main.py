"""The fleet's API."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response

from fleet_api import outside, telemetry
from fleet_api.cache import Cache
from fleet_api.ops import ops
from fleet_api.planning import router as planning
from fleet_api.vehicles import router as vehicles


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start what the fleet depends on, and load yesterday's telemetry."""
    telemetry.load()
    app.state.slots = asyncio.Semaphore(5)  # the contract with the map service allows five at a time
    with outside.started() as (cache_port, http_port), Cache(cache_port) as app.state.cache:
        app.state.http_port = http_port
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", timeout=30) as app.state.maps:
            yield


app = FastAPI(title="Fleet", lifespan=lifespan)
app.include_router(vehicles, prefix="/v2/vehicles")
app.include_router(planning, prefix="/v2")
app.include_router(telemetry.router, prefix="/v2/telemetry")
app.mount("/ops", ops)


@app.middleware("http")
async def timed(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Write down how long it took."""
    start = time.perf_counter()
    response = await call_next(request)
    response.headers["X-Took"] = f"{time.perf_counter() - start:.4f}"
    return response
