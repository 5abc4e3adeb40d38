"""A harbour: nothing takes as long as the time before. It awaits, takes threads and places, holds the loop, and computes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import chances
from fastapi import FastAPI


def reckon(seconds: float) -> int:
    """Compute for so long."""
    rounds, until = 0, time.thread_time() + seconds
    while time.thread_time() < until:
        rounds += 1
    return rounds


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Twelve radios, handed out one by one."""
    app.state.radios = asyncio.Queue()
    for number in range(12):
        app.state.radios.put_nowait(number)
    yield


app = FastAPI(title="Harbour", lifespan=lifespan)
PILOTS, CRANES, LOCKS = asyncio.Semaphore(5), asyncio.Semaphore(5), asyncio.Semaphore(12)


@app.get("/tides")
async def tides() -> dict[str, str]:
    """Ask the gauge."""
    await asyncio.sleep(chances.stormy())
    return {"tide": "high"}


@app.get("/berths")
async def berths() -> dict[str, int]:
    """Ask the register."""
    await asyncio.sleep(chances.mixed())
    return {"free": 3}


@app.get("/weather")
async def weather() -> dict[str, str]:
    """Ask the coast guard."""
    await asyncio.sleep(chances.breezy())
    return {"wind": "west"}


@app.get("/arrivals")
async def arrivals() -> dict[str, int]:
    """Ask every ship."""
    await asyncio.sleep(chances.gusty())
    return {"ships": 7}


@app.get("/tugs")
async def tugs() -> dict[str, int]:
    """Call the tugs."""
    await asyncio.sleep(chances.memoryless())
    return {"tugs": 2}


@app.get("/customs")
async def customs() -> dict[str, bool]:
    """Ask the customs."""
    await asyncio.sleep(chances.rarely_slow())
    return {"cleared": True}


@app.get("/manifests")
def manifests() -> dict[str, int]:
    """Read a manifest, in a thread."""
    time.sleep(chances.mixed())
    return {"boxes": 40}


@app.get("/crews")
def crews() -> dict[str, int]:
    """Ask an agency, in a thread."""
    time.sleep(chances.gusty(0.2))
    return {"hands": 12}


@app.get("/buoys")
def buoys() -> dict[str, int]:
    """Read a buoy, in a thread and quickly."""
    time.sleep(chances.memoryless(0.003))
    return {"buoys": 4}


@app.get("/lamps")
def lamps() -> dict[str, int]:
    """Read a lamp, in a thread and quickly."""
    time.sleep(chances.breezy(0.005))
    return {"lamps": 9}


@app.get("/pilots")
async def pilots() -> dict[str, bool]:
    """One of five pilots."""
    async with PILOTS:
        await asyncio.sleep(chances.mixed())
    return {"aboard": True}


@app.get("/cranes")
async def cranes() -> dict[str, bool]:
    """One of five cranes."""
    async with CRANES:
        await asyncio.sleep(chances.breezy())
    return {"lifted": True}


@app.get("/locks")
async def locks() -> dict[str, bool]:
    """One of twelve chambers."""
    async with LOCKS:
        await asyncio.sleep(chances.memoryless())
    return {"through": True}


@app.get("/radios")
async def radios() -> dict[str, int]:
    """One of twelve radios."""
    radio = await app.state.radios.get()
    try:
        await asyncio.sleep(chances.stormy())
    finally:
        app.state.radios.put_nowait(radio)
    return {"radio": radio}


@app.get("/charts")
async def charts() -> dict[str, int]:
    """Unfold a chart, in one of the executor's threads."""
    await asyncio.to_thread(time.sleep, chances.mixed())
    return {"sheets": 2}


@app.get("/scales")
async def scales() -> dict[str, int]:
    """Weigh a box, and have everybody wait for the needle."""
    time.sleep(chances.memoryless(0.03))
    return {"kilos": 900}


@app.get("/moorings")
async def moorings() -> dict[str, int]:
    """Find a mooring; the book sticks in one of fifty."""
    await asyncio.sleep(chances.breezy(0.02))
    if chances.DICE.random() < 0.02:
        time.sleep(0.3)
    return {"mooring": 5}


@app.get("/fees")
async def fees() -> dict[str, int]:
    """Reckon a fee, on the loop."""
    return {"fee": reckon(chances.memoryless(0.025))}


@app.get("/receipts")
async def receipts() -> dict[str, int]:
    """Reckon a little, on the loop: honest work."""
    return {"sum": reckon(chances.breezy(0.003))}


@app.get("/routes")
def routes() -> dict[str, int]:
    """Reckon a route, in a thread."""
    return {"miles": reckon(chances.memoryless(0.025))}
