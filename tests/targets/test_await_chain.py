"""Where a coroutine waits: each way to wait, seen from outside, on both loops."""

import asyncio
import contextlib
import gc
import sys
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvloop
from fastapi import FastAPI, Request, Response

from targets.agent.await_chain import await_chains
from targets.agent.wait_objects import Waiting, identify_call, identify_wait
from targets.agent.wait_sampler import WaitSampler

HERE = __file__
Work = Callable[[], Coroutine[Any, Any, None]]


async def doze() -> None:
    """The innermost line of all that sleep."""
    await asyncio.sleep(60)


async def iterate() -> None:
    """Wait inside an async generator."""

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await doze()

    async for _ in numbers():
        pass


async def gather() -> None:
    """Two tasks."""
    await asyncio.gather(doze(), iterate())


async def limit_time() -> None:
    """A task in 3.11, the same task in 3.12."""
    await asyncio.wait_for(doze(), 60)


async def wait_for_any() -> None:
    """Tasks of its own."""
    await asyncio.wait([asyncio.create_task(doze())])


async def group() -> None:
    """AnyIO's tasks."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(doze)


async def lock() -> None:
    """A lock that another holds."""
    taken = asyncio.Lock()
    await taken.acquire()
    async with taken:
        pass


async def semaphore() -> None:
    """A semaphore of asyncio does not say how many it lets in."""
    taken = asyncio.Semaphore(1)
    await taken.acquire()
    async with taken:
        pass


async def bounded() -> None:
    """A bounded one does."""
    taken = asyncio.BoundedSemaphore(2)
    await taken.acquire()
    await taken.acquire()
    async with taken:
        pass


async def queue() -> None:
    """An empty queue."""
    await asyncio.Queue[int]().get()


async def event() -> None:
    """An event that never comes."""
    await anyio.Event().wait()


async def thread() -> None:
    """A worker thread of AnyIO's."""
    await anyio.to_thread.run_sync(time.sleep, 0.3)


async def limiter() -> None:
    """A limiter without a token left."""
    none_left = anyio.CapacityLimiter(3)
    for borrower in range(3):
        await none_left.acquire_on_behalf_of(borrower)
    await anyio.to_thread.run_sync(time.sleep, 0.0, limiter=none_left)


async def executor_thread() -> None:
    """A thread of the loop's executor."""
    await asyncio.to_thread(time.sleep, 0.3)


async def subprocess() -> None:
    """Another process."""
    code = "import time; time.sleep(0.3)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await process.wait()


CASES: dict[Work, Waiting] = {
    doze: Waiting("sleep"),
    iterate: Waiting("sleep"),
    gather: Waiting("sleep"),
    limit_time: Waiting("sleep"),
    wait_for_any: Waiting("sleep"),
    group: Waiting("sleep"),
    lock: Waiting("lock", "asyncio.Lock", 1),
    semaphore: Waiting("semaphore", "asyncio.Semaphore"),
    bounded: Waiting("semaphore", "asyncio.BoundedSemaphore", 2),
    queue: Waiting("queue", "asyncio.Queue"),
    event: Waiting("event", "asyncio.Event"),
    thread: Waiting("thread"),
    limiter: Waiting("limiter", "anyio.CapacityLimiter", 3),
    executor_thread: Waiting("thread"),
    subprocess: Waiting("subprocess"),
}


async def look_at(work: Coroutine[Any, Any, None]) -> list[tuple[list[str], Waiting]]:
    """Each branch's own functions, the innermost first, and what it waits in."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0.05)
    seen = []
    for branch in await_chains(task.get_coro()):
        own = [code.co_name for code, _ in reversed(branch.frames) if code.co_filename == HERE]
        waiting = identify_call(branch) or identify_wait(branch, lambda file: file == HERE)
        seen.append((own, waiting))
    if seen[0][1].what not in {"thread", "subprocess"}:  # those end by themselves
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return seen


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("work", CASES, ids=lambda work: work.__name__)
def test_each_way_to_wait_is_seen(work: Work, loop: Callable[[], Any]) -> None:
    """The innermost line, in whichever task it is, and the kind, name and size of what it needs."""
    with asyncio.Runner(loop_factory=loop) as runner:
        seen = runner.run(look_at(work()))
    assert {waiting for _, waiting in seen} == {CASES[work]}
    innermost = {own[0] for own, _ in seen}
    expected: dict[Work, set[str]] = {gather: {"doze"}, iterate: {"doze"}}
    sleeps = CASES[work] == Waiting("sleep")
    assert innermost == expected.get(work, {"doze"} if sleeps else {work.__name__})
    assert all(own[-1] == work.__name__ for own, _ in seen)
    assert len(seen) == (2 if work is gather else 1)


def test_a_call_in_an_executors_queue_waits_for_a_thread() -> None:
    """One thread, two calls."""

    async def both() -> list[Waiting]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            tasks = [asyncio.create_task(executor_thread()) for _ in range(2)]
            await asyncio.sleep(0.05)
            chains = [chain for task in tasks for chain in await_chains(task.get_coro())]
            seen = [identify_call(chain) or Waiting("") for chain in chains]
            await asyncio.gather(*tasks)
        return seen

    assert asyncio.run(both()) == [Waiting("thread"), Waiting("executor")]


def test_what_runs_waits_for_nothing() -> None:
    """A task that has not begun, or computes, has no future at the end of its chain."""

    async def own() -> list[Waiting | None]:
        task = asyncio.create_task(doze())
        seen = [identify_call(chain) for chain in await_chains(task.get_coro())]
        task.cancel()
        return seen

    assert asyncio.run(own()) == [Waiting("running")]


async def call(app: FastAPI) -> None:
    """One request, as a server would pass it on."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await app(scope, receive, send)


def middleware_app() -> FastAPI:
    """Two middlewares, of which each makes a task of what lies below."""
    app = FastAPI()

    @app.middleware("http")
    async def outer(request: Request, call_next: Callable[..., Any]) -> Response:
        return await call_next(request)  # type: ignore[no-any-return]

    @app.middleware("http")
    async def inner(request: Request, call_next: Callable[..., Any]) -> Response:
        return await call_next(request)  # type: ignore[no-any-return]

    @app.get("/")
    async def route() -> None:
        await doze()

    return app


def test_a_request_behind_middleware_waits_where_its_route_does() -> None:
    """Its own task stands in `call_next`; the route is in a task of a task."""
    [(own, waiting)] = asyncio.run(look_at(call(middleware_app())))
    assert own[:2] == ["doze", "route"]
    assert {"outer", "inner"} < set(own)
    assert waiting == Waiting("sleep")


class Thing:
    """An object of the app."""


def test_a_look_keeps_no_object_of_the_app(tmp_path: Path) -> None:
    """Neither a local of a coroutine that waits, nor the coroutine, nor what it waits in."""
    sampler = WaitSampler(tmp_path / "app-1-1.jsonl", Path(HERE).parent, list)

    async def waiting(thing: Thing) -> None:
        await bounded()
        del thing

    async def main() -> list[Any]:
        thing = Thing()
        coroutine = waiting(thing)
        kept = [weakref.ref(thing), weakref.ref(coroutine)]
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0.01)
        sampler.requests = lambda: [task.get_coro()]
        for _ in range(3):
            sampler._look_at_requests()  # noqa: SLF001
        sampler.requests = list
        del thing, coroutine
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return kept

    gc.disable()  # nothing may need a collection either
    try:
        kept = asyncio.run(main())
        assert [reference() for reference in kept] == [None, None]
    finally:
        gc.enable()
