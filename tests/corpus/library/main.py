"""A town library: its catalogue, its members and what they have borrowed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI

import consortium
import storage
from routers import books, loans, members


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Fill the catalogue, and connect to the other libraries of the region."""
    storage.fill()
    async with consortium.running() as port:
        app.state.consortium = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession(app.state.consortium, connector=aiohttp.TCPConnector(limit=0)) as http:
            app.state.http = http
            yield


app = FastAPI(title="Town library", lifespan=lifespan)
app.include_router(books.router)
app.include_router(members.router)
app.include_router(loans.router)


@app.get("/opening-hours")
def opening_hours() -> dict[str, str]:
    """Tell when the doors are open."""
    return {"weekdays": "9-19", "saturday": "10-14"}
