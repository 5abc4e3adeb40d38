"""A small annex on a small machine: eight threads must do."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, FastAPI


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Allow eight threads."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 8
    yield


app = FastAPI(title="Annex", lifespan=lifespan)


@app.get("/reports")
def reports() -> dict[str, int]:
    """A report: 100 ms."""
    time.sleep(0.1)
    return {"reports": 4}


def tenant() -> str:
    """The tenant, looked up in a thread: 70 ms."""
    time.sleep(0.07)
    return "annex"


@app.get("/tenants")
async def tenants(name: Annotated[str, Depends(tenant)]) -> dict[str, str]:
    """A tenant."""
    await asyncio.sleep(0.03)
    return {"tenant": name}


@app.get("/notices")
async def notices() -> dict[str, int]:
    """Notices: 100 ms awaited."""
    await asyncio.sleep(0.1)
    return {"notices": 2}


@app.get("/version")
def version() -> dict[str, str]:
    """The version, at once."""
    return {"version": "1.4"}
