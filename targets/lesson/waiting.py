"""The same wait four ways: `async def`, `def`, broken `async def` and `asyncio.to_thread`.

Each route waits `seconds` and returns that; they differ only in what stands still. With
`response_model=None` and no dependency each takes one thread token or none. Only `behind-await`
has a dependency, to show what a timer before it measures.
"""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query

SECONDS_HELP = "Duration of the work in seconds: above 0, at most 5."
Seconds = Annotated[float, Query(gt=0, le=5, allow_inf_nan=False, description=SECONDS_HELP)]

router = APIRouter(tags=["variants"])


@router.get("/async", response_model=None)
async def async_(seconds: Seconds = 0.1) -> dict[str, float]:
    """Await: the request sleeps, the event loop goes on. Any number at once."""
    await asyncio.sleep(seconds)
    return {"waited": seconds}


@router.get("/sync", response_model=None)
def sync(seconds: Seconds = 0.1) -> dict[str, float]:
    """Block, but in `def`: FastAPI runs it in a thread pool. 40 at once; the 41st waits."""
    time.sleep(seconds)
    return {"waited": seconds}


@router.get("/broken-async", response_model=None)
async def broken_async(seconds: Seconds = 0.1) -> dict[str, float]:
    """Block inside `async def`: the loop stands still, and every request with it. 1 at once."""
    # the mistake itself: nothing else runs in this process until it returns
    time.sleep(seconds)  # noqa: ASYNC251
    return {"waited": seconds}


async def suspend_once() -> None:
    """Suspend once, like any dependency or middleware that awaits."""
    await asyncio.sleep(0)


@router.get("/broken-async/behind-await", response_model=None, dependencies=[Depends(suspend_once)])
async def broken_async_behind_await(seconds: Seconds = 0.1) -> dict[str, float]:
    """Block behind a dependency that awaits. 1 at once, and the server's own timer sees it."""
    time.sleep(seconds)  # noqa: ASYNC251 - the same mistake
    return {"waited": seconds}


@router.get("/to-thread", response_model=None)
async def to_thread(seconds: Seconds = 0.1) -> dict[str, float]:
    """Block in a thread of the loop's executor: cpus + 4 at once (at most 32); the next waits."""
    await asyncio.to_thread(time.sleep, seconds)
    return {"waited": seconds}
