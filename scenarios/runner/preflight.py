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
_DEFAULT_PORTS = {"http": 80, "https": 443}


def target_error(sentence: str) -> AtonceError:
    """Return the error about a target that does not start, answer or live on."""
    return AtonceError(sentence, ExitCode.TARGET)


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
    deadline = time.perf_counter() + (client.timeout.read or TIMEOUT)
    with client.stream(method, path, **more) as answer:
        body, request = bytearray(), answer.request
        for piece in answer.iter_bytes():
            body += piece
            if time.perf_counter() > deadline:
                raise httpx.ReadTimeout("its answer has no end", request=request)
        kept = {name: value for name, value in answer.headers.items() if name == "content-type"}
        content, status = bytes(body), answer.status_code
        return httpx.Response(status, headers=kept, content=content, request=request)


class PartMissing(Exception):  # noqa: N818 - not an error: this part is not measured
    """Raised with the target's own message when it lacks a part."""


def collect_answers(base_url: str, paths: Iterable[str], trust: TlsTrust) -> dict[str, Answer]:
    """Request paths of the bundled app in turn; return status and body of each.

    Raises AtonceError when it does not answer, PartMissing when it lacks a part.
    """
    answers: dict[str, Answer] = {}
    # uvicorn closes the connection on which the app raised an error
    limits = httpx.Limits(max_keepalive_connections=0)
    with open_http_client(base_url, trust, TIMEOUT, limits=limits) as client:
        for path in paths:
            try:
                answer = fetch_response(client, "GET", path)
            except httpx.HTTPError as error:
                why = f"GET {path} at {base_url} did not answer ({type(error).__name__})."
                raise target_error(f"{why} The run keeps what was measured.") from error
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

    `expected_answer` is that of the other variants, if any. Raises AtonceError with the first
    fault, and PartMissing when the bundled app lacks a part.
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
        why = f"The variants do not answer alike: {answer!r} here, {expected_answer!r} before."
        raise target_error(f"{why} A comparison would not be fair.")
    return answer


def check_route(client: httpx.Client, route: str, path: str, expects: str) -> str:
    """Send one request: it must succeed, with the body and the wait that are expected."""
    began, why = time.perf_counter(), None
    try:
        answer = fetch_response(client, route.partition(" ")[0], path)
    except httpx.HTTPError as error:
        why = certificate_advice(error) or f"{type(error).__name__}; nothing was loaded."
        sentence = f"{route} at {client.base_url} did not answer a single request: {why}"
        raise target_error(sentence) from error
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
        raise target_error(f"{route} {why}; nothing was loaded.")
    return answer.text


def url_address(text: str) -> tuple[str, int]:
    """Return the host and port of a URL."""
    url = httpx.URL(text)
    return url.host, url.port or _DEFAULT_PORTS[url.scheme]


def check_target_alive(base_url: str, cell: str) -> None:
    """Raise AtonceError when nothing listens any more at a target that we did not start."""
    try:
        socket.create_connection(url_address(base_url), TIMEOUT).close()
    except OSError as error:
        why = f"The target is gone: nothing listens at {base_url} since {cell} or before."
        raise target_error(f"{why} The run keeps what was measured.") from error


def list_openapi_routes(base_url: str, trust: TlsTrust) -> list[str]:
    """Return the first few GET routes of a host's OpenAPI document; none if it is unreadable."""
    paths: list[str] = []
    unreadable = (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError)
    with contextlib.suppress(*unreadable), open_http_client(base_url, trust, TIMEOUT) as client:
        document = fetch_response(client, "GET", "/openapi.json").json()["paths"]
        paths = [path for path, methods in document.items() if "get" in methods]
    plain_paths = [path for path in paths if path.isprintable() and "{" not in path]
    return [f"GET {path}" for path in plain_paths[:_MAX_NAMED_ROUTES]]
