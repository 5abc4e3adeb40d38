"""ASGI middleware that says when: each request's arrival, its handler's begin and end, its answer's departure.

Standard library only, so that it can be dropped into anybody's environment; AnyIO and FastAPI are looked up in
`sys.modules`. The four moments travel with the answer, in the header `x-atonce-times`: the arrival in nanoseconds of
`time.perf_counter_ns`, one clock for all processes of a host, and nanoseconds from there on to the others; 0 for what is
not known. What a header cannot carry - the departure of a streamed answer, and every moment of a request that was never
answered - goes to a journal (`ATONCE_PROBE=<path prefix>`), one JSON line each in seconds, joined by the client's request
id (header `x-atonce-id`). The journal also samples the process ten times a second. Every microsecond here is taken from the
app under test (`python -m tests.bench_probe` measures how many): hence the plain functions that hand on awaitables.
"""

import asyncio
import contextlib
import json
import os
import platform
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, MutableMapping
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

clock = time.perf_counter_ns  # whole numbers are quicker to write than fractions
seconds = time.perf_counter  # the same clock
NANO = 1e9
SAMPLE_EVERY = 0.1  # seconds between two looks at the loop and its pools
FLUSH_EVERY = 0.25  # seconds between two writes of the journal

# The visit that the running task, or the thread working for it, belongs to. Worker threads inherit the context.
current_visit: ContextVar["Visit | None"] = ContextVar("atonce_visit", default=None)


class Done:
    """To be awaited where there is nothing to do."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


DONE = Done()


class Visit:
    """One request inside the app; all per-request state lives here. Moments are 0 until they happen.

    The head of an answer of announced length waits for the body, which follows at once: only then is the departure known
    that the head is to tell. `app_end` is the moment before the last piece is handed to the server, never after: the
    client may have read it by then.
    """

    __slots__ = ("app_end", "app_start", "handler_end", "handler_start", "head", "is_told", "scope", "send", "written")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.app_start = clock()
        self.handler_start = self.handler_end = self.app_end = 0
        self.head: Message | None = None
        self.is_told = False  # whether an answer carried all moments
        self.scope, self.send = scope, send
        self.written: list[Any] | None = None

    def depart(self, message: Message) -> Awaitable[None]:
        """Send on; keep back the head of an answer whose length is known."""
        kind = message["type"]
        if kind == "http.response.start":
            for name, _ in message.get("headers", ()):
                if name == b"content-length":
                    self.head = message
                    return DONE
            return self.leave(message, None)
        if kind == "http.response.body" and not message.get("more_body"):
            self.app_end = clock()
        if self.head is None:
            return self.send(message)
        head, self.head = self.head, None
        return self.leave(head, message)

    async def leave(self, head: Message, piece: Message | None) -> None:
        """Send a head with all moments so far, and the piece it waited for."""
        start, begin, end, out = self.app_start, self.handler_start, self.handler_end, self.app_end
        client = self.scope.get("client")
        moments = (start, begin and begin - start, end and end - start, out and out - start, client[1] if client else 0)
        head["headers"] = [*head.get("headers", ()), (b"x-atonce-times", b"%d;%d;%d;%d;%d" % moments)]
        await self.send(head)
        if piece is not None:
            self.is_told = out > 0
            await self.send(piece)

    def words(self) -> list[Any] | None:
        """As the journal writes it, in seconds and None for what has not happened; None where the client gave no name."""
        name = next((value.decode("latin-1") for key, value in self.scope["headers"] if key == b"x-atonce-id"), "")
        moments = (self.app_start, self.handler_start, self.handler_end, self.app_end)
        port = (self.scope.get("client") or (None, 0))[1]
        return ["visit", name, *(one / NANO if one else None for one in moments), port] if name else None

    def in_thread(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """A `def` handler, stamping its begin and end in the thread it runs in."""

        def run(**arguments: Any) -> Any:
            self.handler_start = clock()
            try:
                return handler(**arguments)
            finally:
                self.handler_end = clock()

        return run


class Probe:
    """The middleware: holds settings only, each request gets its own `Visit`."""

    def __init__(self, app: ASGIApp, journal: str | None = None) -> None:
        self.app = app
        prefix = journal or os.environ.get("ATONCE_PROBE")
        self.journal = Journal(prefix) if prefix else None
        time_fastapi_handlers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stamp one request."""
        if scope["type"] != "http":
            await self.other(scope, receive, send)
            return
        visit = Visit(scope, send)
        current_visit.set(visit)
        journal = self.journal
        if journal is not None:
            journal.inside.add(visit)
        try:
            await self.app(scope, receive, visit.depart)
        finally:
            if journal is not None:
                journal.inside.discard(visit)
                if not visit.is_told:
                    journal.left.append(visit)
            if visit.head is not None:  # the app broke off: what it has sent is sent
                await send(visit.head)

    async def other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the journal when the server starts the app, close it when the app is done."""
        if scope["type"] == "lifespan" and self.journal:
            self.journal.start(asyncio.get_running_loop())
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "lifespan" and self.journal:
                self.journal.stop()


def time_fastapi_handlers() -> None:
    """Have FastAPI call its handlers through the visit's stopwatch: one function of it calls every handler and nothing else."""
    routing = sys.modules.get("fastapi.routing")
    original = getattr(routing, "run_endpoint_function", None)
    if original is None or hasattr(original, "atonce_original"):
        return

    async def run_endpoint_function(*, dependant: Any, values: Any, is_coroutine: bool) -> Any:
        visit = current_visit.get()
        if visit and not is_coroutine:
            dependant = SimpleNamespace(call=visit.in_thread(dependant.call))
        if visit is None or not is_coroutine:
            return await original(dependant=dependant, values=values, is_coroutine=is_coroutine)
        visit.handler_start = clock()
        try:
            return await original(dependant=dependant, values=values, is_coroutine=is_coroutine)
        finally:
            visit.handler_end = clock()

    run_endpoint_function.atonce_original = original  # type: ignore[attr-defined]
    routing.run_endpoint_function = run_endpoint_function  # type: ignore[union-attr]


class Journal:
    """Writes visits and samples to `<prefix>-<pid>.jsonl`, from a thread, so that a held loop cannot stop it.

    The mutable state: `lines` and `left` (a deque's ends are atomic), `kin`, and `inside`, which only the loop's thread changes;
    the writer's thread reads a copy (atomic as well). An answer tells its own moments, so a visit is written when it stays
    for long, or when it has left without telling all.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(f"{prefix}-{os.getpid()}.jsonl")
        self.lines: deque[list[Any]] = deque()
        self.inside: set[Visit] = set()
        self.left: deque[Visit] = deque()
        self.sizes: tuple[Any, Any] | None = None
        self.kin: float | None = None  # until a sample has told it
        self.closing = threading.Event()
        self.writer = threading.Thread(target=self.write_until_closed, name="atonce-probe", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write, and to sample the loop."""
        self.writer.start()
        loop.call_later(SAMPLE_EVERY, self.sample, loop, seconds() + SAMPLE_EVERY)

    def stop(self) -> None:
        """Write what is left."""
        self.closing.set()
        self.writer.join(5)

    def sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Look at the loop's lag and its pools, then ask to be called again. A held loop answers late: that is the lag."""
        now = seconds()
        executor = getattr(loop, "_default_executor", None)
        limiter = thread_limiter()
        sizes = (limiter and limiter.total_tokens, getattr(executor, "_max_workers", None))
        if sizes != self.sizes:  # an app may widen its pools at any time; the last word counts
            self.sizes = sizes
            self.lines.append(["runtime", now, runtime(loop)])
        threads = (limiter.borrowed_tokens, limiter.statistics().tasks_waiting) if limiter else (None, None)
        kin, self.kin = self.kin, None
        self.lines.append(["sample", now, now - due, *threads, queued(loop), time.process_time(), resident_bytes(), kin])
        if not self.closing.is_set():
            loop.call_later(SAMPLE_EVERY, self.sample, loop, seconds() + SAMPLE_EVERY)

    def write_until_closed(self) -> None:
        """The writer's thread: every quarter of a second, and once more at the end."""
        with self.path.open("a", encoding="utf-8") as file:
            while True:
                last = self.closing.wait(FLUSH_EVERY)
                if sys.platform == "linux" and seconds() % 1 < FLUSH_EVERY:  # once a second: it takes half a millisecond
                    self.kin = kin_cpu()
                file.writelines(json.dumps(line) + "\n" for line in self.drain(last=last))
                file.flush()
                if last:
                    return

    def drain(self, *, last: bool) -> list[list[Any]]:
        """Everything new: samples, visits that have left untold, and those inside for long whose moments changed."""
        out = [self.lines.popleft() for _ in range(len(self.lines))]
        stays = [visit for visit in list(self.inside) if last or clock() - visit.app_start > FLUSH_EVERY * NANO]
        for visit in [*stays, *(self.left.popleft() for _ in range(len(self.left)))]:
            words = visit.words()
            if words and words != visit.written:
                visit.written = words
                out.append(words)
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
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def kin_cpu() -> float:
    """CPU seconds of all processes that descend from this one, dead ones included; as Linux tells, in ticks of 10 ms."""
    kin, ticks = {os.getpid()}, 0
    younger = (pid for one in os.listdir("/proc") if one.isdigit() and (pid := int(one)) > os.getpid())  # noqa: PTH208 - quick
    for pid in sorted(younger):  # a child's number is above its parent's
        with contextlib.suppress(OSError):  # gone meanwhile
            words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if int(words[1]) in kin:
                kin.add(pid)
                ticks += sum(map(int, words[11:15]))  # its own, and that of its dead children
    return sum(os.times()[2:4]) + ticks / os.sysconf("SC_CLK_TCK")
