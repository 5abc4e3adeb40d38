"""A depot: what waits and computes on the loop, what a request leaves behind, and what is waited for outside any handler."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI(title="Depot")
DOCKS = asyncio.Semaphore(4)
JOBS: set[asyncio.Task[None]] = set()


def reckon(seconds: float) -> int:
    """Compute for so long."""
    rounds, until = 0, time.thread_time() + seconds
    while time.thread_time() < until:
        rounds += 1
    return rounds


def weigh() -> None:
    """Ask the scales, which answer after 12 ms."""
    time.sleep(0.012)


async def print_label() -> None:
    """Print, on a printer that nobody can await."""
    time.sleep(0.05)


async def dock() -> AsyncIterator[int]:
    """One of four docks, for 40 ms."""
    async with DOCKS:
        await asyncio.sleep(0.04)
        yield 1


@app.get("/parcels/weight")
async def weight() -> dict[str, int]:
    """Weigh a parcel, then reckon its price for 6 ms."""
    weigh()
    return {"price": reckon(0.006)}


@app.get("/parcels/label")
async def label() -> dict[str, int]:
    """Have a label printed, and answer meanwhile."""
    job = asyncio.create_task(print_label())
    JOBS.add(job)
    job.add_done_callback(JOBS.discard)
    return {"jobs": len(JOBS)}


@app.get("/docks")
async def docks(number: Annotated[int, Depends(dock)]) -> dict[str, int]:
    """Unload at a dock."""
    return {"dock": number}


@app.get("/parcels/route")
async def route() -> dict[str, int]:
    """Ask two neighbours, 3 ms each, and reckon for 2 ms: honest."""
    await asyncio.sleep(0.003)
    found = reckon(0.002)
    await asyncio.sleep(0.003)
    return {"found": found}
