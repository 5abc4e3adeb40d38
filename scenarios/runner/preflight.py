"""Before any load: every route answers, rightly, and the variants answer alike.

A benchmark of routes that fail quickly looks fast. Asking each route once also warms it up:
FastAPI reads source files at a route's first call.
"""

import socket
import time
from collections.abc import Iterable
from typing import Any

import httpx

from results.errors import AtonceError, ExitCode
from results.schema import Cell, Scenario
from scenarios.generator.job import COMMON_HEADERS
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust, certificate_advice

# how the bundled app says that a part of it is not installed, or not available
_PART_MISSING_STATUSES = {501, 503}
_MAX_NAMED_ROUTES = 12  # routes that a sentence can name
_MAX_ANSWER_CHARS = 4000  # characters of an answer that are kept
# seconds for one request: twice the longest wait; an interruption is seen only after it
TIMEOUT = 10.0


def open_http_client(url: str, trust: TlsTrust, timeout: float, **more: Any) -> httpx.Client:
    """A client for single requests, without a proxy, whatever the environment names."""
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
        headers = {
            name: answer.headers[name] for name in ("content-type",) if name in answer.headers
        }
        return httpx.Response(
            answer.status_code, headers=headers, content=bytes(body), request=answer.request
        )


class PartMissing(Exception):  # noqa: N818 - not an error: this part is not measured
    """Raised with the target's own message when it lacks a part."""


def collect_answers(
    base_url: str, paths: Iterable[str], trust: TlsTrust
) -> dict[str, dict[str, Any]]:
    """Ask paths of the bundled app in turn; status and body of each.

    Raises PartMissing when the app lacks a part, AtonceError when it does not answer.
    """
    answers = {}
    # uvicorn closes the connection on which the app raised an error
    limits = httpx.Limits(max_keepalive_connections=0)
    with open_http_client(base_url, trust, TIMEOUT, limits=limits) as client:
        for path in paths:
            try:
                answer = fetch_response(client, "GET", path)
            except httpx.HTTPError as error:
                sentence = (
                    f"GET {path} at {base_url} did not answer ({type(error).__name__}). What was"
                    " measured is kept."
                )
                raise AtonceError(sentence, ExitCode.TARGET) from error
            _raise_if_part_missing(answer)
            answers[path] = {"status": answer.status_code, "body": answer.text[:_MAX_ANSWER_CHARS]}
    return answers


def _raise_if_part_missing(answer: httpx.Response) -> None:
    """Raises PartMissing when the app says that this part is not installed, or not available."""
    if (
        answer.status_code in _PART_MISSING_STATUSES
        and answer.headers.get("content-type") == "application/json"
    ):
        raise PartMissing(str(answer.json()["detail"]))


def verify_routes(
    base_url: str,
    cells: Iterable[Cell],
    expected_answer: str | None,
    trust: TlsTrust = DEFAULT_TLS_TRUST,
) -> str:
    """Ask each route of the cells once; return the body that the variant answered.

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
        sentence = (
            f"The variants do not answer alike: {answer!r} here, {expected_answer!r} before;"
            " nothing fair can be compared."
        )
        raise AtonceError(sentence, ExitCode.TARGET)
    return answer


def check_route(client: httpx.Client, route: str, path: str, expects: str) -> str:
    """Ask a route once: it must succeed, have the body expected, and wait as long as it says."""
    began = time.perf_counter()
    try:
        answer = fetch_response(client, route.partition(" ")[0], path)
    except httpx.HTTPError as error:
        why = certificate_advice(error) or f"{type(error).__name__}; nothing was loaded."
        sentence = f"{route} at {client.base_url} did not answer one polite request: {why}"
        raise AtonceError(sentence, ExitCode.TARGET) from error
    took = time.perf_counter() - began
    if expects:  # our own app
        _raise_if_part_missing(answer)
    if not answer.is_success or (expects and answer.text != expects):
        # the body of another's app is not ours to show
        body = f", body {answer.text[:80]!r}, expected {expects!r}" if expects else ""
        sentence = (
            f"{route} answers wrongly before any load: status {answer.status_code}{body}; nothing"
            " was loaded."
        )
        raise AtonceError(sentence, ExitCode.TARGET)
    stated_wait = float(httpx.URL(path).params.get("seconds", 0)) if expects else 0.0
    if took < stated_wait:
        raise AtonceError(
            f"{route} says it waited {stated_wait:g} s and answered after {took:.3f} s; nothing was"
            " loaded.",
            ExitCode.TARGET,
        )
    return answer.text


def check_target_alive(base_url: str, cell: str) -> None:
    """Raises AtonceError when nothing listens any more at a target that we did not start."""
    url = httpx.URL(base_url)
    try:
        socket.create_connection(
            (url.host, url.port or {"http": 80, "https": 443}[url.scheme]), TIMEOUT
        ).close()
    except OSError as error:
        sentence = (
            f"The target is gone: nobody listens at {base_url} since {cell} or before. What was"
            " measured is kept."
        )
        raise AtonceError(sentence, ExitCode.TARGET) from error


def list_openapi_routes(base_url: str, trust: TlsTrust) -> list[str]:
    """The first few GET routes of a host's OpenAPI document; none when it cannot be read."""
    try:
        with open_http_client(base_url, trust, TIMEOUT) as client:
            paths = fetch_response(client, "GET", "/openapi.json").json()["paths"]
        routes = [
            f"GET {path}" for path, methods in paths.items() if "get" in methods and "{" not in path
        ]
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [route for route in routes if route.isprintable()][:_MAX_NAMED_ROUTES]
