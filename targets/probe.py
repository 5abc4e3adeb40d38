"""ASGI middleware that says when: each request's arrival, its handler's begin and end, its answer's departure.

Standard library only, so that it can be dropped into anybody's environment; AnyIO and FastAPI are looked up in
`sys.modules`. The first three moments travel with the answer, in the header `x-atonce-times`: seconds of
`time.perf_counter`, one clock for all processes of a host. What a header cannot carry - the departure, and every
moment of a request that was never answered - goes to a journal (`ATONCE_PROBE=<path prefix>`), one JSON line each,
joined by the client's request id (header `x-atonce-id`). The journal also samples the process ten times a second.
"""

import asyncio
import json
import os
import platform
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

clock = time.perf_counter
SAMPLE_EVERY = 0.1  # seconds between two looks at the loop and its pools
FLUSH_EVERY = 0.25  # seconds between two writes of the journal

# The visit that the running task, or the thread working for it, belongs to. Worker threads inherit the context.
current_visit: ContextVar["Visit | None"] = ContextVar("atonce_visit", default=None)


class Visit:
    """One request inside the app; all per-request state lives here. Moments are None until they happen."""

    __slots__ = ("app_end", "app_start", "handler_end", "handler_start", "id", "port", "send", "written")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.app_start = clock()
        self.handler_start: float | None = None
        self.handler_end: float | None = None
        self.app_end: float | None = None
        self.id = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"x-atonce-id"), "")
        self.port = (scope.get("client") or (None, 0))[1]  # the connection, as the server tells them apart
        self.send = send
        self.written: list[Any] | None = None

    async def depart(self, message: Message) -> None:
        """Send on, with the moments so far in the answer's head; stamp the departure of its last piece."""
        if message["type"] == "http.response.start":
            moments = ";".join("" if t is None else f"{t:.9f}" for t in self.moments()[:3])
            stamp = (b"x-atonce-times", f"{moments};{self.port}".encode())
            message["headers"] = [*message.get("headers", []), stamp]
        await self.send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.app_end = clock()

    def moments(self) -> list[float | None]:
        """app_start, handler_start, handler_end, app_end."""
        return [self.app_start, self.handler_start, self.handler_end, self.app_end]

    def timed(self, handler: Callable[..., Any], *, is_coroutine: bool) -> Callable[..., Any]:
        """The handler, stamping its begin and end - in the thread it runs in, when it is a `def`."""

        async def run_on_loop(**arguments: Any) -> Any:
            self.handler_start = clock()
            try:
                return await handler(**arguments)
            finally:
                self.handler_end = clock()

        def run_in_thread(**arguments: Any) -> Any:
            self.handler_start = clock()
            try:
                return handler(**arguments)
            finally:
                self.handler_end = clock()

        return run_on_loop if is_coroutine else run_in_thread


class Probe:
    """The middleware: holds settings only, each request gets its own `Visit`."""

    def __init__(self, app: ASGIApp, journal: str | None = None) -> None:
        self.app = app
        prefix = journal or os.environ.get("ATONCE_PROBE")
        self.journal = Journal(prefix) if prefix else None
        time_fastapi_handlers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stamp one request; start the journal when the server starts the app, close it when the app is done."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan" and self.journal:
                self.journal.start(asyncio.get_running_loop())
            try:
                await self.app(scope, receive, send)
            finally:
                if scope["type"] == "lifespan" and self.journal:
                    self.journal.stop()
            return
        visit = Visit(scope, send)
        current_visit.set(visit)
        if self.journal and visit.id:
            self.journal.watch(visit)
        await self.app(scope, receive, visit.depart)


def time_fastapi_handlers() -> None:
    """Have FastAPI call its handlers through the visit's stopwatch.

    One function of FastAPI calls every handler, and only the handler: dependencies and validation are done by then.
    An app without FastAPI keeps working; its handler moments stay empty.
    """
    routing = sys.modules.get("fastapi.routing")
    original = getattr(routing, "run_endpoint_function", None)
    if original is None or hasattr(original, "atonce_original"):
        return

    async def run_endpoint_function(*, dependant: Any, values: Any, is_coroutine: bool) -> Any:
        visit = current_visit.get()
        if visit is not None:
            dependant = SimpleNamespace(call=visit.timed(dependant.call, is_coroutine=is_coroutine))
        return await original(dependant=dependant, values=values, is_coroutine=is_coroutine)

    run_endpoint_function.atonce_original = original  # type: ignore[attr-defined]
    routing.run_endpoint_function = run_endpoint_function  # type: ignore[union-attr]


class Journal:
    """Writes visits and samples to `<prefix>-<pid>.jsonl`, from a thread, so that a held loop cannot stop it.

    The mutable state is `lines`, a deque (appending and popping are atomic), and `visits`, which the loop's thread
    fills and the writer's thread empties: a visit stays until it has left and been written.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[list[Any]] = deque()
        self.visits: deque[Visit] = deque()
        self.sizes: tuple[Any, Any] | None = None
        self.closing = threading.Event()
        self.writer = threading.Thread(target=self.write_until_closed, name="atonce-probe", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write, and to sample the loop."""
        self.writer.start()
        loop.call_later(SAMPLE_EVERY, self.sample, loop, clock() + SAMPLE_EVERY)

    def stop(self) -> None:
        """Write what is left."""
        self.closing.set()
        self.writer.join(5)

    def watch(self, visit: Visit) -> None:
        """Follow one visit until it is over."""
        self.visits.append(visit)

    def sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Look at the loop's lag and its pools, then ask to be called again. A held loop answers late: that is the lag."""
        now = clock()
        executor = getattr(loop, "_default_executor", None)
        limiter = thread_limiter()
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if sizes != self.sizes:  # an app may widen its pools at any time; the last word counts
            self.sizes = sizes
            self.lines.append(["runtime", now, runtime(loop)])
        self.lines.append(
            [
                "sample",
                now,
                now - due,
                limiter.borrowed_tokens if limiter else None,
                limiter.statistics().tasks_waiting if limiter else None,
                queued(loop),
                time.process_time(),
                resident_bytes(),
            ]
        )
        if not self.closing.is_set():
            loop.call_later(SAMPLE_EVERY, self.sample, loop, clock() + SAMPLE_EVERY)

    def write_until_closed(self) -> None:
        """The writer's thread: every quarter of a second, and once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            while True:
                last = self.closing.wait(FLUSH_EVERY)
                file.writelines(json.dumps(line) + "\n" for line in self.drain(last=last))
                file.flush()
                if last:
                    return

    def drain(self, *, last: bool) -> list[list[Any]]:
        """Everything new: samples, visits that have left, and visits still inside whose moments changed."""
        out = [self.lines.popleft() for _ in range(len(self.lines))]
        for _ in range(len(self.visits)):
            visit = self.visits.popleft()
            moments = visit.moments()
            if visit.app_end is None and not last:
                self.visits.append(visit)
            if moments != visit.written:
                visit.written = moments
                out.append(["visit", visit.id, *moments, visit.port])
        return out


def thread_limiter() -> Any:
    """AnyIO's limiter of worker threads as this app sees it, or None where AnyIO is not in use. Loop only."""
    to_thread = sys.modules.get("anyio.to_thread")
    return to_thread.current_default_thread_limiter() if to_thread else None


def queued(loop: asyncio.AbstractEventLoop) -> int | None:
    """Calls that wait for a thread of the loop's default executor; None where the loop (uvloop) does not show it."""
    if not hasattr(loop, "_default_executor"):
        return None
    queue = getattr(loop._default_executor, "_work_queue", None)  # noqa: SLF001 - asyncio offers no other way
    return queue.qsize() if queue else 0


def runtime(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """What really runs here: the loop, the HTTP parser, and the true sizes of both thread pools.

    The executor's size is asked of a throw-away executor of the same kind: the formula depends on the Python version
    (3.13 counts the CPUs the process may use, earlier ones those of the host), and the loop makes its own lazily.
    """
    executor = getattr(loop, "_default_executor", None) or ThreadPoolExecutor()
    limiter = thread_limiter()
    parsers = {"httptools": "uvicorn.protocols.http.httptools_impl", "h11": "uvicorn.protocols.http.h11_impl"}
    return {
        "pid": os.getpid(),
        "python": platform.python_version(),
        "loop": f"{type(loop).__module__}.{type(loop).__qualname__}",
        "http_parser": next((name for name, module in parsers.items() if module in sys.modules), None),
        "thread_tokens": limiter.total_tokens if limiter else None,
        "executor_size": getattr(executor, "_max_workers", None),
        "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def resident_bytes() -> int | None:
    """Memory that this process keeps in RAM, in bytes; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
