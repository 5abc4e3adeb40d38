"""The antipattern app, with each mistake next to its fix; the example app of `atonce doctor`.

`uvicorn targets.antipatterns:app` serves it. The last part of a path names the mistake: `GET
/report/blocked` is the mistake, `GET /report` its fix. Waits take 0.1 s, computations about 30 ms.
Without the lesson's packages, the app has no routes that need them.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec

from fastapi import FastAPI

from targets.antipatterns import blocking_io, cpu_bound
from targets.child_processes import exit_with_parent
from targets.lesson import cpu, files


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the shared pools: threads that wait, threads that compute in C, and processes."""
    exit_with_parent()
    run = asyncio.get_running_loop().run_in_executor
    with (
        ThreadPoolExecutor(64, "waiting") as threads,
        ThreadPoolExecutor(os.cpu_count(), "hashing") as cores,
    ):
        app.state.in_threads, app.state.in_cores = partial(run, threads), partial(run, cores)
        async with files.lifespan(app), cpu.lifespan(app):
            yield


app = FastAPI(title="antipatterns", description=__doc__, lifespan=lifespan)
app.include_router(blocking_io.router)
app.include_router(cpu_bound.router)
if all(map(find_spec, ("requests", "aiohttp", "sqlalchemy", "aiosqlite"))):
    from targets.antipatterns import external_calls

    app.include_router(external_calls.router)
