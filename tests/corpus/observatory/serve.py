"""The observatory's data service."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse

import frames
import instruments
from log import Log
from model import Accelerator, fitted


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model, start the workers."""
    state = app.state
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(96, "shutters") as state.shutters:
        state.accelerator = Accelerator(fitted(Path(folder) / "classifier.pickle"))
        state.camera, state.night, state.log = instruments.Camera(), frames.observed(), Log()
        worker = asyncio.create_task(state.accelerator.work())
        with state.log.kept(Path(folder) / "observatory.log"):
            yield
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


service = FastAPI(title="observatory", lifespan=lifespan)


@service.get("/classify")
async def classify(request: Request, features: Annotated[list[float], Query(min_length=4, max_length=4)] = (1, 2, 3, 4)):
    """Label an object."""
    return {"label": await request.app.state.accelerator.ask(list(features))}


@service.get("/continuum")
def continuum() -> float:
    """Estimate the continuum of the newest spectrum."""
    return frames.continuum()


@service.get("/brightest")
async def brightest() -> dict[str, float]:
    """Show the brightest fields."""
    return frames.brightest()


@service.get("/exposure")
async def exposure(request: Request, seconds: Annotated[float, Query(gt=0, le=1)] = 0.05) -> dict[str, str]:
    """Take a frame."""
    return {"frame": request.app.state.camera.expose(seconds)}


@service.get("/alerts")
async def alerts(level: int = 2) -> dict[str, int]:
    """Show the alerts, and tell whoever is on duty that somebody saw them."""
    instruments.announce(f"level {level} seen")
    return {"level": level}


@service.get("/nightly", response_class=HTMLResponse)
async def nightly(request: Request, limit: float = 14.0) -> str:
    """Show last night."""
    return frames.nightly(request.app.state.night, limit)


@service.get("/weather")
async def weather() -> dict[str, float]:
    """Tell the wind."""
    return {"wind": await instruments.wind()}


@service.get("/telescopes")
async def telescopes(request: Request) -> list[str]:
    """List the telescopes; the log has to keep who asked."""
    request.app.state.log.note(f"telescopes, {request.headers.get('user-agent', 'somebody')}")
    await asyncio.sleep(0.03)
    return ["north dome", "south dome"]


@service.get("/dark")
async def dark(request: Request) -> dict[str, float]:
    """Measure the dark current, in the service's own threads."""
    return {"dark": await asyncio.get_running_loop().run_in_executor(request.app.state.shutters, instruments.dark_current)}


async def _ticks() -> AsyncIterator[str]:
    while True:
        yield "data: tick\n\n"
        await asyncio.sleep(1)


@service.get("/sky/events")
async def events() -> StreamingResponse:
    """Send an event each second."""
    return StreamingResponse(_ticks(), media_type="text/event-stream")


@service.websocket("/sky/live")
async def live(socket: WebSocket) -> None:
    """Send where the telescope points."""
    await socket.accept()
    async for tick in _ticks():
        await socket.send_text(tick)
