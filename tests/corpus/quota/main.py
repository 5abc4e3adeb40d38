"""A news service that protects itself, and leaves work for later."""

import asyncio
import itertools
import time
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import JSONResponse

app = FastAPI(title="Quota")

IN_WORK = {"feed": 0, "search": 0, "trends": 0}
ARTICLES = [{"id": n, "title": f"Article {n}", "words": 100 + n} for n in range(40)]
SCANNER = anyio.CapacityLimiter(5)
TURN = itertools.count()


@app.get("/feed")
async def feed() -> list[dict[str, Any]]:
    """The feed; nothing, when ten are at it already."""
    if IN_WORK["feed"] >= 10:
        return []
    IN_WORK["feed"] += 1
    try:
        await asyncio.sleep(0.12)
        return ARTICLES
    finally:
        IN_WORK["feed"] -= 1


@app.get("/search")
async def search() -> dict[str, Any]:
    """A search; "busy", with the same status, when six are at it already."""
    if IN_WORK["search"] >= 6:
        return {"status": "busy", "hits": []}
    IN_WORK["search"] += 1
    try:
        await asyncio.sleep(0.08)
        return {"status": "ok", "hits": ARTICLES[:20]}
    finally:
        IN_WORK["search"] -= 1


@app.get("/trends")
async def trends() -> list[dict[str, Any]]:
    """Trends; a short list at once, when twenty are at it already."""
    if IN_WORK["trends"] >= 20:
        return ARTICLES[:3]
    IN_WORK["trends"] += 1
    try:
        await asyncio.sleep(0.2)
        return ARTICLES
    finally:
        IN_WORK["trends"] -= 1


@app.get("/headlines")
async def headlines() -> list[dict[str, Any]]:
    """Headlines: between 28 and 40 of them, in 100 ms."""
    await asyncio.sleep(0.1)
    return ARTICLES[: 28 + next(TURN) * 7 % 13]


def mail(reader: int) -> None:
    """Send a mail: the server takes a quarter of a second."""
    time.sleep(0.25)


@app.get("/subscribe")
def subscribe(tasks: BackgroundTasks) -> dict[str, str]:
    """Answer at once, and mail afterwards."""
    tasks.add_task(mail, 1)
    return {"status": "welcome"}


def reader() -> int:
    """Who reads: looked up in 5 ms."""
    time.sleep(0.005)
    return 7


def count(who: int) -> None:
    """Count a visit: 200 ms in the statistics' database."""
    time.sleep(0.2)


@app.get("/articles")
async def articles(tasks: BackgroundTasks, who: Annotated[int, Depends(reader)]) -> JSONResponse:
    """An article, under a def dependency; the visit is counted afterwards."""
    tasks.add_task(count, who)
    return JSONResponse({"article": 1}, background=tasks)


async def note(who: int) -> None:
    """Note a visit, awaited."""
    await asyncio.sleep(0.25)


@app.get("/podcasts")
async def podcasts(tasks: BackgroundTasks) -> dict[str, int]:
    """Podcasts in 60 ms; the visit is noted by a task that is awaited."""
    tasks.add_task(note, 1)
    await asyncio.sleep(0.06)
    return {"podcasts": 3}


def scan() -> int:
    """Scan a page: 90 ms."""
    time.sleep(0.09)
    return 1


@app.get("/scans")
async def scans() -> dict[str, int]:
    """Scan, with at most five scanners."""
    return {"pages": await anyio.to_thread.run_sync(scan, limiter=SCANNER)}


@app.get("/archive")
def archive() -> dict[str, int]:
    """The archive answers a thread in 150 ms."""
    time.sleep(0.15)
    return {"boxes": 9}
