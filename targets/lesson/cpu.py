"""The same computation inline in `async def`, in a thread, and in a process pool.

Pure Python keeps the GIL, hashing releases it. `rounds` sets the amount of work, and the answer
depends on all of it: equal answers, equal work.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import get_context
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request

from targets.child_processes import compute_chain, hash_password, identify_worker, init_pool_worker

ROUNDS_HELP = "Rounds of work; a round takes as long on every route."
Rounds = Annotated[int, Query(gt=0, le=5_000_000, description=ROUNDS_HELP)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open a process pool with a worker for each core of this process, and close it."""
    size = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # spawned, as a fork would copy the threads' locks and the clients' connections
    with ProcessPoolExecutor(size, get_context("spawn"), init_pool_worker) as pool:
        app.state.in_pool = partial(asyncio.get_running_loop().run_in_executor, pool)
        app.state.pool_size = size
        yield


router = APIRouter(tags=["computing"], lifespan=lifespan)


@router.get("/cpu/inline", response_model=None)
async def inline(rounds: Rounds = 500_000) -> dict[str, int]:
    """Compute inside `async def`: nothing else runs. 1 at once, and all others wait."""
    return {"result": compute_chain(rounds)}


@router.get("/cpu/thread", response_model=None)
async def thread(rounds: Rounds = 500_000) -> dict[str, int]:
    """Compute in a thread: it takes turns of 5 ms with the loop. Still 1 at once, by the GIL."""
    return {"result": await asyncio.to_thread(compute_chain, rounds)}


@router.get("/cpu/pool", response_model=None)
async def pool(request: Request, rounds: Rounds = 500_000) -> dict[str, int]:
    """Compute in a process pool, on other cores: as many at once as there are cores."""
    return {"result": await request.app.state.in_pool(compute_chain, rounds)}


@router.get("/cpu/workers", response_model=None)
async def workers(request: Request) -> dict[str, int]:
    """Return the number of the pool's workers, once each has answered, and their niceness."""
    niceness_by_pid: dict[int, int] = {}
    size = request.app.state.pool_size
    while len(niceness_by_pid) < size:
        calls = [request.app.state.in_pool(identify_worker) for _ in range(size)]
        niceness_by_pid.update(await asyncio.gather(*calls))
    return {"workers": len(niceness_by_pid), "nice": max(niceness_by_pid.values())}


@router.get("/cpu/hash/inline", response_model=None)
async def hash_inline(rounds: Rounds = 250_000) -> dict[str, str]:
    """Hash a password inside `async def`: C code releases the GIL, but the loop waits."""
    return {"result": hash_password(rounds)}


@router.get("/cpu/hash/thread", response_model=None)
async def hash_thread(rounds: Rounds = 250_000) -> dict[str, str]:
    """Hash a password in a thread: it computes without the GIL while the loop runs."""
    return {"result": await asyncio.to_thread(hash_password, rounds)}
