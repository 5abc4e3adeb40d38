"""Calling another service with `aiohttp`: one session that the lifespan opens and closes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi import APIRouter, FastAPI, Request

from targets import upstream
from targets.lesson.waiting import Seconds

FAILURES = (aiohttp.ServerTimeoutError, aiohttp.ClientResponseError, aiohttp.ClientError)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the one session of the app, and close it."""
    timeout = client_timeout(10.0)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as app.state.aiohttp:
        yield


def client_timeout(seconds: float) -> aiohttp.ClientTimeout:
    """Limit the wait for a place in the pool, for a connection, and for each piece of an answer."""
    # `total` would raise asyncio.TimeoutError, like time-outs of the app itself
    return aiohttp.ClientTimeout(connect=seconds, sock_connect=seconds, sock_read=seconds)


router = APIRouter(prefix="/aiohttp", tags=["HTTP clients"], lifespan=lifespan)


@router.get("", response_model=None)
async def shared(request: Request, seconds: Seconds = 0.1) -> Any:
    """Await the session that the lifespan opened."""
    session: aiohttp.ClientSession = request.app.state.aiohttp
    async with session.get(f"{request.app.state.upstream}/delay/{seconds}") as answer:
        return await answer.json()


@router.get("/counters", response_model=None)
async def counters(request: Request) -> dict[str, int]:
    """Return the upstream's counts of connections and requests, and the session's pool size."""
    limit: int = request.app.state.aiohttp.connector.limit
    return {**await upstream.fetch_counters(request.app.state.upstream), "pool": limit}


@router.get("/{fault}", response_model=None)
async def fails(request: Request, fault: upstream.Fault) -> Any:
    """Call an upstream that fails."""
    session: aiohttp.ClientSession = request.app.state.aiohttp
    async with session.get(
        fault.url(request.app.state.upstream), timeout=client_timeout(upstream.FAULT_TIMEOUT)
    ) as answer:
        return await answer.json()
