"""ASGI middleware that records when each request arrives, its handler runs, and its answer leaves.

The answer's header `x-atonce-times` has these four moments: the arrival in nanoseconds of
`time.perf_counter_ns`, one clock for all processes of a host, and the others in nanoseconds since
then; 0 is unknown. What a header cannot carry goes to a trace log (`ATONCE_PROBE=<prefix>`), with
the client's request id (header `x-atonce-id`).

It passes the app's messages on at once, in order, and changes none of the app's objects. Each of
its microseconds slows the app; `python -m benchmarks.probe` measures them.
"""

import asyncio
import functools
import inspect
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from .trace_log import NANOS_PER_SECOND, TraceLog

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

clock_ns = time.perf_counter_ns
_MAX_BODY_DELAY = 100_000  # nanoseconds after its head within which a body has followed it at once

# the trace of the running task's request; worker threads inherit the context
current_trace: ContextVar["RequestTrace | None"] = ContextVar("atonce_visit", default=None)


class RequestTrace:
    """One request inside the app. Moments are 0 until they happen.

    `app_end` is the moment before the app sends its last piece with content: after it the client
    may read on already. A head with a length carries its own moment instead: the body mostly
    follows within microseconds, else the trace log has it.
    """

    __slots__ = (
        *("app_end", "app_start", "client", "coroutine", "handler_end", "handler_start"),
        *("header_app_end", "headers", "is_head", "needs_thread", "send", "written_line"),
    )

    def __init__(self, scope: Scope, send: Send) -> None:
        self.app_start = clock_ns()
        self.handler_start = self.handler_end = self.app_end = 0
        self.header_app_end = 0  # the departure, as the head carried it
        self.needs_thread = False  # whether a `def` handler is about to go to a thread
        self.headers, self.client = scope.get("headers", ()), scope.get("client")
        self.is_head = scope.get("method") == "HEAD"  # the server sends no body
        self.send = send
        self.written_line: dict[str, Any] | None = None
        self.coroutine: Any = None  # of the app, while it answers: where its chain of awaits begins

    async def send_message(self, message: Message) -> None:
        """Pass a message on. It is a coroutine function, as an app may make a task of it."""
        kind = message["type"]
        is_start = kind == "http.response.start"
        if is_start:
            message = self.add_times_header(message)
        if self.is_head:
            self.app_end = self.app_end or self.header_app_end or clock_ns()
        elif not is_start and (
            kind != "http.response.body" or message.get("body") or not self.app_end
        ):
            self.app_end = clock_ns()
        await self.send(message)

    def add_times_header(self, head: Message) -> Message:
        """Return a copy of the head with all moments so far; the app may use its own again."""
        headers = [*head.get("headers", ())]
        start, begin, end, out = self.app_start, self.handler_start, self.handler_end, 0
        for name, _ in headers:
            if name == b"content-length":
                out = self.header_app_end = clock_ns()
                break
        port = self.client[1] if self.client else 0
        times = (start, begin and begin - start, end and end - start, out and out - start, port)
        headers.append((b"x-atonce-times", b"%d;%d;%d;%d;%d" % times))
        return {**head, "headers": headers}

    @property
    def is_in_header(self) -> bool:
        """Whether the head carried all moments."""
        return 0 < self.header_app_end <= self.app_end <= self.header_app_end + _MAX_BODY_DELAY

    def to_line(self) -> dict[str, Any] | None:
        """Return the trace log's line, its times in seconds; None without a request id."""
        name = next((value for key, value in self.headers if key == b"x-atonce-id"), b"")
        if not name:
            return None
        times = {
            key: getattr(self, key) / NANOS_PER_SECOND or None
            for key in ("app_start", "handler_start", "handler_end", "app_end")
        }
        peer = (self.client or (None, 0))[1]
        return {"kind": "visit", "request": name.decode("latin-1"), **times, "peer": peer}

    def time_handler(self, handler: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a `def` handler, and record its begin and end in its own thread."""
        self.handler_start = clock_ns()
        try:
            return handler(*args, **kwargs)
        finally:
            self.handler_end = clock_ns()


async def send_json(send: Send, body: dict[str, Any], status: int = 200) -> None:
    """Send a complete answer."""
    content = json.dumps(body, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Probe:
    """The middleware; each request has its own `RequestTrace`."""

    def __init__(self, app: ASGIApp, trace_prefix: str | None = None) -> None:
        self.app = app
        prefix = trace_prefix or os.environ.get("ATONCE_PROBE")
        self.trace_log = TraceLog(prefix) if prefix else None
        time_fastapi_handlers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Record one request; return what the app returns, as the server may complain of it."""
        if scope["type"] != "http":
            return await self._handle_other_scope(scope, receive, send)
        trace = RequestTrace(scope, send)
        current_trace.set(trace)
        trace_log = self.trace_log
        if trace_log is not None:
            trace_log.active.add(trace)
        try:
            trace.coroutine = self.app(scope, receive, trace.send_message)
            return await trace.coroutine
        finally:
            trace.coroutine = None
            if trace_log is not None:
                trace_log.active.discard(trace)
                if not trace.is_in_header:
                    trace_log.finished.append(trace)

    async def _handle_other_scope(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Start the trace log when the server starts the app; close it when the app is done."""
        if scope["type"] == "lifespan" and self.trace_log:
            self.trace_log.start(asyncio.get_running_loop())
        try:
            return await self.app(scope, receive, send)
        finally:
            if scope["type"] == "lifespan" and self.trace_log:
                self.trace_log.stop()


def time_fastapi_handlers() -> None:
    """Make FastAPI run its handlers through the request's trace.

    Both functions that it replaces are private, so they pass all arguments on unchanged. If a
    version of FastAPI does not say which handlers are `async`, those are not timed.
    """
    routing: Any = sys.modules.get("fastapi.routing")
    run_handler: Any = getattr(routing, "run_endpoint_function", None)
    run_blocking: Any = getattr(routing, "run_in_threadpool", None)
    if not inspect.iscoroutinefunction(run_handler) or hasattr(run_handler, "atonce_original"):
        return

    @functools.wraps(run_handler)
    async def run_endpoint_function(*args: Any, **kwargs: Any) -> Any:
        trace, is_async = current_trace.get(), kwargs.get("is_coroutine")
        if trace is None or trace.handler_start:  # an app that calls itself is timed as a whole
            return await run_handler(*args, **kwargs)
        if is_async:
            trace.handler_start = clock_ns()
        trace.needs_thread = not is_async
        try:
            return await run_handler(*args, **kwargs)
        finally:
            trace.needs_thread = False
            if is_async:
                trace.handler_end = clock_ns()

    async def run_in_threadpool(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        trace = current_trace.get()
        if trace is None or not trace.needs_thread:
            return await run_blocking(function, *args, **kwargs)
        trace.needs_thread = False
        return await run_blocking(trace.time_handler, function, *args, **kwargs)

    run_endpoint_function.atonce_original = run_handler  # type: ignore[attr-defined]
    routing.run_endpoint_function = run_endpoint_function
    if inspect.iscoroutinefunction(run_blocking):
        routing.run_in_threadpool = functools.wraps(run_blocking)(run_in_threadpool)
