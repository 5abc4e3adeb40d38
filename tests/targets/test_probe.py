"""The probe around small ASGI apps, without a server: moments, header, trace log, runtime."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import uvloop
from fastapi import FastAPI

from targets.agent.probe import Probe, current_trace
from targets.agent.trace_log import TraceLog


def call(
    app: Any, path: str = "/", headers: list[tuple[bytes, bytes]] | None = None
) -> Coroutine[Any, Any, list[dict[str, Any]]]:
    """Ask an ASGI app once; all messages it sends."""

    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers or [],
            "client": ("127.0.0.1", 4711),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
        }
        await app(scope, receive, send)
        return sent

    return ask()


def moments(messages: list[dict[str, Any]]) -> tuple[list[float | None], int]:
    """Read the header: app_start, handler_start, handler_end, app_end in seconds, and the port."""
    head = next(message for message in messages if message["type"] == "http.response.start")
    start, *since, port = map(int, dict(head["headers"])[b"x-atonce-times"].split(b";"))
    return [start / 1e9, *((start + delay) / 1e9 if delay else None for delay in since)], port


async def idle() -> dict[str, Any]:
    """A client that has nothing to say."""
    return {"type": "http.request"}


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
    before = time.perf_counter()
    (start, begin, end, out), port = moments(asyncio.run(call(fastapi_app(handler))))
    assert start
    assert begin
    assert end
    assert out
    assert before <= start <= begin <= end <= out <= time.perf_counter()
    assert end - begin >= 0.029
    assert port == 4711


def test_the_departure_is_stamped_before_the_last_piece_is_handed_over() -> None:
    """A client may read the answer at once: no stamp may be later than that."""
    handed: list[float] = []

    async def server(message: Any) -> None:
        handed.append(time.perf_counter())
        messages.append(dict(message))

    async def ask() -> None:
        await probe({"type": "http", "headers": [], "client": None}, idle, server)

    async def plain(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
        )
        await send({"type": "http.response.body", "body": b"ok"})

    messages: list[dict[str, Any]] = []
    probe = Probe(plain)
    asyncio.run(ask())
    (_, _, _, out), port = moments(messages)
    assert [message["type"] for message in messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert out
    assert out <= handed[0]
    assert port == 0


def test_an_empty_piece_behind_the_answer_is_no_departure(tmp_path: Path) -> None:
    """A middleware of Starlette's sends one: by then the client has read all that was announced."""
    handed: dict[bytes, float] = {}

    async def server(message: Any) -> None:
        handed[message.get("body", b"head")] = time.perf_counter()
        messages.append(dict(message))

    async def pieces(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
        )
        await send({"type": "http.response.body", "body": b"ok", "more_body": True})
        await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def live() -> None:
        trace_log.start(asyncio.get_running_loop())
        await probe(
            {"type": "http", "headers": [(b"x-atonce-id", b"w-1")], "client": ("here", 7)},
            idle,
            server,
        )
        trace_log.stop()

    messages: list[dict[str, Any]] = []
    probe, trace_log = Probe(pieces), TraceLog(str(tmp_path / "j"))
    probe.trace_log = trace_log
    asyncio.run(live())
    logged = [line["app_end"] for line in read(tmp_path, "j") if line["kind"] == "visit"]
    departure = moments(messages)[0][3]
    assert departure
    assert max(departure, *logged, departure) <= handed[b"ok"]


def test_a_streamed_answer_is_not_held_back_and_its_departure_is_journaled(tmp_path: Path) -> None:
    """Its head leaves at once; the trace log gets the departure, stamped before the last piece."""

    async def streaming(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        counts.append(len(sent))
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"b"})

    async def server(message: Any) -> None:
        sent.append(dict(message))

    async def live() -> None:
        trace_log.start(asyncio.get_running_loop())
        await probe(
            {"type": "http", "headers": [(b"x-atonce-id", b"w-1")], "client": ("here", 7)},
            idle,
            server,
        )
        trace_log.stop()

    sent: list[dict[str, Any]] = []
    counts: list[int] = []
    probe, trace_log = Probe(streaming), TraceLog(str(tmp_path / "j"))
    probe.trace_log = trace_log
    asyncio.run(live())
    assert counts == [1]
    assert moments(sent)[0][1:] == [None, None, None]
    visit = next(line for line in read(tmp_path, "j") if line["kind"] == "visit")
    assert visit["request"] == "w-1"
    assert visit["app_end"] - visit["app_start"] >= 0.049
    assert visit["peer"] == 7


@pytest.mark.parametrize("length", [b"1", b""])
def test_an_answer_to_head_departs_with_its_head(tmp_path: Path, length: bytes) -> None:
    """The server sends no body, so the client may read on before the app has made one."""

    async def heading(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", length)] if length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        left.append(time.perf_counter())
        await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"a"})

    async def server(message: Any) -> None:
        sent.append(dict(message))

    async def live() -> None:
        trace_log.start(asyncio.get_running_loop())
        request = {"headers": [(b"x-atonce-id", b"w-1")], "client": ("here", 7)}
        await probe({"type": "http", "method": "HEAD", **request}, idle, server)
        trace_log.stop()

    sent: list[dict[str, Any]] = []
    left: list[float] = []
    probe, trace_log = Probe(heading), TraceLog(str(tmp_path / "j"))
    probe.trace_log = trace_log
    asyncio.run(live())
    logged = [line["app_end"] for line in read(tmp_path, "j") if line["kind"] == "visit"]
    departures = [*filter(None, [moments(sent)[0][3]]), *logged]
    assert len(departures) == 1
    assert departures[0] <= left[0]


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_a_body_long_after_its_head_departs_when_the_trace_log_says(
    pause: float, tmp_path: Path
) -> None:
    """The head leaves at once, so its departure holds only where the body follows directly."""

    async def paused(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
        )
        if pause:
            await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"ok"})

    async def server(message: Any) -> None:
        sent.append(dict(message))

    async def live() -> None:
        trace_log.start(asyncio.get_running_loop())
        for name in (b"w-1", b"w-2", b"w-3"):
            scope = {"type": "http", "headers": [(b"x-atonce-id", name)], "client": ("here", 7)}
            await probe(scope, idle, server)
        trace_log.stop()

    sent: list[dict[str, Any]] = []
    probe, trace_log = Probe(paused), TraceLog(str(tmp_path / "j"))
    probe.trace_log = trace_log
    asyncio.run(live())
    logged = [line for line in read(tmp_path, "j") if line["kind"] == "visit"]
    assert len(logged) == 3 if pause else len(logged) < 3  # the machine may have paused once
    assert all(line["app_end"] - line["app_start"] >= pause * 0.98 for line in logged)
    assert moments(sent)[0][3]


def read(folder: Path, prefix: str) -> list[dict[str, Any]]:
    """The lines of a trace log."""
    return [
        json.loads(line)
        for line in next(folder.glob(f"{prefix}-*.jsonl")).read_text(encoding="utf-8").splitlines()
    ]


def test_a_def_handler_is_stamped_inside_its_thread_not_while_it_waits_for_one() -> None:
    """With one token for two requests the second begins when the first has ended."""

    async def both() -> list[list[Any]]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        app = fastapi_app(blocking)
        return [moments(messages)[0] for messages in await asyncio.gather(call(app), call(app))]

    first, second = sorted(asyncio.run(both()), key=lambda times: times[1])
    assert second[1] >= first[2]
    assert second[0] < first[2]


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
                seen.append(current_trace.get())

        inner = fastapi_app(broken).app
        with pytest.raises(KeyError):
            await call(Probe(outer))
        return seen[0]

    trace = asyncio.run(visit())
    assert trace.handler_start is not None
    assert trace.handler_end >= trace.handler_start


def test_an_app_without_fastapi_keeps_working() -> None:
    """Arrival is stamped, handler moments stay empty."""

    async def plain(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    (start, begin, end, _), _ = moments(asyncio.run(call(Probe(plain))))
    assert start
    assert (begin, end) == (None, None)


def test_the_trace_log_tells_what_the_header_cannot(tmp_path: Path) -> None:
    """It has requests still inside at the stop, the pools' true sizes, a held loop's lag.

    It does not repeat what the header has.
    """

    async def live() -> None:
        began, leave = asyncio.Event(), asyncio.Event()

        async def handler() -> None:
            began.set()
            await leave.wait()

        app = fastapi_app(handler)
        app.trace_log = TraceLog(str(tmp_path / "j"))
        app.trace_log.start(asyncio.get_running_loop())
        leave.set()
        await call(app, headers=[(b"x-atonce-id", b"w-1")])
        while not (app.trace_log.pool_sizes or (None,))[0]:  # noqa: ASYNC110 - its thread samples
            await asyncio.sleep(0.01)
        leave.clear()
        began.clear()
        stuck = asyncio.ensure_future(call(app, headers=[(b"x-atonce-id", b"w-2")]))
        await began.wait()
        app.trace_log.stop()
        stuck.cancel()

    asyncio.run(asyncio.wait_for(live(), 30))
    lines = read(tmp_path, "j")
    runtime = [line["facts"] for line in lines if line["kind"] == "runtime"][-1]
    assert runtime["thread_tokens"] == 40
    assert runtime["executor_size"] >= 5
    visits = {line["request"]: line for line in lines if line["kind"] == "visit"}
    assert "w-1" not in visits
    assert visits["w-2"]["handler_start"] is not None
    assert (visits["w-2"]["handler_end"], visits["w-2"]["app_end"]) == (None, None)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_held_loop_silences_no_sample(loop: str, tmp_path: Path) -> None:
    """While it is held its samples are in the file already, each with a longer lag."""
    written: list[dict[str, Any]] = []

    async def work() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(60))
        await asyncio.sleep(0.15)
        begun = time.perf_counter()
        time.sleep(0.5)  # noqa: ASYNC251 - the held loop is the point
        written.extend(line for line in read(tmp_path, "j") if line["t"] > begun)
        await asyncio.sleep(0.3)

    samples = looks_of(loop, tmp_path, work)
    lags = [line["loop_lag"] for line in written if line["kind"] == "sample"]
    assert len(lags) >= 3
    assert lags[1:] == sorted(lags[1:])
    assert 0.25 < lags[-1] <= max(samples["loop_lag"]) < 0.6
    assert samples["loop_lag"][-1] < 0.1  # free again
    assert set(samples["tasks"]) == {2}


def looks_of(
    loop: str, folder: Path, work: Callable[[], Coroutine[Any, Any, None]]
) -> dict[str, list[Any]]:
    """What the trace log's samples say while `work` runs, by column."""

    async def live() -> None:
        trace_log = TraceLog(str(folder / "j"))
        trace_log.start(asyncio.get_running_loop())
        await work()
        trace_log.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(live())
    lines = [line for line in read(folder, "j") if line["kind"] == "sample"]
    return {name: [line[name] for line in lines] for name in lines[0]}


@pytest.mark.parametrize("own", [False, True], ids=["lazy", "set by the app"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_calls_that_wait_for_the_default_executor_are_counted_on_either_loop(
    loop: str,
    own: bool,  # noqa: FBT001 - a column
    tmp_path: Path,
) -> None:
    """Three calls more than it has threads; no other pool is full."""

    async def work() -> None:
        if own:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(5))
        # Of the kind that the loop makes
        size = 5 if own else ThreadPoolExecutor()._max_workers  # noqa: SLF001
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.25) for _ in range(size + 3)))

    samples = looks_of(loop, tmp_path, work)
    assert max(samples["executor_queue"]) == 3
    assert set(samples["pool_waiting"]) == {0}


def test_the_fullest_pool_of_the_app_is_said(tmp_path: Path) -> None:
    """Two pools wait; the one with the longer queue counts."""

    async def work() -> None:
        with ThreadPoolExecutor(2) as double, ThreadPoolExecutor(1) as single:
            for pool, calls in ((double, 6), (single, 2)):
                for _ in range(calls):
                    pool.submit(time.sleep, 0.08)
            await asyncio.sleep(0.4)

    samples = looks_of("asyncio", tmp_path, work)
    assert (samples["pool_threads"][0], samples["pool_waiting"][0]) == (2, 2)
