"""The same computation inline in `async def`, in a thread, and in a process pool; pure Python keeps the GIL, hashing lets it go.

The amount of work is fixed by `rounds`, never by time, and the answer depends on all of it: equal
answers, equal work.
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

Rounds = Annotated[
    int,
    Query(
        gt=0,
        le=5_000_000,
        description="How much work, in rounds: the same takes as long everywhere.",
    ),
]

router = APIRouter(tags=["computing"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open a pool with a worker for each core that this process may use, close it at the end; a worker starts when it is needed.

    Started anew rather than forked: a fork would carry off the threads' locks and the clients'
    connections.
    """
    size = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ProcessPoolExecutor(size, get_context("spawn"), init_pool_worker) as pool:
        app.state.in_pool, app.state.pool_size = (
            partial(asyncio.get_running_loop().run_in_executor, pool),
            size,
        )
        yield


@router.get("/cpu/inline", response_model=None)
async def inline(rounds: Rounds = 500_000) -> dict[str, int]:
    """Compute inside `async def`: nothing else runs meanwhile. 1 at once, and everybody waits."""
    return {"result": compute_chain(rounds)}


@router.get("/cpu/thread", response_model=None)
async def thread(rounds: Rounds = 500_000) -> dict[str, int]:
    """Compute in a thread: the loop takes turns with it, 5 ms at a time, but one interpreter computes one thing at once."""
    return {"result": await asyncio.to_thread(compute_chain, rounds)}


@router.get("/cpu/pool", response_model=None)
async def pool(request: Request, rounds: Rounds = 500_000) -> dict[str, int]:
    """Compute in a process pool: other interpreters, other cores. As many at once as there are."""
    return {"result": await request.app.state.in_pool(compute_chain, rounds)}


@router.get("/cpu/workers", response_model=None)
async def workers(request: Request) -> dict[str, int]:
    """How many workers the pool has, once each has answered, and how nice they are."""
    niceness_by_pid: dict[int, int] = {}
    while len(niceness_by_pid) < request.app.state.pool_size:
        niceness_by_pid.update(
            await asyncio.gather(
                *(
                    request.app.state.in_pool(identify_worker)
                    for _ in range(request.app.state.pool_size)
                )
            )
        )
    return {"workers": len(niceness_by_pid), "nice": max(niceness_by_pid.values())}


@router.get("/cpu/hash/inline", response_model=None)
async def hash_inline(rounds: Rounds = 250_000) -> dict[str, str]:
    """Hash a password inside `async def`: C code that lets the GIL go, but the loop waits for it all the same."""
    return {"result": hash_password(rounds)}


@router.get("/cpu/hash/thread", response_model=None)
async def hash_thread(rounds: Rounds = 250_000) -> dict[str, str]:
    """Hash a password in a thread: it computes without the GIL, beside the loop."""
    return {"result": await asyncio.to_thread(hash_password, rounds)}
