"""A ticket booth with three clerks: the old driver cannot take more threads."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.from_thread
import anyio.to_thread
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

CLERKS = 3


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """As many threads as clerks."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = CLERKS
    yield


app = FastAPI(title="Booth", lifespan=lifespan)


def sell() -> int:
    """Sell a ticket: 40 ms."""
    time.sleep(0.04)
    return 1


def check() -> int:
    """Check a ticket, from a thread that is one of the three."""
    return anyio.from_thread.run(run_in_threadpool, sell)


@app.get("/tickets")
def tickets() -> dict[str, int]:
    """Sell a ticket."""
    return {"sold": sell()}


@app.get("/vouchers")
async def vouchers() -> dict[str, int]:
    """Sell a voucher from an async route, by a thread."""
    return {"sold": await run_in_threadpool(sell)}


@app.get("/refunds")
def refunds() -> dict[str, int]:
    """Check a ticket and refund it."""
    time.sleep(0.01)
    return {"refunded": check()}


@app.get("/queue")
async def queue() -> dict[str, int]:
    """The queue's length: 40 ms awaited."""
    await asyncio.sleep(0.04)
    return {"waiting": 5}
