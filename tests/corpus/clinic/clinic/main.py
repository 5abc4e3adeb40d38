"""Builds the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from clinic import keys
from clinic.journal import Journal
from clinic.routers import desk, internal, wards
from clinic.security import require_token


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the journal, the key service and the shared devices."""
    app.state.calendar = asyncio.Lock()
    app.state.monitors = asyncio.Semaphore(10)
    with keys.running() as port, Journal() as journal:
        app.state.keys, app.state.journal = port, journal
        yield


def create_app() -> FastAPI:
    """Put the clinic together."""
    app = FastAPI(title="clinic", lifespan=lifespan, dependencies=[Depends(require_token)])
    for router in (desk.router, wards.router, internal.router):
        app.include_router(router)
    return app
