"""A stadium's turnstiles: who may pass, and who waits for whom."""

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from typing import Annotated

import anyio.from_thread
import anyio.to_thread
from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

app = FastAPI(title="Turnstile")

GATE = threading.Semaphore(4)
CLERK = threading.Lock()
RADIOS: "queue.Queue[int]" = queue.Queue()
for number in range(12):
    RADIOS.put(number)
PRINTERS: "queue.Queue[int]" = queue.Queue()
for number in range(15):
    PRINTERS.put(number)
BOOTHS = asyncio.Semaphore(4)

ENGINE = create_engine(
    "sqlite:///file:turnstile?mode=memory&cache=shared&uri=true",
    connect_args={"check_same_thread": False},
    poolclass=QueuePool,
    pool_size=5,
    max_overflow=10,
)
ANCHOR = ENGINE.raw_connection().driver_connection  # keeps the database in memory
ENGINE.dispose(close=False)


@app.get("/gates")
async def gates() -> dict[str, int]:
    """Pass one of four gates; each takes 50 ms."""
    GATE.acquire()
    try:
        await asyncio.sleep(0.05)
    finally:
        GATE.release()
    return {"gate": 1}


@app.get("/clerk")
async def clerk() -> dict[str, str]:
    """Ask the one clerk, who takes 30 ms."""
    with CLERK:
        await asyncio.sleep(0.03)
    return {"clerk": "free"}


@app.get("/radios")
async def radios() -> dict[str, int]:
    """Borrow one of twelve radios for 80 ms."""
    radio = RADIOS.get()
    try:
        await asyncio.sleep(0.08)
    finally:
        RADIOS.put(radio)
    return {"radio": radio}


def look_up(ticket: int) -> int:
    """Look a ticket up, from a thread."""
    time.sleep(0.01)
    return ticket


async def confirm(ticket: int) -> int:
    """Confirm a ticket: the loop asks another thread."""
    await asyncio.sleep(0.02)
    return await anyio.to_thread.run_sync(look_up, ticket)


@app.get("/relay")
def relay() -> dict[str, int]:
    """From a thread to the loop, and from there to a thread again."""
    time.sleep(0.02)
    return {"ticket": anyio.from_thread.run(confirm, 7)}


def session() -> Iterator[Session]:
    """A session, as in the framework's tutorial."""
    with Session(ENGINE) as opened:
        yield opened


def visitor(opened: Annotated[Session, Depends(session)]) -> int:
    """Who asks: takes a connection, which the session keeps."""
    return int(opened.execute(text("select 42")).scalar_one())


@app.get("/ledger")
def ledger(
    opened: Annotated[Session, Depends(session)], who: Annotated[int, Depends(visitor)]
) -> dict[str, int]:
    """A visitor's entries, over the session's connection."""
    time.sleep(0.06)
    return {"visitor": who, "entries": int(opened.execute(text("select 3")).scalar_one())}


def printer() -> Iterator[int]:
    """One of fifteen printers."""
    taken = PRINTERS.get()
    try:
        yield taken
    finally:
        PRINTERS.put(taken)


@app.get("/passes")
def passes(taken: Annotated[int, Depends(printer)]) -> dict[str, int]:
    """Print a pass for 100 ms."""
    time.sleep(0.1)
    return {"printer": taken}


async def weather() -> int:
    """What the loop knows: 100 ms."""
    await asyncio.sleep(0.1)
    return 21


@app.get("/weather")
def forecast() -> dict[str, int]:
    """From a thread to the loop and back: no second thread."""
    return {"degrees": anyio.from_thread.run(weather)}


@app.get("/accounts")
def accounts() -> dict[str, int]:
    """A query that takes its connection in the route and gives it back there."""
    with Session(ENGINE) as opened:
        found = int(opened.execute(text("select 5")).scalar_one())
        time.sleep(0.08)
    return {"accounts": found}


@app.get("/booths")
async def booths() -> dict[str, int]:
    """Use one of four booths for 60 ms, awaited."""
    async with BOOTHS:
        await asyncio.sleep(0.06)
    return {"booth": 1}


@app.get("/replay")
async def replay() -> dict[str, str]:
    """Wait 2.5 s for the video referee."""
    await asyncio.sleep(2.5)
    return {"goal": "yes"}


@app.get("/score")
async def score() -> dict[str, int]:
    """The score."""
    return {"home": 2, "guests": 1}
