"""Before any load: every route answers, rightly, and the variants answer alike.

A benchmark of routes that fail quickly looks fast. One request to each route also warms it up:
FastAPI reads source files at a route's first call.
"""

import contextlib
import socket
import time
from collections.abc import Iterable
from typing import Any

import httpx

from results.errors import AtonceError, ExitCode
from results.run_info import Answer
from results.schema import Cell, Scenario
from scenarios.generator.job import COMMON_HEADERS
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust, certificate_advice

# how the bundled app says that a part of it is not installed, or not available
_PART_MISSING_STATUSES = {501, 503}
_MAX_NAMED_ROUTES = 12  # routes that a sentence can name
_MAX_ANSWER_CHARS = 4000  # characters of an answer that are kept
# seconds for one request: twice the longest wait; an interruption is seen only after it
TIMEOUT = 10.0
DEFAULT_PORTS = {"http": 80, "https": 443}


def open_http_client(url: str, trust: TlsTrust, timeout: float, **more: Any) -> httpx.Client:
    """Return a client for single requests, without a proxy, whatever the environment names."""
    # a context is 20 ms of certificates
    verify = trust.ssl_context() if url.startswith("https:") else False
    return httpx.Client(
        base_url=url,
        headers=COMMON_HEADERS,
        timeout=timeout,
        trust_env=False,
        verify=verify,
        **more,
    )


def fetch_response(client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """Send one request and read its whole answer; an endless answer is a time-out too."""
    began, timeout = time.perf_counter(), client.timeout.read or TIMEOUT
    with client.stream(method, path, **more) as answer:
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if time.perf_counter() - began > timeout:
                raise httpx.ReadTimeout("its answer has no end", request=answer.request)
        media_type = answer.headers.get("content-type")
        return httpx.Response(
            answer.status_code,
            headers={} if media_type is None else {"content-type": media_type},
            content=bytes(body),
            request=answer.request,
        )


class PartMissing(Exception):  # noqa: N818 - not an error: this part is not measured
    """Raised with the target's own message when it lacks a part."""


def collect_answers(base_url: str, paths: Iterable[str], trust: TlsTrust) -> dict[str, Answer]:
    """Request paths of the bundled app in turn; return status and body of each.

    Raises PartMissing when the app lacks a part, AtonceError when it does not answer.
    """
    answers: dict[str, Answer] = {}
    # uvicorn closes the connection on which the app raised an error
    limits = httpx.Limits(max_keepalive_connections=0)
    with open_http_client(base_url, trust, TIMEOUT, limits=limits) as client:
        for path in paths:
            try:
                answer = fetch_response(client, "GET", path)
            except httpx.HTTPError as error:
                raise AtonceError(
                    f"GET {path} at {base_url} did not answer ({type(error).__name__}). What was"
                    " measured is kept.",
                    ExitCode.TARGET,
                ) from error
            _raise_if_part_missing(answer)
            answers[path] = Answer(answer.status_code, answer.text[:_MAX_ANSWER_CHARS])
    return answers


def _raise_if_part_missing(answer: httpx.Response) -> None:
    is_json = answer.headers.get("content-type") == "application/json"
    if answer.status_code in _PART_MISSING_STATUSES and is_json:
        raise PartMissing(str(answer.json()["detail"]))


def verify_routes(
    base_url: str,
    cells: Iterable[Cell],
    expected_answer: str | None,
    trust: TlsTrust = DEFAULT_TLS_TRUST,
) -> str:
    """Send one request to each route of the cells; return the body that the variant answered.

    `expected_answer` is what the other variants answered to the same request, if any. Raises
    AtonceError with the first fault, and PartMissing when the bundled app lacks a part.
    """
    answer = ""
    with open_http_client(base_url, trust, TIMEOUT) as client:
        for cell in cells:
            if cell.users or cell.arrivals:
                body = check_route(client, cell.route, cell.path, cell.expects)
                answer = answer if cell.scenario is Scenario.FLOOR else body
            for ping in cell.neighbours:
                check_route(client, ping.route, ping.path, ping.expects)
    if expected_answer is not None and answer != expected_answer:
        raise AtonceError(
            f"The variants do not answer alike: {answer!r} here, {expected_answer!r} before. A"
            " comparison would not be fair.",
            ExitCode.TARGET,
        )
    return answer


def check_route(client: httpx.Client, route: str, path: str, expects: str) -> str:
    """Send one request: it must succeed, with the body and the wait that are expected."""
    began, why = time.perf_counter(), None
    try:
        answer = fetch_response(client, route.partition(" ")[0], path)
    except httpx.HTTPError as error:
        why = certificate_advice(error) or f"{type(error).__name__}; nothing was loaded."
        raise AtonceError(
            f"{route} at {client.base_url} did not answer a single request: {why}",
            ExitCode.TARGET,
        ) from error
    took, stated_wait = time.perf_counter() - began, 0.0
    if expects:  # our own app
        _raise_if_part_missing(answer)
        stated_wait = float(httpx.URL(path).params.get("seconds", 0))
    if not answer.is_success or (expects and answer.text != expects):
        # the body of another's app is not ours to show
        body = f", body {answer.text[:80]!r}, expected {expects!r}" if expects else ""
        why = f"answers wrongly before any load: status {answer.status_code}{body}"
    elif took < stated_wait:
        why = f"says it waited {stated_wait:g} s and answered after {took:.3f} s"
    if why:
        raise AtonceError(f"{route} {why}; nothing was loaded.", ExitCode.TARGET)
    return answer.text


def check_target_alive(base_url: str, cell: str) -> None:
    """Raise AtonceError when nothing listens any more at a target that we did not start."""
    url = httpx.URL(base_url)
    address = url.host, url.port or DEFAULT_PORTS[url.scheme]
    try:
        socket.create_connection(address, TIMEOUT).close()
    except OSError as error:
        raise AtonceError(
            f"The target is gone: nothing listens at {base_url} since {cell} or before. What was"
            " measured is kept.",
            ExitCode.TARGET,
        ) from error


def list_openapi_routes(base_url: str, trust: TlsTrust) -> list[str]:
    """Return the first few GET routes of a host's OpenAPI document; none if it is unreadable."""
    routes: list[str] = []
    unreadable = (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError)
    with contextlib.suppress(*unreadable), open_http_client(base_url, trust, TIMEOUT) as client:
        paths = fetch_response(client, "GET", "/openapi.json").json()["paths"]
        routes = [
            f"GET {path}" for path, methods in paths.items() if "get" in methods and "{" not in path
        ]
    return [route for route in routes if route.isprintable()][:_MAX_NAMED_ROUTES]
