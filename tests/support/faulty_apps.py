"""Target apps with a planted fault, for the driver's tests: the bundled app, one route replaced."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.base import RequestResponseEndpoint
from starlette.types import ASGIApp, Receive, Scope, Send

from targets import neighbours
from targets.agent.probe import Probe
from targets.lesson import unavailable_router, waiting
from targets.lesson.waiting import Seconds


def app_with(path: str, handler: Any) -> FastAPI:
    """The bundled variants, with `path` answered by `handler`."""
    app, faulty = FastAPI(), APIRouter()
    faulty.get(path, response_model=None)(handler)
    app.add_middleware(Probe)
    for router in (faulty, waiting.router, neighbours.router):
        app.include_router(router)
    return app


async def blocks(seconds: Seconds = 0.1) -> dict[str, float]:
    """A good route made blocking."""
    time.sleep(seconds)  # noqa: ASYNC251 - planted
    return {"waited": seconds}


async def fails(seconds: Seconds = 0.1) -> dict[str, float]:
    """An error for every request."""
    raise HTTPException(500, f"planted after {seconds}")


async def lies(seconds: Seconds = 0.1) -> dict[str, float]:
    """Answers at once and says that it has waited."""
    return {"waited": seconds}


async def dies(seconds: Seconds = 0.1) -> dict[str, float]:
    """Serves a while, then takes the whole process down."""
    await asyncio.sleep(seconds)
    asked.append(1)
    if len(asked) > 200:
        os._exit(9)
    return {"waited": seconds}


async def often_wrong(seconds: Seconds = 0.1) -> dict[str, float]:
    """Right on the first, polite requests; later a wrong body now and then."""
    await asyncio.sleep(seconds)
    asked.append(1)
    return {"waited": seconds if len(asked) < 10 or len(asked) % 5 else -1.0}


class Counter:
    """Counts every request but its own, and in a file at once: the count survives the app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.count = 0
        self.file = (
            Path(os.environ["ATONCE_TEST_ARRIVALS"])
            if "ATONCE_TEST_ARRIVALS" in os.environ
            else None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, then pass on."""
        if scope["type"] == "http" and scope["path"] == "/counted":
            await JSONResponse(self.count)(scope, receive, send)
            return
        if scope["type"] == "http":
            self.count += 1
            if self.file:
                name = dict(scope["headers"]).get(b"x-atonce-id", b"").decode()
                with self.file.open("a", encoding="utf-8") as file:
                    file.write(f"{time.perf_counter()} {name}\n")
        await self.app(scope, receive, send)


asked: list[int] = []

blocking_app = app_with("/async", blocks)
failing_app = app_with("/async", fails)
lying_app = app_with("/async", lies)
dying_app = app_with("/async", dies)
wrong_app = app_with("/async", often_wrong)
closed_app = app_with("/async", blocks)
closed_app.include_router(unavailable_router("/aiohttp", "aiohttp"))
counting_app = app_with("/slow", fails)
counting_app.add_middleware(Counter)
lumpy_app = app_with("/held", blocks)


@lumpy_app.middleware("http")
async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Does nothing: with it, a held loop answers all that wait at one moment."""
    return await call_next(request)
