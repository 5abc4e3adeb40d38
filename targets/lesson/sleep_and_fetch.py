"""The lesson's own routes, with its paths and defaults: sleeping, and calling a service."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request

from targets.lesson.waiting import Seconds

# httpx itself would keep only 20 of 100 alive, busy ones included (encode/httpcore#1000)
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)
FAILURES = (httpx.TimeoutException, httpx.HTTPStatusError, httpx.HTTPError)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the app's one client at start-up, and close it at shut-down."""
    url: str = app.state.upstream
    client = httpx.AsyncClient(base_url=url, timeout=10, limits=LIMITS, trust_env=False)
    async with client as app.state.client:
        yield
    del app.state.client


async def shared_client(request: Request) -> httpx.AsyncClient:
    """Return the client that the lifespan opened. Raises RuntimeError before that."""
    client: httpx.AsyncClient | None = getattr(request.app.state, "client", None)
    if client is None:
        raise RuntimeError("client not initialized: the app's lifespan has not opened it")
    return client


Client = Annotated[httpx.AsyncClient, Depends(shared_client)]
router = APIRouter(tags=["lesson"], lifespan=lifespan)


@router.get("/sleep")
async def sleep(seconds: Seconds = 0.5) -> dict[str, float]:
    """Await a sleep: other requests run on."""
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@router.get("/slow-sync")
def slow_sync(seconds: Seconds = 1.0) -> dict[str, float]:
    """Sleep in `def`: only one thread of the pool stands still."""
    time.sleep(seconds)
    return {"slept": seconds}


@router.get("/safe-sync")
async def safe_sync(seconds: Seconds = 1.0) -> dict[str, float]:
    """Call blocking code from `async def` the safe way: in a thread."""
    await asyncio.to_thread(time.sleep, seconds)
    return {"slept": seconds}


@router.get("/fetch")
async def fetch(client: Client) -> dict[str, Any]:
    """Call another service and wait at most 5 s for it; the loop serves other requests."""
    answer = (await client.get("/get", timeout=5)).raise_for_status()
    return {"origin": answer.json()["origin"], "status": answer.status_code}


@router.get("/remote-data")
async def remote_data(client: Client) -> dict[str, Any]:
    """Return another service's JSON, awaited through the shared client (10 s time-out)."""
    document: dict[str, Any] = (await client.get("/json")).raise_for_status().json()
    return document
