"""Sends one request on one connection and records it, whatever happens to it.

It uses geventhttpclient, the client under Locust's FastHttpUser: FastHttpUser's own session costs
twice the CPU per request, and its lateness would pass for latency. Locust gets every request too,
with its latency from the planned moment.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from results.records import Done
from results.schema import Cell
from scenarios.generator.job import COMMON_HEADERS, REQUEST_ID_HEADER, RequestTemplate
from scenarios.generator.recorder import Recorder, SampleKey
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

clock = time.perf_counter
_NANOS_PER_SECOND = 1e9
# seconds; the load engine gives up long before: no time-out of the client cuts a latency short
TIMEOUT = 300.0
READ_SIZE = 65_536  # bytes of a body that are read at a time
_SUCCESS_STATUSES = range(200, 300)
_EMPTY_TEMPLATE = RequestTemplate()


class AbandonedRequest(ConnectionError):  # noqa: N818 - the name is what Locust shows in its table
    """Thrown into the greenlet of an abandoned request: Locust then counts it as a failure."""


@dataclass(eq=False)
class Client:
    """Sends requests to one host, with the `templates` of their routes, and records the answers."""

    environment: Any  # Locust's
    host: str
    recorder: Recorder
    templates: Mapping[str, RequestTemplate]
    trust: TlsTrust = DEFAULT_TLS_TRUST
    tls: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.host.startswith("https:"):
            context = self.trust.ssl_context()  # one for all: each is 20 ms of certificates
            self.tls["insecure"] = self.trust.insecure
            self.tls["ssl_context_factory"] = lambda **_: context

    def new_connection(self) -> HTTPClient:
        """Return a client with one unopened connection, which never sends a request twice."""
        waits = {"connection_timeout": TIMEOUT, "network_timeout": TIMEOUT}
        client = HTTPClient.from_url(
            self.host, headers=COMMON_HEADERS, concurrency=1, **waits, **self.tls
        )
        # When a server closes before it answers, geventhttpclient sends again, "pool size + 1"
        # times: one row would stand for several requests. It reads the size only for that.
        client._connection_pool.size = -1  # noqa: SLF001
        return client

    def connect(self, connection: HTTPClient) -> None:
        """Connect before the load; send nothing. A missing target shows at the first request."""
        # there is no public way to connect without a request
        pool = connection._connection_pool  # noqa: SLF001
        with contextlib.suppress(OSError):
            pool.return_socket(pool.get_socket())

    def send_request(
        self, connection: HTTPClient, key: SampleKey, intended: float
    ) -> tuple[bool, bool]:
        """Send a request and record it; return whether it was answered, and rightly.

        A failure is recorded, not raised; a greenlet that Locust kills goes on ending.
        """
        failure, answer, length, is_right = None, None, 0, True
        cell, started = key.cell, time.time()
        method, _, name = cell.route.partition(" ")
        request = self.recorder.start_request(key, intended, gevent.getcurrent())
        try:
            template = self.templates.get(cell.route, _EMPTY_TEMPLATE)
            request_id = f"{self.recorder.worker}-{request.seq}"  # as in the probe's trace log
            headers = {**template.headers, REQUEST_ID_HEADER: request_id}
            body = template.body and template.body.encode("latin-1")
            answer = connection.request(method, template.path or cell.path, body, headers)
            length, is_right = read_and_count(answer, cell.expects.encode())
        except (OSError, HTTPParseError, HTTPConnectionClosed) as error:
            failure = error
        except gevent.GreenletExit:
            self.recorder.abandon(request)
            raise
        done = self.recorder.finish_request(request)
        status = answer.status_code if answer and not failure else None
        fault = _classify_failure(failure, status, cell) or (None if is_right else "wrong body")
        if done is not None:
            times = _parse_probe_header(answer)
            self.recorder.samples.write(Done(request.seq, done, status, fault, length, *times))
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=((done or clock()) - intended) * 1000,
            response_length=length,
            response=answer,
            context={},
            exception=failure or (RuntimeError(fault) if fault else None),
            start_time=started,
            url=cell.path,
        )
        return status is not None, fault is None


def read_and_count(answer: Any, expected: bytes) -> tuple[int, bool]:
    """Return how long a body is, and whether it is the expected one; keep only that much."""
    length, kept = 0, b""
    while piece := answer.read(READ_SIZE):
        length += len(piece)
        kept += piece[: len(expected) + 1 - len(kept)] if expected else b""
        if len(piece) == READ_SIZE:
            gevent.sleep(0)  # else all others would wait for what comes as fast as read
    return length, kept == expected


def _classify_failure(failure: Exception | None, status: int | None, cell: Cell) -> str | None:
    if failure or status is None:
        return type(failure).__name__
    is_expected = status == cell.status if cell.status else status in _SUCCESS_STATUSES
    return None if is_expected else f"status {status}"


def _parse_probe_header(
    answer: Any,
) -> tuple[float | None, float | None, float | None, float | None, int | None]:
    """Return the probe's four times and the port it saw; None for what is unknown."""
    stamp = str(answer.get("x-atonce-times", "")) if answer else ""
    try:
        start, begin, end, out, peer = map(int, stamp.split(";"))
    except ValueError:
        return None, None, None, None, None
    begin_time, end_time, out_time = (
        (start + since) / _NANOS_PER_SECOND if since else None for since in (begin, end, out)
    )
    return start / _NANOS_PER_SECOND, begin_time, end_time, out_time, peer
