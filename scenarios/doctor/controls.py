"""The surroundings of an app under test: address, processes and two neighbours.

Our agent in an app that we start serves both neighbours. In a black box an unknown path is the
`async` neighbour, else its OpenAPI document, else there is none.
"""

import contextlib
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import httpx
import psutil

from results.errors import AtonceError, ExitCode, UsageError
from results.schema import Neighbour
from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.runner.preflight import fetch_response, url_address
from scenarios.runner.run_plan import find_free_port
from scenarios.system.cpu_witness import descendant_processes
from scenarios.system.tls import certificate_advice

OPENAPI_PATH = "/openapi.json"
_DOCS_PATHS = ("/docs", "/redoc")  # pages that link to the document, if it is elsewhere
_DOCUMENT_LINK = re.compile(r"(?:\burl: *|spec-url=)[\"'](/[^/\"'][^\"']*)[\"']")  # same host
_DOCS_PAGE_PATTERN = re.compile(r"SwaggerUIBundle|<redoc\b")  # marks a documentation page
PORT_FREE_TIMEOUT = 3.0  # seconds for the previous listener to release a port
_STABLE_TRIES = 3  # requests to a path before it may be a neighbour
# Answers where no route is; any other may come from a catch-all route, perhaps a `def`
_NO_ROUTE_STATUSES = (404, 405, 401, 403, 400)


@contextlib.contextmanager
def reserved_url(app: AppUnderTest) -> Iterator[str]:
    """Give the URL of the app; where we choose its port, keep the port free for it.

    A socket that is bound but does not listen leaves the port to the app alone.
    """
    with socket.socket() as holder:
        url = app.url or f"http://127.0.0.1:{find_free_port()}"
        if not app.url and sys.platform == "linux":  # elsewhere the app could not bind it as well
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(url_address(url))
        yield url


def wait_for_free_port(app: AppUnderTest) -> None:
    """Wait until nothing answers where the user's command will. Raises AtonceError if it does."""
    if app.launch_mode != "command" or not app.url:
        return
    address, deadline = url_address(app.url), time.perf_counter() + PORT_FREE_TIMEOUT
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(address, 1).close()
            if time.perf_counter() > deadline:
                raise AtonceError(
                    f"{app.url} answers while the command of --start does not run. Stop that"
                    " process, choose another port, or examine it as it is: atonce doctor"
                    f" {app.url}",
                    ExitCode.TARGET,
                )
            time.sleep(0.1)


def find_neighbours(
    app: AppUnderTest, secret: str, client: httpx.Client
) -> tuple[tuple[Neighbour, ...], float]:
    """Return the neighbours, and the seconds that one ping costs the app; 0 where it is free."""
    if app.launch_mode == "module":
        neighbours = (
            _create_neighbour(kind, f"/_atonce-{secret}/{kind}", f'{{"neighbour":"{kind}"}}')
            for kind in ("async", "def")
        )
        return tuple(neighbours), 0.0
    candidates = {f"/_atonce-{secret}": _NO_ROUTE_STATUSES, OPENAPI_PATH: (200,)}
    for path, expected_statuses in candidates.items():
        status, seconds = _stable_status(client, path)  # without the user's headers
        # A catch-all route answers at OPENAPI_PATH too
        if status in expected_statuses and (
            path != OPENAPI_PATH or _parse_openapi(_fetch_text(client, path, {}))
        ):
            return (_create_neighbour("async", path, "", status),), seconds
    return (), 0.0


def _stable_status(client: httpx.Client, path: str) -> tuple[int, float]:
    """Return the constant status of a path, 0 if it changes; and its shortest latency (seconds)."""
    statuses, latencies = set[int](), []
    for _ in range(_STABLE_TRIES):
        began = time.perf_counter()
        try:
            statuses.add(fetch_response(client, "GET", path).status_code)
        except httpx.HTTPError as error:
            raise _unreachable_error(client, error) from error
        latencies.append(time.perf_counter() - began)
    return statuses.pop() if len(statuses) == 1 else 0, min(latencies)


def _unreachable_error(client: httpx.Client, error: httpx.HTTPError) -> AtonceError:
    if why := certificate_advice(error):
        return UsageError(f"{client.base_url} answers, but {why}")
    return AtonceError(
        f"{client.base_url} does not answer ({type(error).__name__}). Is the app running, and is"
        " this its address?",
        ExitCode.TARGET,
    )


def _create_neighbour(kind: str, path: str, expects: str, status: int = 0) -> Neighbour:
    """Return a neighbour without a rate: each level sets its own."""
    route = f"GET /_atonce/{kind}"
    return Neighbour(
        kind=kind, route=route, path=path, expects=expects, rate=0.0, connections=0, status=status
    )


def fetch_openapi(client: httpx.Client, headers: dict[str, str]) -> dict[str, Any] | None:
    """Return the OpenAPI document at its usual path or linked from the docs page, if any."""
    openapi = _parse_openapi(_fetch_text(client, OPENAPI_PATH, headers))
    for page in () if openapi else _DOCS_PATHS:
        if link := _DOCUMENT_LINK.search(_fetch_text(client, page, headers)):
            openapi = openapi or _parse_openapi(_fetch_text(client, link[1], headers))
    return openapi


def skip_docs_routes(
    route_requests: list[RouteRequest], client: httpx.Client, headers: dict[str, str]
) -> Iterator[RouteRequest]:
    """Yield the routes of a black box, its documentation pages marked as skipped."""
    for request in route_requests:
        page = _fetch_text(client, request.path, headers) if request.path in _DOCS_PATHS else ""
        is_docs = _DOCS_PAGE_PATTERN.search(page)
        yield replace(request, skipped="the app's own documentation") if is_docs else request


def _fetch_text(client: httpx.Client, path: str, headers: dict[str, str]) -> str:
    """Return the body that a path answers; empty for any status but 200."""
    try:
        answer = fetch_response(client, "GET", path, headers=headers)
    except httpx.TransportError as error:
        raise _unreachable_error(client, error) from error
    except (httpx.HTTPError, httpx.InvalidURL):
        return ""
    return answer.text if answer.status_code == httpx.codes.OK else ""


def _parse_openapi(body: str) -> dict[str, Any] | None:
    """Parse an OpenAPI document; None for anything else, e.g. the answer of a catch-all route."""
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(body)
        return content if isinstance(content, dict) and "paths" in content else None
    return None


def server_processes(url: str) -> list[psutil.Process]:
    """Return the listeners at a local URL and their descendants; [] if the system hides them."""
    owners = _socket_owners(url)
    children = chain.from_iterable(descendant_processes(owner.pid) for owner in owners)
    return list({process.pid: process for process in (*owners, *children)}.values())


def count_workers(url: str) -> int | None:
    """Count the processes that take requests at a URL, not their supervisor; None where hidden.

    Children that a server forks for its own work share its socket and look like its workers.
    """
    owners = _socket_owners(url)
    pids = {process.pid for process in owners}
    families = ({child.pid for child in descendant_processes(pid)} for pid in pids)
    return sum(pids.isdisjoint(family) for family in families) or None


def _socket_owners(url: str) -> list[psutil.Process]:
    """Return the processes with a socket that listens at a URL's port, shared or their own."""
    (_, port), owners = url_address(url), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # another user's process, or already gone
            sockets = process.net_connections("tcp")
            if port in {it.laddr.port for it in sockets if it.status == psutil.CONN_LISTEN}:
                owners.append(process)
    return owners
