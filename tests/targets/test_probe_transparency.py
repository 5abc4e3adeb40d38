"""An app under the probe does and sees what it does without: the same messages, in the same order.

Every app of the table is asked three times, bare and wrapped. What its server receives, and what
the app notices, must be the same but for the one header that the probe adds.
"""

import asyncio
import contextlib
import copy
import functools
import inspect
import itertools
import os
import sys
from collections import UserDict
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from fastapi import routing as fastapi_routing

from targets.agent.entrypoint import AgentApp, AgentConfig
from targets.agent.probe import Probe, RequestTrace, current_trace, time_fastapi_handlers
from tests.targets.test_probe import call

STAMP = b"x-atonce-times"
HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
OPEN = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"ok"}
Say = Callable[[Any], None]
App = Callable[[Any, Any, Any, Say], Awaitable[Any]]


def http(**more: Any) -> dict[str, Any]:
    """A request's scope."""
    defaults = {"path": "/", "raw_path": b"/", "query_string": b"", "client": ("127.0.0.1", 4711)}
    return {
        "type": "http",
        "method": "GET",
        "headers": [(b"x-atonce-id", b"w-1")],
        **defaults,
        **more,
    }


def sends(*messages: dict[str, Any]) -> App:
    """An app that sends these, one after another."""

    async def app(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
        for message in messages:
            await send(dict(message))

    return app


async def keeps_a_constant(_scope: Any, _receive: Any, send: Any, say: Say) -> None:
    """Its messages are constants of the module."""
    await send(CONSTANT)
    await send(BODY)
    say(copy.deepcopy(CONSTANT))


CONSTANT = copy.deepcopy(HEAD)


async def gives_headers_once(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """ASGI asks for an iterable, and a generator is one."""
    await send({**OPEN, "headers": (header for header in ((b"a", b"1"), (b"b", b"2")))})
    await send(BODY)


async def gives_other_mappings(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """Lists for pairs, capitals, a mapping of its own."""
    await send(UserDict(HEAD, headers=[[b"Content-Length", b"2"], [b"x-y", b"z"]]))
    await send(UserDict(BODY))


async def pauses_after_its_head(_scope: Any, _receive: Any, send: Any, say: Say) -> None:
    """To let the client know that it has begun."""
    await send(dict(HEAD))
    say("begins to work")
    await asyncio.sleep(0)
    say("works")
    await send(BODY)


async def uses_a_message_again(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """What was sent is its own again, to change as it likes."""
    message: dict[str, Any] = {**HEAD, "headers": [(b"content-length", b"4")]}
    await send(message)
    message["status"] = 500
    message["headers"].append((b"late", b"1"))
    message = {**BODY, "more_body": True}
    await send(message)
    message.update(body=b"ay", more_body=False)
    await send(message)


async def sends_by_anyio(_scope: Any, _receive: Any, send: Any, say: Say) -> None:
    """AnyIO wants a coroutine from what it starts."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, dict(HEAD))
    say("head")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, BODY)


async def sends_from_a_thread(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """It needs a coroutine to hand over to the loop."""
    loop = asyncio.get_running_loop()
    for message in (dict(HEAD), BODY):
        send_it = functools.partial(asyncio.run_coroutine_threadsafe, send(message), loop)
        await asyncio.wrap_future(await asyncio.to_thread(send_it))


def sends_through(how: Callable[[Any], Awaitable[Any]]) -> App:
    """An app that does not await `send` itself."""

    async def app(_scope: Any, receive: Any, send: Any, say: Say) -> None:
        say(await how(receive()))
        await how(send(dict(HEAD)))
        say("head")
        await how(send({**BODY, "body": b"o", "more_body": True}))
        await how(send({**BODY, "body": b"k"}))
        say(inspect.iscoroutinefunction(send))

    return app


async def in_task_group(coroutine: Any) -> Any:
    """By the standard library's group."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(coroutine)
    return task.result()


async def breaks_off(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """After its head."""
    await send(dict(HEAD))
    raise KeyError("app")


async def breaks_off_first(_scope: Any, _receive: Any, _send: Any, _say: Say) -> None:
    """Before anything."""
    raise KeyError("app")


async def breaks_off_late(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """After a part of its body."""
    await send(dict(HEAD))
    await send({**BODY, "body": b"o", "more_body": True})
    raise KeyError("app")


async def gives_up(_scope: Any, _receive: Any, send: Any, _say: Say) -> None:
    """Cancelled from outside while it works."""
    await send(dict(HEAD))
    raise asyncio.CancelledError


async def returns_something(_scope: Any, _receive: Any, send: Any, _say: Say) -> str:
    """It returns a value, of which servers complain."""
    await send(dict(HEAD))
    await send(BODY)
    return "done"


async def looks_at_its_scope(scope: Any, receive: Any, send: Any, say: Say) -> None:
    """It also changes it, as routers do."""
    say(copy.deepcopy({key: scope[key] for key in sorted(scope)}))
    scope["state"]["seen"] += 1
    scope["headers"] = None
    scope["client"] = None
    say([await receive(), await receive()])
    await send(dict(HEAD))
    await send(BODY)


async def meets_refusals(_scope: Any, _receive: Any, send: Any, say: Say) -> None:
    """The client is gone: the server says so where the app asks."""
    for message in (dict(HEAD), BODY):
        try:
            await send(message)
        except OSError as error:
            say(f"{message['type']}: {error}")


def extension(kind: str, **more: Any) -> dict[str, Any]:
    """A message of one of ASGI's extensions."""
    return {"type": f"http.response.{kind}", **more}


TRAILED = {**OPEN, "trailers": True}
TRAILERS = extension("trailers", headers=[(b"sum", b"1")], more_trailers=False)
HINT = extension("early_hint", links=[b"</a.css>; rel=preload"])
COPY = extension("zerocopysend", file=7, offset=0, count=1, more_body=True)
APPS: dict[str, App] = {
    "plain": sends(HEAD, BODY),
    "streams": sends(OPEN, {**BODY, "more_body": True}, BODY, {**BODY, "body": b""}),
    "streams what it has measured": sends(HEAD, {**BODY, "body": b"o", "more_body": True}, BODY),
    "an empty piece last": sends(HEAD, {**BODY, "more_body": True}, {**BODY, "body": b""}),
    "no headers": sends({"type": "http.response.start", "status": 204}, {**BODY, "body": b""}),
    "two heads": sends(HEAD, HEAD, BODY),
    "no head": sends(BODY),
    "head only": sends(HEAD),
    "nothing": sends(),
    "early hints": sends(HINT, HINT, HEAD, BODY),
    "informational": sends(extension("informational", status=103, headers=[]), HEAD, BODY),
    "push": sends(extension("push", path="/a.css", headers=[]), HEAD, BODY),
    "debug": sends(extension("debug", info={"template": "a"}), HEAD, BODY),
    "debug in between": sends(HEAD, extension("debug", info={}), BODY),
    "trailers": sends(TRAILED, BODY, TRAILERS),
    "pathsend": sends(HEAD, extension("pathsend", path="/srv/a")),
    "zero copy": sends(HEAD, COPY, {**COPY, "more_body": False}),
    "unknown messages": sends({"type": "x.y"}, HEAD, {"type": "x.z", "body": 1}, BODY),
    "await it": sends_through(lambda coroutine: coroutine),
    "create_task": sends_through(asyncio.create_task),
    "ensure_future": sends_through(asyncio.ensure_future),
    "shield": sends_through(asyncio.shield),
    "gather": sends_through(asyncio.gather),
    "wait_for": sends_through(functools.partial(asyncio.wait_for, timeout=5)),
    "TaskGroup": sends_through(in_task_group),
}
WRITTEN: tuple[App, ...] = (
    *(keeps_a_constant, gives_headers_once, gives_other_mappings, pauses_after_its_head),
    *(uses_a_message_again, sends_by_anyio, sends_from_a_thread, breaks_off, breaks_off_first),
    *(breaks_off_late, gives_up, returns_something, looks_at_its_scope, meets_refusals),
)
APPS |= {getattr(app, "__name__", ""): app for app in WRITTEN}
ORDER = AgentConfig("a", factory=False, home="", folder=os.devnull, process="a", secret="")
WRAPS: dict[str, Callable[[Any], Any]] = {
    "probe": Probe,
    "probe and agent": lambda app: Probe(AgentApp(app, ORDER)),
}


REQUEST = {"type": "http.request", "body": b"", "more_body": False}


async def traced(
    app: App,
    wrap: Callable[[Any], Any],
    scope: dict[str, Any],
    incoming: Any = (REQUEST,),
) -> list[Any]:
    """What happens when an app is asked three times, in order: messages, words, ends."""
    trace: list[Any] = []
    received = itertools.cycle(incoming)
    refuses = app is meets_refusals

    async def inner(scope: Any, receive: Any, send: Any) -> Any:
        return await app(scope, receive, send, lambda word: trace.append(("said", word)))

    async def receive() -> dict[str, Any]:
        return dict(next(received))

    async def send(message: Any) -> None:
        copied = dict(message)
        if "headers" in copied:
            copied["headers"] = [tuple(pair) for pair in copied["headers"]]
        trace.append(("sent", copy.deepcopy(copied)))
        await asyncio.sleep(0)
        if refuses:
            raise OSError("gone")

    whole = wrap(inner)
    for _ in range(3):
        try:
            trace.append(("returned", await whole(scope, receive, send)))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it raises
            trace.append(("raised", repr(error)))
    return trace


def unstamped(trace: list[Any]) -> tuple[list[Any], list[int]]:
    """Without the probe's header; and how many of it each head of an answer had."""
    cleaned, stamps = [], []
    for kind, what in trace:
        content = what
        if kind == "sent" and what["type"] == "http.response.start":
            stamps.append(sum(name == STAMP for name, _ in what["headers"]))
            content = {
                **what,
                "headers": [header for header in what["headers"] if header[0] != STAMP],
            }
        cleaned.append((kind, content))
    return cleaned, stamps


def with_headers(trace: list[Any]) -> list[Any]:
    """A head without headers is one with none."""
    return [
        (kind, {**content, "headers": content.get("headers", [])})
        if kind == "sent" and content["type"] == "http.response.start"
        else (kind, content)
        for kind, content in trace
    ]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", APPS)
def test_a_server_receives_what_it_receives_without_the_probe(name: str, wrap: str) -> None:
    """The app goes on when it does without, and meets what it meets without."""
    bare = asyncio.run(traced(APPS[name], lambda app: app, http(state={"seen": 0})))
    wrapped = asyncio.run(traced(APPS[name], WRAPS[wrap], http(state={"seen": 0})))
    probed, stamps = unstamped(wrapped)
    assert probed == with_headers(bare)
    assert set(stamps) <= {1}


async def talks(_scope: Any, receive: Any, send: Any, say: Say) -> None:
    """A WebSocket."""
    say(await receive())
    for kind in ("accept", "send", "close"):
        await send({"type": f"websocket.{kind}"})


DENIAL = {**HEAD, "type": "websocket.http.response.start"}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", ["websocket", "lamp"])
@pytest.mark.parametrize("app", [talks, sends(DENIAL), breaks_off_first])
def test_what_is_no_http_passes_as_it_is(app: App, kind: str, wrap: str) -> None:
    """No header, no stamp, no other message."""
    scope = {"type": kind, "path": "/", "headers": []}
    bare = asyncio.run(traced(app, lambda inner: inner, scope))
    assert bare == asyncio.run(traced(app, WRAPS[wrap], scope))


def lives(*words: str, ends: Exception | None = None) -> App:
    """An app that says these words in its lifespan, one for each that it hears, and ends so."""

    async def app(scope: Any, receive: Any, send: Any, say: Say) -> None:
        scope["state"]["lamps"] = 1
        for word in words:
            say(await receive())
            await send({"type": f"lifespan.{word}", "message": "no lamp"})
        if ends:
            raise ends

    return app


STARTED, STOPPED = "startup.complete", "shutdown.complete"
LIVES = {
    "lives": lives(STARTED, STOPPED),
    "fails to start": lives("startup.failed", ends=OSError("no lamp")),
    "fails to start and returns": lives("startup.failed"),
    "fails to stop": lives(STARTED, "shutdown.failed", ends=OSError("no lamp")),
    "dies while it lives": lives(STARTED, ends=KeyError("lamp")),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", LIVES)
def test_a_lifespan_passes_as_it_is(name: str, wrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words, its end, and what it keeps in its scope."""
    heard = [{"type": f"lifespan.{word}"} for word in ("startup", "shutdown")]
    scopes: list[dict[str, Any]] = [{"type": "lifespan", "state": {}} for _ in range(2)]

    async def stay_outside(_: AgentApp) -> None:
        """Neither described nor watched."""

    monkeypatch.setattr(AgentApp, "on_started", stay_outside)
    bare = asyncio.run(traced(LIVES[name], lambda inner: inner, scopes[0], heard))
    assert bare == asyncio.run(traced(LIVES[name], WRAPS[wrap], scopes[1], heard))
    assert scopes[0] == scopes[1]


Endpoint = Callable[..., Any]


def routing(run: Endpoint, *, has_pool: bool = True) -> ModuleType:
    """A made-up `fastapi.routing` of another version."""
    module = ModuleType("fastapi.routing")
    module.run_endpoint_function = run  # type: ignore[attr-defined]

    async def run_in_threadpool(func: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(func, *args, **kwargs)

    if has_pool:
        module.run_in_threadpool = run_in_threadpool  # type: ignore[attr-defined]
    return module


async def of_today(*, dependant: Any, values: Any, is_coroutine: bool) -> Any:
    """As FastAPI has had it for years."""
    routing: Any = sys.modules["fastapi.routing"]
    if is_coroutine:
        return await dependant.call(**values)
    return await routing.run_in_threadpool(dependant.call, **values)


async def of_tomorrow(*, dependant: Any, values: Any, is_coroutine: bool, span: Any = None) -> Any:
    """With another keyword."""
    assert span == "span"
    return await of_today(dependant=dependant, values=values, is_coroutine=is_coroutine)


async def of_yesterday(dependant: Any, values: Any, is_coroutine: bool) -> Any:  # noqa: FBT001
    """By position."""
    return await of_today(dependant=dependant, values=values, is_coroutine=is_coroutine)


async def of_another_kind(dependant: Any, values: Any) -> Any:
    """It finds out by itself what it calls."""
    is_coroutine = inspect.iscoroutinefunction(dependant.call)
    return await of_today(dependant=dependant, values=values, is_coroutine=is_coroutine)


def of_no_kind(dependant: Any, values: Any) -> Any:
    """No coroutine function at all."""
    return of_another_kind(dependant, values)


async def awaiting(lamp: int) -> int:
    """An `async def` handler."""
    return lamp + 1


def blocking(lamp: int) -> int:
    """A `def` handler."""
    return lamp + 1


class Dependant:
    """What is called, and more that another version may look at."""

    def __init__(self, handler: Endpoint) -> None:
        self.call, self.path, self.scopes = handler, "/x", ("a",)


Call = Callable[[Any, Any, Dependant, dict[str, int]], Any]
CALLS: dict[str, tuple[Endpoint, Call]] = {
    "today": (
        of_today,
        lambda run, is_async, dependant, values: run(
            dependant=dependant, values=values, is_coroutine=is_async
        ),
    ),
    "a new keyword": (
        of_tomorrow,
        lambda run, is_async, dependant, values: run(
            dependant=dependant,
            values=values,
            is_coroutine=is_async,
            span="span",
        ),
    ),
    "by position": (
        of_yesterday,
        lambda run, is_async, dependant, values: run(dependant, values, is_async),
    ),
    "without a word on its kind": (
        of_another_kind,
        lambda run, _, dependant, values: run(dependant=dependant, values=values),
    ),
    "no coroutine function": (of_no_kind, lambda run, _, dependant, values: run(dependant, values)),
}


@contextlib.contextmanager
def visiting() -> Iterator[RequestTrace]:
    """A request in progress."""

    async def send(_message: Any) -> None:
        """Drop the message."""

    visit = RequestTrace(http(), send)
    token = current_trace.set(visit)
    yield visit
    current_trace.reset(token)


@pytest.mark.parametrize("has_pool", [True, False])
@pytest.mark.parametrize("handler", [awaiting, blocking])
@pytest.mark.parametrize("version", CALLS)
def test_another_fastapi_keeps_calling_its_handlers(
    version: str,
    handler: Endpoint,
    has_pool: bool,  # noqa: FBT001 - a column
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments are passed on as they came; an unknown signature is not timed, and no error."""
    run, ask = CALLS[version]
    seen: list[Dependant] = []

    @functools.wraps(run)
    async def spied(*args: Any, **kwargs: Any) -> Any:
        seen.append(args[0] if args else kwargs["dependant"])
        return await run(*args, **kwargs)

    module = routing(run if version == "no coroutine function" else spied, has_pool=has_pool)
    monkeypatch.setitem(sys.modules, "fastapi.routing", module)
    is_async = handler is awaiting
    needs_pool = not is_async
    time_fastapi_handlers()
    dependant: Any = Dependant(handler)

    async def ask_it() -> Any:
        return await ask(module.run_endpoint_function, is_async, dependant, {"lamp": 1})

    with visiting() as visit:
        if needs_pool and not has_pool:
            with pytest.raises(AttributeError):
                asyncio.run(ask_it())
            return
        assert asyncio.run(ask_it()) == 2
    assert all(item is dependant for item in seen)
    known = version in {"today", "a new keyword"}
    assert bool(visit.handler_start) is bool(visit.handler_end)
    assert bool(visit.handler_end) or not known
    assert visit.handler_end >= visit.handler_start


@pytest.mark.parametrize("handler", [awaiting, blocking])
def test_a_handler_keeps_its_name_for_those_who_trace_it(
    handler: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FastAPI's own telemetry names the function that it is given to run."""
    named: list[Any] = []
    original = getattr(fastapi_routing, "_operation", None)
    if original is None:
        pytest.skip("this FastAPI has no telemetry")

    def operation(*, name: str, function: Any = None) -> Any:
        named.append((name, function))
        return original(name=name, function=function)

    monkeypatch.setattr(fastapi_routing, "_operation", operation)
    monkeypatch.setattr("fastapi.telemetry._api._operation", operation)
    app = FastAPI()
    app.get("/{lamp}", response_model=None)(handler)
    asyncio.run(call(Probe(app), "/1"))
    assert {function for name, function in named if name == "endpoint"} == {handler}


def test_a_route_that_asks_its_own_app_is_timed_as_a_whole() -> None:
    """The inner handler is not the one that the client asked for."""
    app = FastAPI()
    moments: list[tuple[int, int]] = []

    @app.get("/inner", response_model=None)
    async def inner() -> int:
        return 1

    @app.get("/outer", response_model=None)
    async def outer() -> int:
        visit = current_trace.get()
        assert visit
        before = visit.handler_start
        await call(app, "/inner")
        moments.append((before, visit.handler_start))
        moments.append((visit.handler_end, 0))
        return 2

    asyncio.run(call(Probe(app), "/outer"))
    assert moments[0][0] == moments[0][1]
    assert moments[1] == (0, 0)
