"""A cellar's thermometers: imports slowly, and a worker thread outlives every shutdown."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

time.sleep(8)  # the calibration table
READINGS = {"cellar": 11.5}


def read_for_ever() -> None:
    """Read the thermometers; nobody ever tells this thread to stop."""
    while True:
        time.sleep(0.5)
        READINGS["cellar"] = 11.5


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Start the reader, and join it at the end - on the loop, and it never ends."""
    reader = threading.Thread(target=read_for_ever)
    reader.start()
    yield
    reader.join()


app = FastAPI(title="Stubborn", lifespan=lifespan)


@app.get("/readings")
async def readings() -> dict[str, float]:
    """All readings, at once."""
    return dict(READINGS)


@app.get("/history")
async def history() -> dict[str, int]:
    """The history: 110 ms awaited."""
    await asyncio.sleep(0.11)
    return {"days": 30}


@app.get("/alarms")
def alarms() -> dict[str, int]:
    """Alarms: a thread waits 90 ms."""
    time.sleep(0.09)
    return {"alarms": 0}
