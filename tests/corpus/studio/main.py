"""The studio: tracks, sessions and the weather outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.middleware.gzip import GZipMiddleware

from library import tape
from library.tape import Machine

CITIES = {"Rome": 24, "Oslo": 9}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Switch the tape machine on and off."""
    with tape.running() as machine:
        yield {"machine": machine}


app = FastAPI(title="studio", lifespan=lifespan)
app.add_middleware(GZipMiddleware)


async def machine(request: Request) -> AsyncIterator[Machine]:
    """Lend the tape machine."""
    yield request.state.machine


@app.get("/weather")
async def weather(city: Annotated[str, Query(min_length=4)]) -> dict[str, int]:
    """Tell how warm it is in a city."""
    if city not in CITIES:
        raise HTTPException(404, "no such city")
    await asyncio.sleep(0.15)
    return {city: CITIES[city]}


@app.get("/tracks/{number}")
async def track(number: Annotated[int, Path(ge=1, le=24)], machine: Annotated[Machine, Depends(machine)]) -> dict[str, object]:
    """Find a track on the tape."""
    return {"number": number, "title": machine.title(number)}


async def _volume(channel: str) -> float:
    await asyncio.sleep(0.1)
    return len(channel) / 10


@app.get("/mixer")
async def mixer() -> list[float]:
    """Read all channels at once."""
    return await asyncio.gather(*(_volume(channel) for channel in ("voice", "drums", "bass")))


@app.get("/sessions")
async def sessions(page: int = 1) -> dict[str, object]:
    """List who plays when."""
    return {"page": page, "sessions": [{"band": "The Loops", "hour": hour} for hour in range(9, 18)]}


async def _lines() -> AsyncIterator[str]:
    for bar in range(60):
        yield f"{bar},4/4\n"
        await asyncio.sleep(0.1)


@app.get("/score.csv")
async def score() -> StreamingResponse:
    """Play the score, bar by bar."""
    return StreamingResponse(_lines(), media_type="text/csv")


@app.delete("/tracks/{number}")
async def erase(number: int, machine: Annotated[Machine, Depends(machine)]) -> dict[str, int]:
    """Erase a track."""
    machine.erase(number)
    return {"erased": number}
