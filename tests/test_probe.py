"""The probe around small ASGI apps, without a server: moments, header, journal, runtime."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from fastapi import FastAPI

from targets.probe import Journal, Probe, current_visit, resident_bytes


def call(app: Any, path: str = "/", headers: list[tuple[bytes, bytes]] | None = None) -> Coroutine[Any, Any, list[dict[str, Any]]]:
    """Ask an ASGI app once; all messages it sends."""

    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers or [], "client": ("127.0.0.1", 4711), "server": ("127.0.0.1", 80), "scheme": "http",
        }  # fmt: skip
        await app(scope, receive, send)
        return sent

    return ask()


def moments(messages: list[dict[str, Any]]) -> list[str]:
    """The probe's header, split."""
    head = next(message for message in messages if message["type"] == "http.response.start")
    stamp: bytes = dict(head["headers"])[b"x-atonce-times"]
    return stamp.decode().split(";")


def fastapi_app(handler: Callable[..., Any]) -> Probe:
    """A FastAPI app of one route behind the probe."""
    app = FastAPI()
    app.get("/", response_model=None)(handler)
    return Probe(app)


async def awaiting() -> dict[str, str]:
    """An async handler of 30 ms."""
    await asyncio.sleep(0.03)
    return {"thread": threading.current_thread().name}


def blocking() -> dict[str, str]:
    """A def handler of 30 ms."""
    time.sleep(0.03)
    return {"thread": threading.current_thread().name}


@pytest.mark.parametrize("handler", [awaiting, blocking])
def test_the_header_carries_arrival_and_handler(handler: Callable[..., Any]) -> None:
    """In order, the handler's span covering its work, and the connection's port."""
    start, begin, end, port = moments(asyncio.run(call(fastapi_app(handler))))
    assert float(start) <= float(begin) <= float(end)
    assert float(end) - float(begin) >= 0.029
    assert port == "4711"


def test_a_def_handler_is_stamped_inside_its_thread_not_while_it_waits_for_one() -> None:
    """With one token for two requests the second begins when the first has ended."""

    async def both() -> list[list[str]]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        app = fastapi_app(blocking)
        return [moments(one) for one in await asyncio.gather(call(app), call(app))]

    first, second = sorted(asyncio.run(both()), key=lambda one: float(one[1]))
    assert float(second[1]) >= float(first[2])
    assert float(second[0]) < float(first[2])


def test_a_failing_handler_is_stamped_too() -> None:
    """Its end is known although it raised."""

    def broken() -> None:
        raise KeyError

    async def visit() -> Any:
        seen: list[Any] = []

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            try:
                await inner(scope, receive, send)
            finally:
                seen.append(current_visit.get())

        inner = fastapi_app(broken).app
        with pytest.raises(KeyError):
            await call(Probe(outer))
        return seen[0]

    found = asyncio.run(visit())
    assert found.handler_start is not None
    assert found.handler_end >= found.handler_start


def test_an_app_without_fastapi_keeps_working() -> None:
    """Arrival is stamped, handler moments stay empty."""

    async def plain(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    start, begin, end, _ = moments(asyncio.run(call(Probe(plain))))
    assert float(start) > 0
    assert (begin, end) == ("", "")


def test_the_journal_tells_what_the_header_cannot(tmp_path: Path) -> None:
    """Departures; a request still inside when the app stops; the pools' true sizes; lag of a held loop."""

    async def live() -> None:
        app = fastapi_app(awaiting)
        app.journal = Journal(str(tmp_path / "j"))
        app.journal.start(asyncio.get_running_loop())
        await call(app, headers=[(b"x-atonce-id", b"w-1")])
        await asyncio.sleep(0.1)
        stuck = asyncio.ensure_future(call(app, headers=[(b"x-atonce-id", b"w-2")]))
        await asyncio.sleep(0.02)
        app.journal.stop()
        stuck.cancel()

    async def hold() -> None:
        journal = Journal(str(tmp_path / "held"))
        journal.start(asyncio.get_running_loop())
        await asyncio.sleep(0.12)
        time.sleep(0.3)  # noqa: ASYNC251 - the held loop is the point
        await asyncio.sleep(0.01)
        journal.stop()

    asyncio.run(live())
    lines = [json.loads(line) for line in next(tmp_path.glob("j-*.jsonl")).read_text(encoding="utf-8").splitlines()]
    runtime = lines[0][2]
    assert (lines[0][0], runtime["thread_tokens"]) == ("runtime", 40)
    assert runtime["executor_size"] >= 5
    visits = {line[1]: line[2:] for line in lines if line[0] == "visit"}
    assert None not in visits["w-1"]
    assert visits["w-1"][3] >= visits["w-1"][2]
    assert visits["w-2"][1] is not None
    assert visits["w-2"][2:4] == [None, None]

    asyncio.run(hold())
    held = [json.loads(line) for line in next(tmp_path.glob("held-*.jsonl")).read_text(encoding="utf-8").splitlines()]
    assert max(line[2] for line in held if line[0] == "sample") > 0.15


def test_memory_is_known_here_or_said_to_be_unknown() -> None:
    """Bytes, not pages."""
    found = resident_bytes()
    assert found is None or found > 1_000_000
