"""Records requests: a line when one leaves, a line when it is answered or given up.

Because the first line is written when the request leaves, nothing that happens later can make it
vanish. The in-flight counter beside it is a second source on purpose: it takes its own clock
readings, its integral over time is kept apart from the rows, and Little's law must reconcile the
two (science: L T = sum of latencies, with the ages at both edges).
"""

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results.schema import Phase
from results.spool import Spool
from scenarios.system.machine import host_counters

clock = time.perf_counter


@dataclass(slots=True)
class Gauge:
    """The number of requests in flight, and its integral over time (request-seconds)."""

    in_flight: int = 0
    area: float = 0.0
    since: float = field(default_factory=clock)

    def step(self, change: int) -> None:
        """Count one request in or out."""
        self.area = self.read()
        self.in_flight += change
        self.since = clock()

    def read(self) -> float:
        """The integral up to now."""
        return self.area + self.in_flight * (clock() - self.since)


@dataclass(frozen=True, slots=True)
class InFlightRequest:
    """A request on its way. `greenlet` waits for the answer."""

    seq: int
    cell: str
    greenlet: Any


class Recorder:
    """Writes one worker's samples and load. Only this class changes `in_flight`."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.worker = worker
        self.samples = Spool(folder / "samples" / f"{worker}.jsonl")
        self.load = Spool(folder / "load" / f"{worker}.jsonl")
        self.in_flight: dict[int, InFlightRequest] = {}
        self.gauges: defaultdict[str, Gauge] = defaultdict(Gauge)
        self.sequence = itertools.count()

    def start_request(
        self, sample_key: "SampleKey", intended: float, greenlet: Any
    ) -> InFlightRequest:
        """Record a request that is about to be sent. Call right before the socket is written."""
        request = InFlightRequest(next(self.sequence), sample_key.cell, greenlet)
        self.in_flight[request.seq] = request
        self.gauges[sample_key.cell].step(+1)
        self.samples.write("sent", request.seq, *sample_key.to_row(), intended, clock())
        return request

    def request_id(self, request: InFlightRequest) -> str:
        """What the probe's trace log calls this request."""
        return f"{self.worker}-{request.seq}"

    def finish_request(self, request: InFlightRequest) -> float | None:
        """Call once the last byte was read or the request failed. None if given up before."""
        if not self.in_flight.pop(request.seq, None):
            return None
        self.gauges[request.cell].step(-1)
        return clock()

    def record_response(self, request: InFlightRequest, done: float, response: "Response") -> None:
        """Record what came back, once there is time for it."""
        self.samples.write("done", request.seq, done, *response.to_row())

    def abandon(self, request: InFlightRequest) -> None:
        """Give up a request: its latency is a lower bound."""
        if self.in_flight.pop(request.seq, None):
            self.gauges[request.cell].step(-1)
            self.samples.write("given-up", request.seq, clock())

    def record_unsent(self, sample_key: "SampleKey", intended: float, reason: str) -> None:
        """Record a planned request that could not leave."""
        self.samples.write("unsent", next(self.sequence), *sample_key.to_row(), intended, reason)

    def mark(self, cell: str, name: str) -> None:
        """Record a moment of a cell (go, open, close, end), its gauge and the host's counters."""
        gauge = self.gauges[cell]
        self.load.write(
            "mark", cell, name, clock(), gauge.in_flight, gauge.read(), *host_counters()
        )

    def record_planned(self, cell: str, count: int) -> None:
        """Record a schedule's number of requests, apart from those sent: none is skipped unseen."""
        self.load.write("mark", cell, "planned", clock(), count, 0.0)

    def tick(self, cell: str, lateness: float) -> None:
        """Record the generator's own state: its ticker's lateness and its CPU seconds so far."""
        gauge, now = self.gauges[cell], clock()
        self.load.write(
            "tick", cell, now, gauge.in_flight, gauge.read(), lateness, time.process_time()
        )
        self.load.flush_if_due(now)
        self.samples.flush_if_due(now)

    def flush(self) -> None:
        """Hand everything to the system, so that it can be read now."""
        self.samples.file.flush()
        self.load.file.flush()

    def close(self) -> None:
        """Write what is left."""
        self.samples.close()
        self.load.close()


@dataclass(frozen=True, slots=True)
class SampleKey:
    """What a sample belongs to."""

    cell: str
    phase: Phase
    route: str
    variant: str
    connection: int | None

    def to_row(self) -> tuple[Any, ...]:
        """As the spool writes it."""
        return (self.cell, self.phase, self.route, self.variant, self.connection)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back.

    `timestamps` are the probe's four, app_start to app_end; `peer` is the port it saw.
    """

    status: int | None
    error: str | None
    bytes: int | None
    timestamps: tuple[float | None, ...]
    peer: int | None

    def to_row(self) -> tuple[Any, ...]:
        """As the spool writes it."""
        return (self.status, self.error, self.bytes, *self.timestamps, self.peer)
