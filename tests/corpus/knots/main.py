"""A harbour's pilots and tugs: whoever takes one often needs the other."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

app = FastAPI(title="Knots")

PILOT, TUG = asyncio.Lock(), asyncio.Lock()
CANAL, BRIDGE = asyncio.Lock(), asyncio.Lock()
CREWS = asyncio.Semaphore(5)
LINES = asyncio.Semaphore(5)
BERTHS = asyncio.Semaphore(40)
BOATS: "asyncio.Queue[int]" = asyncio.Queue()
for boat in range(10):
    BOATS.put_nowait(boat)
TURN = itertools.count()


@app.get("/manoeuvres")
async def manoeuvres() -> dict[str, str]:
    """Every second ship comes in, every other one goes out."""
    if next(TURN) % 2:
        async with PILOT:  # going in
            await asyncio.sleep(0.02)
            async with TUG:  # still going in
                await asyncio.sleep(0.02)
        return {"ship": "in"}
    async with TUG:  # going out
        await asyncio.sleep(0.02)
        async with PILOT:  # still going out
            await asyncio.sleep(0.02)
    return {"ship": "to"}


async def call_crew() -> int:
    """One of five crews, for 20 ms."""
    async with CREWS:  # the second crew
        await asyncio.sleep(0.02)
        return 1


@app.get("/shifts")
async def shifts() -> dict[str, int]:
    """A crew that calls another crew."""
    async with CREWS:  # the first crew
        await asyncio.sleep(0.03)
        return {"crews": 1 + await call_crew()}


@asynccontextmanager
async def lend() -> AsyncIterator[int]:
    """One of ten boats."""
    taken = await BOATS.get()
    try:
        yield taken
    finally:
        BOATS.put_nowait(taken)


@app.get("/convoys")
async def convoys() -> dict[str, int]:
    """A convoy takes two of ten boats, one after the other."""
    async with lend():
        await asyncio.sleep(0.04)
        async with lend():
            await asyncio.sleep(0.04)
    return {"boats": 2}


def weigh(anchor: int) -> int:
    """Weigh an anchor, in a thread."""
    time.sleep(0.02)
    return anchor


def moor(loop: asyncio.AbstractEventLoop) -> int:
    """Moor, from a thread that has the loop start a second one."""
    time.sleep(0.03)
    return asyncio.run_coroutine_threadsafe(asyncio.to_thread(weigh, 1), loop).result()


@app.get("/moorings")
async def moorings() -> dict[str, int]:
    """Moor a ship."""
    return {"anchor": await asyncio.to_thread(moor, asyncio.get_running_loop())}


@app.get("/canal")
async def canal() -> dict[str, str]:
    """Two locks, always in one order: 25 ms each."""
    async with CANAL:
        await asyncio.sleep(0.025)
        async with BRIDGE:
            await asyncio.sleep(0.025)
    return {"canal": "open"}


@app.get("/lines")
async def lines() -> dict[str, int]:
    """One of five lines twice, and given back in between: 30 ms each."""
    for _ in range(2):
        async with LINES:
            await asyncio.sleep(0.03)
    return {"lines": 2}


@app.get("/berths")
async def berths() -> dict[str, int]:
    """One of forty berths, for 90 ms."""
    async with BERTHS:
        await asyncio.sleep(0.09)
    return {"berth": 1}


@app.get("/tides")
async def tides() -> dict[str, int]:
    """The tides: 70 ms awaited."""
    await asyncio.sleep(0.07)
    return {"high": 4}
