"""Calling another service with `requests` and `httpx`: blocking, in a thread, and awaited.

All return the upstream's own answer. None validates it, so a `def` route takes one thread token and
the others none.
"""

import asyncio
from typing import Any

import httpx
import requests
from fastapi import APIRouter, FastAPI, Request

from targets import upstream
from targets.lesson import sleep_and_fetch
from targets.lesson.sleep_and_fetch import Client
from targets.lesson.waiting import Seconds

TIMEOUT = 10.0  # seconds
DEFAULT_KEEPALIVE = 20  # connections that httpx keeps alive by default, of 100
DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=DEFAULT_KEEPALIVE)
CALLS_PER_USER = 5
FAILURES = (requests.Timeout, requests.HTTPError, requests.RequestException)

router = APIRouter(prefix="/client", tags=["HTTP clients"])


def read_json(answer: requests.Response) -> Any:
    """Return the document of an answer. Raises requests.HTTPError for an error status."""
    answer.raise_for_status()
    return answer.json()


@router.get("/requests", response_model=None)
async def requests_blocking(request: Request, seconds: Seconds = 0.1) -> Any:
    """Call with `requests` inside `async def`: the loop stands still during it. 1 at once."""
    url = f"{request.app.state.upstream}/delay/{seconds}"
    # the mistake itself: nothing else runs until it returns
    return read_json(requests.get(url, timeout=TIMEOUT))  # noqa: ASYNC210


@router.get("/requests-def", response_model=None)
def requests_in_thread(request: Request, seconds: Seconds = 0.1) -> Any:
    """Make the same call in `def`: only a thread of the pool stands still. 40 at once."""
    url = f"{request.app.state.upstream}/delay/{seconds}"
    return read_json(requests.get(url, timeout=TIMEOUT))


@router.get("/httpx", response_model=None)
async def httpx_shared(client: Client, seconds: Seconds = 0.1) -> Any:
    """Await the client that the lifespan opened, over connections that it keeps open."""
    return (await client.get(f"/delay/{seconds}")).raise_for_status().json()


@router.get("/httpx-per-request", response_model=None)
async def httpx_per_request(request: Request, seconds: Seconds = 0.1) -> Any:
    """Await a client of this request only: it connects and loads certificates anew."""
    url = f"{request.app.state.upstream}/delay/{seconds}"
    # it loads the certificates for http:// as well
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        return (await client.get(url)).raise_for_status().json()


@router.get("/requests-def/{fault}", response_model=None)
def requests_fails(request: Request, fault: upstream.Fault) -> Any:
    """Call an upstream that fails, with `requests`."""
    url = fault.url(request.app.state.upstream)
    return read_json(requests.get(url, timeout=upstream.FAULT_TIMEOUT))


@router.get("/httpx/{fault}", response_model=None)
async def httpx_fails(request: Request, client: Client, fault: upstream.Fault) -> Any:
    """Call an upstream that fails, with the shared client."""
    url = fault.url(request.app.state.upstream)
    return (await client.get(url, timeout=upstream.FAULT_TIMEOUT)).raise_for_status().json()


@router.get("/counters", response_model=None)
async def counters(request: Request, client: Client) -> dict[str, int | None]:
    """Return the upstream's counts of connections and requests, and the client's pool size."""
    # httpx has no public name for it
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    counts = await upstream.fetch_counters(request.app.state.upstream)
    return {**counts, "pool": getattr(pool, "_max_connections", None)}


@router.get("/keep-alive", response_model=None)
async def keep_alive(request: Request) -> list[dict[str, Any]]:
    """Count a shared client's connections: it keeps fewer alive than users call, or as many."""
    url, rows = request.app.state.upstream, []
    few, many, ample = DEFAULT_KEEPALIVE, 2 * DEFAULT_KEEPALIVE, sleep_and_fetch.LIMITS
    for users, limits in ((few, DEFAULT_LIMITS), (many, DEFAULT_LIMITS), (many, ample)):
        before = await upstream.fetch_counters(url)
        client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits, trust_env=False)
        async with client:
            await asyncio.gather(*(_call_in_turn(client) for _ in range(users)))
        after = await upstream.fetch_counters(url)
        rows.append({"users": users, **{name: after[name] - before[name] for name in after}})
    return rows


async def _call_in_turn(client: httpx.AsyncClient) -> None:
    for _ in range(CALLS_PER_USER):
        (await client.get("/delay/0.05")).raise_for_status()


@router.get("/lifecycle", response_model=None)
async def lifecycle(request: Request) -> dict[str, Any]:
    """Use the shared client of another app before its start-up, while it runs, and afterwards."""
    other = FastAPI()
    other.include_router(sleep_and_fetch.router)
    other.state.upstream = request.app.state.upstream
    before = await fetch_in_process(other)
    async with sleep_and_fetch.lifespan(other):
        client: httpx.AsyncClient = other.state.client
        running = await fetch_in_process(other)
    after = await fetch_in_process(other)
    return {"before": before, "running": running, "after": after, "closed": client.is_closed}


async def fetch_in_process(app: FastAPI) -> dict[str, Any]:
    """Send `GET /fetch` to an app in this process; return status and error."""
    error_message = None
    for raises in (True, False):  # first for the error, then for the status that a client sees
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
            try:
                status = (await client.get("/fetch")).status_code
            except RuntimeError as error:
                error_message = str(error)
    return {"status": status, "error": error_message}
