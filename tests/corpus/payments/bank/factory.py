"""Puts the app together, and the operators' app beside it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI

from bank import clearing, routes
from bank.models import Settings
from bank.plumbing import BankError, NoStore, RequestNumber, tell
from bank.repository import Accounts, Journal
from bank.services import Gate


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the line to the clearing house and the journal."""
    with clearing.opened() as app.state.clearing_port:
        app.state.journal = Journal()
        yield


def operations(settings: Settings) -> FastAPI:
    """Build the operators' app."""
    ops = FastAPI(title="operations")
    presses = anyio.CapacityLimiter(settings.exports_at_once)

    def press(day: str) -> str:
        time.sleep(0.08)
        return f"ledger-{day}.csv"

    @ops.get("/exports")
    async def exports(day: str = "2025-03-01") -> dict[str, str]:
        return {"file": await anyio.to_thread.run_sync(press, day, limiter=presses)}

    return ops


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app."""
    app = FastAPI(title="payments", lifespan=lifespan)
    chosen = app.state.settings = settings or Settings()
    app.state.accounts = Accounts()
    app.state.gate = Gate(chosen.quotas_at_once)
    app.add_exception_handler(BankError, tell)
    app.add_middleware(NoStore)
    app.add_middleware(RequestNumber)
    app.include_router(routes.v2)
    app.mount("/ops", operations(chosen))
    return app
