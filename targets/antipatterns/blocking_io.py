"""Waits on the event loop, in threads, awaited, in a queue, for ever, and a forgotten `await`."""

import asyncio
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, Request

from targets.lesson.files import content_digest, slow_file

WAIT_SECONDS = 0.1
PRINTER_COMMAND = ("sleep", str(WAIT_SECONDS))
LOCK, THREADS_LOCK = asyncio.Lock(), threading.Lock()
FEW_PLACES, MANY_PLACES = asyncio.Semaphore(4), asyncio.Semaphore(64)
SURGEONS, TEAMS = asyncio.Semaphore(4), asyncio.Semaphore(64)

router = APIRouter()


def write_chapter() -> str:
    """Write one chapter, two calls away from the route."""
    time.sleep(WAIT_SECONDS)
    return "all is well"


def write_report() -> str:
    """Write a report."""
    return f"{write_chapter()}, the end"


@router.get("/report/blocked")
async def report_blocked() -> str:
    """Sleep on the event loop, two calls further down."""
    return write_report()


@router.get("/report")
async def report() -> str:
    """Await the sleep."""
    await asyncio.sleep(WAIT_SECONDS)
    return "all is well, the end"


def read_picture(folder: Path) -> dict[str, Any]:
    """Read a file from a slow disk."""
    with slow_file(folder, WAIT_SECONDS) as path, path.open("rb") as file:
        return content_digest(file.read())


@router.get("/xray/blocked")
async def xray_blocked(request: Request) -> dict[str, Any]:
    """Read on the event loop."""
    return read_picture(request.app.state.slow_files)


@router.get("/xray/executor")
async def xray_executor(request: Request) -> dict[str, Any]:
    """Read in a thread of the loop's executor, which has cpus + 4."""
    return await asyncio.to_thread(read_picture, request.app.state.slow_files)


@router.get("/xray")
async def xray(request: Request) -> dict[str, Any]:
    """Read in a thread of a pool of the app's own size."""
    return await request.app.state.in_threads(  # type: ignore[no-any-return]
        read_picture, request.app.state.slow_files
    )


def run_printer() -> int:
    """Run another program to its end."""
    return subprocess.run(PRINTER_COMMAND, check=True).returncode


@router.get("/letter/blocked")
async def letter_blocked() -> int:
    """Wait for the printer on the event loop."""
    return run_printer()


@router.get("/letter")
async def letter(request: Request) -> int:
    """Wait in a thread: uvloop's `create_subprocess_exec` would take some 12 ms on the loop."""
    return await request.app.state.in_threads(run_printer)  # type: ignore[no-any-return]


def save_stock() -> str:
    """Save the stock."""
    time.sleep(WAIT_SECONDS)
    return "saved"


def save_and_unlock() -> str:
    """Save, then release the lock."""
    try:
        return save_stock()
    finally:
        THREADS_LOCK.release()


@router.get("/stock/blocked")
async def stock_blocked(request: Request) -> str:
    """Block the event loop until a thread has saved and releases the lock."""
    THREADS_LOCK.acquire()
    return await request.app.state.in_threads(save_and_unlock)  # type: ignore[no-any-return]


@router.get("/stock")
async def stock(request: Request) -> str:
    """Await the lock, keep it only while memory changes, and save after it."""
    async with LOCK:
        request.app.state.count = getattr(request.app.state, "count", 0) + 1
    return await request.app.state.in_threads(save_stock)  # type: ignore[no-any-return]


@router.get("/beds/queued")
async def beds_queued() -> str:
    """Serve four at once; all others queue."""
    async with FEW_PLACES:
        return await report()


@router.get("/beds")
async def beds() -> str:
    """Serve as many at once as there are users."""
    async with MANY_PLACES:
        return await report()


@router.get("/bill/stuck")
def bill_stuck() -> str:
    """Keep a thread until the loop has a second one: 40 requests at once wait for ever."""
    return anyio.from_thread.run(anyio.to_thread.run_sync, save_stock)


@router.get("/bill")
async def bill(request: Request) -> str:
    """Take a thread only for what waits in it."""
    return await request.app.state.in_threads(save_stock)  # type: ignore[no-any-return]


@router.get("/surgery/stuck")
async def surgery_stuck() -> str:
    """Keep one of four surgeons while waiting for another one: four requests wait for ever."""
    async with SURGEONS:
        await asyncio.sleep(WAIT_SECONDS / 2)
        async with SURGEONS:
            await asyncio.sleep(WAIT_SECONDS / 2)
    return "healed"


@router.get("/surgery")
async def surgery() -> str:
    """Take one team for the whole request."""
    async with TEAMS:
        await asyncio.sleep(WAIT_SECONDS)
    return "healed"


@router.get("/dose/forgotten")
async def dose_forgotten() -> dict[str, str]:
    """Answer with a coroutine: the `await` is forgotten."""
    return {"dose": report()}  # type: ignore[dict-item]  # the mistake itself


@router.get("/dose")
async def dose() -> dict[str, str]:
    """Await the coroutine."""
    return {"dose": await report()}
