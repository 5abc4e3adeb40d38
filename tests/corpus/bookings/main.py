"""Bookings of a small chain of hotels."""

import asyncio
import functools
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pms
from api import rooms
from api.schemas import agenda
from connections import Connection, Pool
from fastapi import FastAPI
from occupancy import Occupancy

EXECUTOR_THREADS = 8


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what all requests share."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(EXECUTOR_THREADS))
    with pms.started() as port, Connection(port) as views:
        async with Pool(port, 10) as pool, Pool(port, 100) as wide_pool:
            app.state.connect = functools.partial(Connection, port)
            app.state.pool, app.state.wide_pool, app.state.views = pool, wide_pool, views
            partner.state.pool = wide_pool
            app.state.occupancy = Occupancy()
            app.state.agenda = agenda(7000)
            yield


app = FastAPI(title="Bookings", lifespan=lifespan)
app.include_router(rooms.router)
partner = FastAPI(title="Bookings for partners")
app.mount("/partner", partner)


@partner.get("/rates")
async def rates() -> dict[str, float]:
    """Rates of this season and the next."""
    now = await partner.state.pool.ask("RATES now")
    later = await partner.state.pool.ask("RATES later")
    return {"now": now["standard"], "later": later["standard"] * 1.1}


@app.get("/ping")
def ping() -> str:
    """Answer."""
    return "pong"


@app.get("/internal/ready", include_in_schema=False)
async def ready() -> dict[str, bool]:
    """Tell the balancer that we are ready."""
    return {"ready": True}
