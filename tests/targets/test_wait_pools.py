"""Pools of real libraries, all of whose places are taken: name, size and line are seen."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from targets.agent.await_chain import await_chains
from targets.agent.loop_thread import read_stack
from targets.agent.wait_objects import Waiting, identify_thread, identify_wait

HERE = __file__


def is_ours(file: str) -> bool:
    """Whether a file is the user's code: only the one you read."""
    return file == HERE


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """It accepts connections and never answers."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, out: writers.append(out), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in writers:
            writer.close()


async def last_of(count: int, work: Callable[[], Coroutine[Any, Any, Any]]) -> Waiting:
    """What the last of so many waits in, after the others have taken what there is."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(work()))
        await asyncio.sleep(0.05)
    seen = [identify_wait(branch, is_ours) for branch in await_chains(tasks[-1].get_coro())]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(seen) == 1
    return seen[0]


async def use_httpx() -> tuple[Waiting, Waiting]:
    """Two connections, three requests; and the first, which waits for its answer."""
    limits = httpx.Limits(max_connections=2)
    async with silent_server() as url, httpx.AsyncClient(limits=limits, timeout=None) as client:  # noqa: S113 - it is cancelled
        return await last_of(3, lambda: client.get(url)), await last_of(1, lambda: client.get(url))


async def use_aiohttp() -> tuple[Waiting, Waiting]:
    """The limit per host counts where it is set."""
    connector = aiohttp.TCPConnector(limit=50, limit_per_host=2)
    async with silent_server() as url, aiohttp.ClientSession(connector=connector) as client:

        async def get() -> None:
            async with client.get(url):
                pass

        return await last_of(3, get), await last_of(1, get)


async def use_sqlalchemy() -> tuple[Waiting, Waiting]:
    """A pool of one and an overflow of one; its core runs in a greenlet."""
    engine = create_async_engine(
        "sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=1
    )

    async def hold() -> None:
        async with AsyncSession(engine) as session:
            await session.connection()
            await asyncio.sleep(60)

    seen = await last_of(3, hold), await last_of(1, hold)
    await engine.dispose()
    return seen


@pytest.mark.parametrize(
    ("use", "pool", "other"),
    [
        (use_httpx, Waiting("pool", "httpcore.AsyncConnectionPool", 2), "socket"),
        (use_aiohttp, Waiting("pool", "aiohttp.TCPConnector", 2), "future"),
        (use_sqlalchemy, Waiting("pool", "sqlalchemy.AsyncAdaptedQueuePool", 2), "sleep"),
    ],
)
def test_who_waits_for_a_place_is_told_from_who_has_one(
    use: Callable[[], Coroutine[Any, Any, tuple[Waiting, Waiting]]], pool: Waiting, other: str
) -> None:
    """Its size is read from the object."""
    waiting, served = asyncio.run(use())
    assert waiting == pool
    assert served.what == other


def thread_waits(work: Callable[[], Any], release: Callable[[], Any]) -> Waiting:
    """What a thread waits in that does this, until it is released."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        thread.join(0.1)
        assert thread.ident
        return identify_thread(read_stack(thread.ident), is_ours)
    finally:
        release()
        thread.join()


def test_a_thread_before_a_pool_is_seen_by_its_stack(tmp_path: Path) -> None:
    """Its objects are not read: no size."""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'x.db'}", poolclass=QueuePool, pool_size=1, max_overflow=0
    )
    taken = engine.connect()

    def connect() -> None:
        with engine.connect():
            pass

    assert thread_waits(connect, taken.close) == Waiting("pool", "sqlalchemy.QueuePool")
    engine.dispose()


def test_a_thread_before_a_semaphore_a_queue_or_an_event() -> None:
    """All by the standard library's functions; its own lines are no wait."""
    semaphore = threading.Semaphore(0)
    assert thread_waits(semaphore.acquire, semaphore.release).what == "semaphore"
    jobs: queue.Queue[int] = queue.Queue()
    assert thread_waits(jobs.get, lambda: jobs.put(1)).what == "queue"
    event = threading.Event()
    assert thread_waits(event.wait, event.set).what == "event"
    lock = threading.Lock()
    lock.acquire()

    def hold() -> None:
        with lock:
            pass

    assert thread_waits(hold, lock.release) == Waiting("thread")
