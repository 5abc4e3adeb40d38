"""The newsroom's API."""

import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import articles, feeds, internal
from desk import agency
from desk.wire import Wire


class State(TypedDict):
    """What every request can reach."""

    agency: httpx.AsyncClient
    searchers: ThreadPoolExecutor
    wire: Wire


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    """Connect to the news agency."""
    async with agency.running() as port, Wire.connected(port) as wire:
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30) as client:
            with ThreadPoolExecutor(3, thread_name_prefix="search") as searchers:
                yield {"agency": client, "searchers": searchers, "wire": wire}


class Numbered:
    """Gives every answer a number, so that readers can complain about it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; add a header to what comes back."""

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-number", uuid.uuid4().hex.encode())]
            await send(message)

        await self.app(scope, receive, numbered)


app = FastAPI(title="Newsroom", lifespan=lifespan)
app.add_middleware(Numbered)
app.include_router(articles.router, prefix="/news")
app.include_router(feeds.router, prefix="/news")
app.include_router(internal.router, prefix="/internal")
