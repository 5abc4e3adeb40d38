"""Calls of another service and a database: on the loop, in threads, and awaited."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

import requests
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import create_engine, event, select
from sqlalchemy import func as sql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from targets import upstream
from targets.antipatterns.blocking_io import WAIT_SECONDS
from targets.lesson import aiohttp_client

SLOW_QUERY = select(sql.sleep(WAIT_SECONDS))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the other service, and open an SQLite file through both drivers."""
    with TemporaryDirectory(prefix="atonce-antipatterns-") as folder:
        app.state.blocking = create_engine(f"sqlite:///{folder}/app.db")
        app.state.awaitable = create_async_engine(
            f"sqlite+aiosqlite:///{folder}/app.db", pool_size=64
        )
        for engine in (app.state.blocking, app.state.awaitable.sync_engine):
            event.listen(engine, "connect", add_sleep_function)
        async with upstream.run_upstream() as url, aiohttp_client.lifespan(app):
            app.state.insurance = f"{url}/delay/{WAIT_SECONDS}"
            yield
        await app.state.awaitable.dispose()
        app.state.blocking.dispose()


def add_sleep_function(connection: Any, _record: Any) -> None:
    """Give SQLite `time.sleep`, as it cannot wait by itself."""
    connection.create_function("sleep", 1, time.sleep)


router = APIRouter(lifespan=lifespan)


@router.get("/insurance/blocked", response_model=None)
async def insurance_blocked(request: Request) -> Any:
    """Call with `requests`: nothing else runs until the other service answers."""
    # the mistake itself
    return requests.get(request.app.state.insurance, timeout=10).json()  # noqa: ASYNC210


@router.get("/insurance/threads", response_model=None)
def insurance_threads(request: Request) -> Any:
    """Call in `def`: one of 40 threads waits."""
    return requests.get(request.app.state.insurance, timeout=10).json()


@router.get("/insurance", response_model=None)
async def insurance(request: Request) -> Any:
    """Await the answer, through the session that the lifespan opened."""
    async with request.app.state.aiohttp.get(request.app.state.insurance) as answer:
        return await answer.json()


@router.get("/patients/blocked", response_model=None)
async def patients_blocked(request: Request) -> Any:
    """Query with a `Session`: the event loop waits for the database."""
    with Session(request.app.state.blocking) as session:
        return session.execute(SLOW_QUERY).scalar_one()


@router.get("/patients", response_model=None)
async def patients(request: Request) -> Any:
    """Await the query, over as many connections as there are users."""
    async with AsyncSession(request.app.state.awaitable) as session:
        return (await session.execute(SLOW_QUERY)).scalar_one()
