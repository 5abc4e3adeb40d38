"""Around a black box: which paths may be neighbours, and what is said when no app answers."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html

from results.errors import AtonceError, ExitCode
from scenarios.doctor import controls
from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.controls import (
    OPENAPI_PATH,
    fetch_openapi,
    find_neighbours,
    reserved_url,
    skip_docs_routes,
    wait_for_free_port,
)
from scenarios.doctor.openapi.route_selection import RouteSelection
from scenarios.doctor.openapi.routes import select_routes
from scenarios.doctor.options import DoctorOptions
from scenarios.runner.preflight import url_address
from tests.support.asgi_client import served

URL = "http://127.0.0.1:8000"
UNKNOWN = "/_atonce-s"


def box(statuses: dict[str, Iterator[int]], says: dict[str, str]) -> httpx.Client:
    """A client of an app that answers these statuses, one after another."""
    answers = httpx.MockTransport(
        lambda request: httpx.Response(next(statuses[request.url.path]), json=says)
    )
    return httpx.Client(base_url=URL, transport=answers)


@pytest.mark.parametrize(
    ("unknown", "documented", "expected"),
    [
        ([404], [500], (UNKNOWN, 404)),
        ([405], [200], (UNKNOWN, 405)),
        ([401], [200], (UNKNOWN, 401)),
        ([403], [200], (UNKNOWN, 403)),
        ([400], [200], (UNKNOWN, 400)),
        ([200], [200], (OPENAPI_PATH, 200)),  # a catch-all, perhaps a `def`
        ([307], [200], (OPENAPI_PATH, 200)),
        ([404, 403], [200], (OPENAPI_PATH, 200)),
        ([503], [404], None),
        ([200], [200, 500], None),
        ([200], [401], None),
    ],
)
def test_only_what_surely_is_innocent_is_a_neighbour(
    unknown: list[int], documented: list[int], expected: tuple[str, int] | None
) -> None:
    """An unknown path that is answered as such, else the OpenAPI document, else none."""
    client = box({UNKNOWN: cycle(unknown), OPENAPI_PATH: cycle(documented)}, {"paths": "3.1.0"})
    neighbours, seconds = find_neighbours(AppUnderTest.from_url(URL), "s", client)
    assert ([expected] if expected else []) == [
        (neighbour.path, neighbour.status) for neighbour in neighbours
    ]
    assert (expected is not None) == (seconds > 0)


def test_a_catch_all_in_the_place_of_a_document_is_no_neighbour() -> None:
    """It answers everything, and may be a `def`."""
    client = box({UNKNOWN: cycle([200]), OPENAPI_PATH: cycle([200])}, {"rest": "openapi.json"})
    assert find_neighbours(AppUnderTest.from_url(URL), "s", client) == ((), 0.0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: find_neighbours(AppUnderTest.from_url(URL), "s", client),
        lambda client: fetch_openapi(client, {}),
    ],
)
@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadTimeout]
)
def test_a_url_where_nobody_answers_is_named(
    ask: Callable[[httpx.Client], object], error: type[httpx.HTTPError]
) -> None:
    """Exit code 4, at whichever question it is noticed."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise error("no")

    with (
        httpx.Client(base_url=URL, transport=httpx.MockTransport(fail)) as client,
        pytest.raises(AtonceError) as trouble,
    ):
        ask(client)
    assert trouble.value.code is ExitCode.TARGET
    assert f"{URL} does not answer ({error.__name__})" in trouble.value.sentence


@pytest.mark.parametrize(
    ("words", "routes"),
    [
        ({}, ["GET /x"]),
        ({"openapi_url": "/api/v1/openapi.json"}, ["GET /x"]),
        (
            {"openapi_url": "/api/v1/openapi.json", "docs_url": None},
            ["GET /x"],
        ),  # ReDoc says it as well
        ({"openapi_url": "/a.json", "docs_url": None, "redoc_url": None}, None),
        ({"openapi_url": None}, None),  # its 404 is JSON, and no document
    ],
)
def test_the_document_of_a_black_box_is_found_where_its_documentation_says(
    words: dict[str, Any], routes: list[str] | None
) -> None:
    """Else nothing is known, and a sentence says so."""
    app = FastAPI(**words)
    app.get("/x")(lambda: 1)
    with served(app) as client:
        document = fetch_openapi(client, {})
    if routes:
        assert routes == [
            request.route for request in select_routes(document, None, RouteSelection())[0]
        ]
    else:
        with pytest.raises(AtonceError, match=r"no OpenAPI document at /openapi.json or"):
            select_routes(document, None, RouteSelection())[0]


def test_only_pages_that_say_so_are_documentation() -> None:
    """By what they show: a person's own /docs is examined, whatever its address."""
    app = FastAPI(docs_url="/api/docs", redoc_url=None)
    app.get("/docs")(lambda: ["contract.pdf"])
    app.get("/redoc")(lambda: get_redoc_html(openapi_url="/openapi.json", title="x"))
    app.get("/openapi.json/old")(lambda: 1)
    with served(app) as client:
        routes = select_routes(fetch_openapi(client, {}), None, RouteSelection())[0]
        skipped = {
            request.route: request.skipped for request in skip_docs_routes(routes, client, {})
        }
        swagger = FastAPI(docs_url=None)
        swagger.get("/docs")(lambda: get_swagger_ui_html(openapi_url="/openapi.json", title="x"))
    assert skipped == {
        "GET /docs": None,
        "GET /redoc": "the app's own documentation",
        "GET /openapi.json/old": None,
    }
    with served(swagger) as client:
        (request,) = skip_docs_routes(
            select_routes(fetch_openapi(client, {}), None, RouteSelection())[0],
            client,
            {},
        )
    assert request.skipped == "the app's own documentation"


def test_an_error_is_no_document() -> None:
    """Whatever it looks like."""
    answers = httpx.MockTransport(lambda _: httpx.Response(500, json={"paths": {}}))
    with httpx.Client(base_url=URL, transport=answers) as client:
        assert fetch_openapi(client, {}) is None


@pytest.mark.parametrize("place", ["http://elsewhere/a.json", "//elsewhere/a.json", "a.json"])
def test_a_document_is_fetched_from_the_same_host_only(place: str) -> None:
    """Whatever a page names."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, text=f"url: '{place}'")

    with httpx.Client(base_url=URL, transport=httpx.MockTransport(answer)) as client:
        assert fetch_openapi(client, {}) is None
    assert [URL + OPENAPI_PATH, f"{URL}/docs", f"{URL}/redoc"] == asked


def test_a_command_is_not_started_where_someone_else_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another server would be examined instead: exit code 4. A port freed in time is taken."""
    monkeypatch.setattr(controls, "PORT_FREE_TIMEOUT", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        app_under_test = AppUnderTest.from_command(DoctorOptions(start=sys.executable, url=url))
        with pytest.raises(
            AtonceError, match=f"{url} answers while the command of --start does not run"
        ) as trouble:
            wait_for_free_port(app_under_test)
        assert trouble.value.code is ExitCode.TARGET
        for app in (app_under_test, AppUnderTest.from_url(url)):
            with reserved_url(app) as reserved:
                assert url == reserved
        wait_for_free_port(AppUnderTest.from_url(url))  # it is meant to answer
        monkeypatch.setattr(controls, "PORT_FREE_TIMEOUT", 9.0)
        monkeypatch.setattr(time, "sleep", lambda _: server.close())
        wait_for_free_port(app_under_test)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing keeps the port")
def test_the_port_of_an_app_stays_its_own_between_two_processes() -> None:
    """Nobody else gets it by chance, and the app can listen there, again and again."""
    app = AppUnderTest.from_module(DoctorOptions(target="shop:app"))
    with reserved_url(app) as url:
        host, port = url_address(url)
        assert url == f"http://{host}:{port}"
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)):  # as asyncio does
                socket.create_connection(("127.0.0.1", port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
