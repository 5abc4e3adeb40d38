"""One polite request before any load: a test for each reason not to load a route."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)

from results.schema import Scenario
from scenarios.doctor.openapi import smoke_test as manners
from scenarios.doctor.openapi.route_request import RouteRequest, create_template
from scenarios.doctor.openapi.route_selection import RouteSelection
from scenarios.doctor.openapi.routes import select_routes
from scenarios.doctor.openapi.smoke_test import SmokeResult, run_smoke_test
from scenarios.generator.job import COMMON_HEADERS, REQUEST_ID_HEADER, RequestTemplate
from scenarios.plans.cells import Times, variant_target
from tests.support.asgi_client import HOME, served
from tests.support.echo_server import echoing, request_under_load
from tests.support.processes import ROOT

JSON = "application/json"
EMPTY = httpx.Response(200, headers={"content-length": "0"})
Handler = Callable[[httpx.Request], httpx.Response]


def mocked(handler: Handler) -> httpx.Client:
    """A client of a server that is a function."""
    return httpx.Client(transport=httpx.MockTransport(handler), base_url=HOME, trust_env=False)


def manner_of(answer: httpx.Response | Handler, asked: RouteRequest | None = None) -> SmokeResult:
    """The smoke test's result for a route that gives this answer every time."""

    def again(request: httpx.Request) -> httpx.Response:
        assert isinstance(answer, httpx.Response)
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    handler = again if isinstance(answer, httpx.Response) else answer
    return run_smoke_test(mocked(handler), asked or RouteRequest(route="GET /x", path="/x"), {})


def refuse(error: type[httpx.HTTPError]) -> Handler:
    """A server whose answers end so."""

    def handle(_request: httpx.Request) -> httpx.Response:
        raise error("s3cret")

    return handle


def dripping(
    seconds: float, pieces: int, end: type[httpx.HTTPError] | None = None
) -> Iterator[bytes]:
    """A body in pieces, which may end before its time."""
    for _ in range(pieces):
        time.sleep(seconds)
        yield b"1"
    if end:
        raise end("s3cret")


def test_a_healthy_route_is_asked_three_times() -> None:
    """Status, three times and the body's size; the person's headers go before the route's own."""
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(
            (
                request.method,
                str(request.url),
                request.headers["x-key"],
                request.headers["content-type"],
                request.content,
            )
        )
        return httpx.Response(
            200, headers={"content-type": JSON, "content-length": "7"}, content=iter([b'{"a":1}'])
        )

    facts: dict[str, Any] = {
        "route": "POST /x/{y}",
        "path": "/x/%2F?q=%C3%BC&k=***",
        "path_with_keys": "/x/%2F?q=%C3%BC&k=s3cret",
    }
    asked = RouteRequest(
        **facts, headers={"X-Key": "string"}, body=b"[]", content_type=JSON, declared_type=JSON
    )
    manner = run_smoke_test(mocked(handle), asked, {"x-key": "s3cret"})
    assert [("POST", f"{HOME}/x/%2F?q=%C3%BC&k=s3cret", "s3cret", JSON, b"[]")] * 3 == seen
    assert (
        manner.status,
        len(manner.seconds),
        manner.answer_bytes,
        manner.skipped,
        manner.fault,
    ) == (200, 3, 7, None, None)
    assert "s3cret" not in f"{manner}{asked}"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (RouteRequest(route="GET /x", path="/x/../y?q='"), {}),
        (
            RouteRequest(
                route="GET /x",
                path="/x?k=***",
                path_with_keys="/x?k=s3cret",
                headers={"X-A": "1", "Cookie": "c=d"},
            ),
            {"x-a": "2"},
        ),
        (
            RouteRequest(route="POST /x", path="/x", body=b'{"a": "\xc3\xbc"}', content_type=JSON),
            {"User-Agent": "me", "ACCEPT": "text/csv"},
        ),
        (RouteRequest(route="POST /x", path="/x"), {"Host": "shop.example"}),
    ],
)
def test_polite_requests_and_those_under_load_are_the_same(
    asked: RouteRequest, given: dict[str, str]
) -> None:
    """Line, headers and body at a real server that sets cookies; only the request id differs."""
    cell = variant_target("async", 0.1).create_cell(Scenario.CROWD, 1, Times())
    cell = replace(cell, route=asked.route, path=asked.path, expects="", status=200)
    with echoing() as (url, seen), httpx.Client(base_url=url, trust_env=False) as client:
        assert len(run_smoke_test(client, asked, given).seconds) == 3
        assert (
            request_under_load(url, create_template(asked, given), cell.to_dict())[0]
            == [["True", "True", "2"]] * 2
        )
    requests = [
        (
            entry["line"],
            [pair for pair in entry["headers"] if pair[0] != REQUEST_ID_HEADER],
            entry["body"],
        )
        for entry in seen
    ]
    assert requests == [requests[0]] * 5
    assert [name for name, _ in seen[0]["headers"]] == [name for name, _ in seen[-1]["headers"]]
    assert {name for name, _ in requests[0][1]} >= {"host", *COMMON_HEADERS, *map(str.lower, given)}


@pytest.mark.parametrize(
    ("expects", "is_right"),
    [
        ("", True),
        ("x" * 20_000_000, True),
        ("x" * 49_999_999, False),
        ("x" * 50_000_001, False),
        ("y", False),
    ],
)
def test_a_long_body_is_counted_and_compared_but_not_kept(
    expects: str,
    is_right: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    """Sixty-four of them at once would fill the memory."""
    cell = replace(
        variant_target("async", 0.1).create_cell(Scenario.CROWD, 1, Times()),
        route="GET /x",
        path="/x",
        expects=expects,
    )
    with echoing(b"x" * 20_000_000) as (url, _):
        answers, grown = request_under_load(url, RequestTemplate(), cell.to_dict())
    assert answers == [["True", str(is_right), "20000000"]] * 2
    assert grown < 10 or expects


def test_whoever_reads_a_long_body_lets_others_have_their_turns() -> None:
    """Else one download stops the generator's clock, and its stalls pass as latency."""
    code = """
import io, gevent
from scenarios.generator.client import READ_SIZE, read_and_count
turns = []
def other():
    while True:
        turns.append(1)
        gevent.sleep(0)
gevent.spawn(other)
print(*read_and_count(io.BytesIO(bytes(9 * READ_SIZE + 5)), b""), len(turns) >= 9)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.stdout.split() == [str(9 * 65_536 + 5), "True", "True"], shown.stderr


def test_a_slow_route_is_asked_only_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request may have warmed it up: a second must follow."""
    monkeypatch.setattr(manners, "SLOW_ANSWER", 0.0)
    assert len(manner_of(EMPTY).seconds) == 2


ITEM = RouteRequest(
    route="GET /items/{item_id}", path="/items/1?q=%1B&page=s3cret", headers={"x-token": "s3cret"}
)
SEARCH = RouteRequest(route="POST /search", path="/search", body=b"s3cret")


@pytest.mark.parametrize(
    ("answer", "asked", "why"),
    [
        (httpx.Response(500, text="s3cret"), ITEM, "answers 500 to a single request"),
        (
            httpx.Response(404, text="s3cret"),
            ITEM,
            "answers 404 to a single request; add --param item_id=...",
        ),
        (
            httpx.Response(404),
            SEARCH,
            "answers 404 to a single request; add --body 'POST /search=@FILE'",
        ),
        (
            httpx.Response(401),
            ITEM,
            "answers 401 to a single request; add --header 'Authorization: ...'",
        ),
        (
            httpx.Response(403),
            ITEM,
            "answers 403 to a single request; add --header 'Authorization: ...'",
        ),
        (
            httpx.Response(422, text="s3cret"),
            ITEM,
            (
                "answers 422 to a single request; "
                "add --param item_id=... --param q=... --param page=... --param x-token=..."
            ),
        ),
        (
            httpx.Response(422),
            SEARCH,
            "answers 422 to a single request; add --body 'POST /search=@FILE'",
        ),
        (
            httpx.Response(307, headers={"location": "http://a.b/x/?s3cret#s3cret"}),
            None,
            "redirects to /x/",
        ),
        (httpx.Response(302, headers={"location": "https://a.b"}), None, "redirects to /"),
        (
            httpx.Response(307, headers={"location": "https://a.b/x"}),
            None,
            (
                "redirects from http to https; "
                "add --header 'X-Forwarded-Proto: https', as a proxy does"
            ),
        ),
        (
            httpx.Response(400, text="Invalid host header"),
            ITEM,
            "answers 400 to a single request; add --header 'Host: ...'",
        ),
        (
            httpx.Response(403),
            replace(ITEM, credential_flags=("--header 'X-API-Key: ...'", "--param key=...")),
            "answers 403 to a single request; add --header 'X-API-Key: ...' --param key=...",
        ),
        (httpx.Response(304), None, "answers 304 to a single request"),
        (refuse(httpx.ReadTimeout), None, "gave no answer within 30 s"),
        (refuse(httpx.ConnectError), None, "lost its connection (ConnectError)"),
        (refuse(httpx.RemoteProtocolError), None, "lost its connection (RemoteProtocolError)"),
        (
            lambda _: httpx.Response(
                200, headers={"content-length": "9"}, content=dripping(0, 2, httpx.ReadError)
            ),
            None,
            "lost its connection (ReadError)",
        ),
        (
            lambda _: httpx.Response(
                200, headers={"content-type": JSON}, content=dripping(0, 2, httpx.ReadTimeout)
            ),
            None,
            "began an answer but sent no more of it within 30 s",
        ),
        (
            lambda _: httpx.Response(200, content=dripping(0, 2)),
            None,
            "a stream: its answer comes in pieces, without a declared length",
        ),
        (
            httpx.Response(
                200, text="", headers={"content-type": "text/event-stream; charset=utf-8"}
            ),
            None,
            "a stream (text/event-stream)",
        ),
        (
            lambda _: httpx.Response(
                200, headers={"content-type": JSON}, content=dripping(0.03, 9)
            ),
            None,
            "a stream: its answer did not end within 0.05 s",
        ),
    ],
)
def test_what_must_not_be_loaded_is_said(
    monkeypatch: pytest.MonkeyPatch,
    answer: httpx.Response | Handler,
    asked: RouteRequest | None,
    why: str,
) -> None:
    """One request, then no more; nothing of a body, a query or a header's value is shown."""
    monkeypatch.setattr(manners, "_BODY_TIMEOUT", 0.05)
    manner = manner_of(answer, asked)
    assert why == manner.skipped
    assert (len(manner.seconds), manner.fault) == (1, None)
    assert why.isprintable()
    assert "s3cret" not in f"{manner}"


COROUTINE = "<coroutine object fetch at 0x7f>"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            httpx.Response(200, content=b"[", headers={"content-type": JSON}),
            "its body is not JSON, though its content type says so",
        ),
        (
            httpx.Response(200, json={"a": COROUTINE}),
            "its body shows an object that was never awaited, as text: an await is missing",
        ),
        (httpx.Response(200, text=COROUTINE), "its body shows"),
        (httpx.Response(200, html=COROUTINE.replace("<", "&lt;")), "its body shows"),
        (httpx.Response(200, json=["<Task pending name='Task-3' coro=<f()>>"]), "its body shows"),
        (httpx.Response(200, json=["<_GatheringFuture pending>"]), "its body shows"),
        (httpx.Response(200, json=["<async_generator object f at 0x7f>"]), "its body shows"),
    ],
)
def test_a_wrong_answer_is_said(answer: httpx.Response, why: str) -> None:
    """It is not skipped: it is a finding. Nothing of it is shown."""
    manner = manner_of(answer, RouteRequest(route="GET /x", path="/x", declared_type=JSON))
    assert manner.fault is not None
    assert manner.fault.startswith(why)
    assert (manner.status, len(manner.seconds), manner.skipped) == (200, 1, None)


@pytest.mark.parametrize(
    ("answer", "declared"),
    [
        (httpx.Response(200, content=b"["), JSON),
        (
            httpx.Response(
                200,
                json={"a": "a coroutine object"},
                headers={"content-type": "application/problem+json; x=y"},
            ),
            JSON,
        ),
        (httpx.Response(204), JSON),
        (httpx.Response(200, text="a"), "text/html"),
        (httpx.Response(200, html="<h1>Task pending</h1>"), None),
        (EMPTY, None),
        (
            lambda _: httpx.Response(200, headers={"content-type": JSON}, content=dripping(0, 3)),
            JSON,
        ),
    ],
)
def test_an_answer_of_the_right_kind_is_not_accused(
    answer: httpx.Response | Handler, declared: str | None
) -> None:
    """Main types count; without a promise nothing is broken; JSON in pieces is whole at the end."""
    manner = manner_of(answer, RouteRequest(route="GET /x", path="/x", declared_type=declared))
    assert (len(manner.seconds), manner.skipped, manner.fault) == (3, None, None)


@pytest.mark.parametrize(
    ("answer", "declared", "note"),
    [
        (
            httpx.Response(200, text="a;b", headers={"content-type": "text/csv; charset=utf-8"}),
            JSON,
            "It answers text/csv",
        ),
        (httpx.Response(200, html="<h1>Oh</h1>"), JSON, "It answers text/html"),
        (httpx.Response(200, json=[]), "text/csv", "It answers application/json"),
        (EMPTY, JSON, "It answers nothing"),
    ],
)
def test_a_document_that_differs_is_a_note(
    answer: httpx.Response, declared: str, note: str
) -> None:
    """The document may be wrong, not the handler: the route is asked on, and loaded."""
    manner = manner_of(answer, RouteRequest(route="GET /x", path="/x", declared_type=declared))
    assert (len(manner.seconds), manner.skipped, manner.fault) == (3, None, None)
    assert manner.note == f"{note} where its OpenAPI document declares {declared}."


def test_head_is_judged_by_its_head() -> None:
    """It has no body, and may have no length."""
    manner = manner_of(
        lambda _: httpx.Response(200, headers={"x": "y"}),
        RouteRequest(route="HEAD /x", path="/x", declared_type=JSON),
    )
    assert (len(manner.seconds), manner.skipped, manner.fault) == (3, None, None)


def test_a_later_answer_counts_as_well() -> None:
    """A route that fails at its second request is skipped too."""
    answers = iter([EMPTY, httpx.Response(429)])
    manner = manner_of(lambda _: next(answers))
    assert (manner.skipped, len(manner.seconds)) == ("answers 429 to a single request", 2)


def app_of_kinds() -> FastAPI:
    """Real routes of every kind."""
    app = FastAPI()

    async def fetch() -> int:
        return 1

    def forgetful() -> dict[str, str]:
        coroutine = fetch()
        coroutine.close()
        return {"a": f"{coroutine}"}

    routes: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "/fine": (lambda: {"a": 1}, {}),
        "/page": (lambda: HTMLResponse("<p>"), {}),
        "/text": (lambda: PlainTextResponse("x"), {"response_class": PlainTextResponse}),
        "/empty": (lambda: Response(b""), {}),
        "/none": (lambda: None, {"status_code": 204}),
        "/promised": (lambda: HTMLResponse("<p>"), {"response_model": dict[str, int]}),
        "/export": (
            lambda: Response("a,b", media_type="text/csv"),
            {"response_model": list[dict[str, int]]},
        ),
        "/forgotten": (forgetful, {}),
        "/moved": (lambda: RedirectResponse("/fine"), {}),
        "/gone": (lambda: JSONResponse({}, 404), {}),
        "/raises": (lambda: 1 / 0, {}),
        "/stream": (lambda: StreamingResponse(dripping(0, 2)), {}),
    }
    for path, (endpoint, more) in routes.items():
        app.get(path, **more)(endpoint)
    app.head("/head")(lambda: Response(headers={"content-type": "text/html"}))
    return app


def test_real_routes_are_judged_by_what_they_answer() -> None:
    """Healthy routes of any kind pass; each fault has its sentence."""
    app = app_of_kinds()
    with served(app) as client:
        results = {
            request.route: run_smoke_test(client, request, {})
            for request in select_routes(app.openapi(), None, RouteSelection())[0]
        }
    assert {
        route: manner.skipped or manner.fault or manner.note for route, manner in results.items()
    } == {
        "GET /fine": None,
        "GET /page": None,
        "GET /text": None,
        "GET /empty": None,
        "GET /none": None,
        "GET /promised": (
            "It answers text/html where its OpenAPI document declares application/json."
        ),
        "GET /export": "It answers text/csv where its OpenAPI document declares application/json.",
        "GET /forgotten": (
            "its body shows an object that was never awaited, as text: an await is missing"
        ),
        "GET /moved": "redirects to /fine",
        "GET /gone": "answers 404 to a single request",
        "GET /raises": "answers 500 to a single request",
        "GET /stream": "a stream: its answer comes in pieces, without a declared length",
        "HEAD /head": None,
    }
