"""The ledger: accounts, transfers, interest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from books.bank import Bank
from books.limits import Limits
from routers import accounts, markets


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the bank's terminal and the table of limits."""
    app.state.limits = Limits()
    with Bank(lines=4) as app.state.bank:
        yield


app = FastAPI(title="ledger", lifespan=lifespan)
app.include_router(accounts.router, prefix="/accounts")
app.include_router(markets.router)


@app.get("/ping")
async def ping() -> str:
    """Answer."""
    return "pong"
