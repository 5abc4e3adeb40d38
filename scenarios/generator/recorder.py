"""Locust's requests become facts: a line when one leaves, a line when it is answered or given up.

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
    """How many requests are in flight, and the integral of that number over time (request-seconds)."""

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
    """A request on its way. `bearer` is the greenlet that waits for the answer."""

    seq: int
    cell: str
    greenlet: Any


class Recorder:
    """Writes one worker's samples and load. `open` holds the tickets still out; only this class changes it."""

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
        """A request is about to be sent. Call this right before the socket is written."""
        request = InFlightRequest(next(self.sequence), sample_key.cell, greenlet)
        self.in_flight[request.seq] = request
        self.gauges[sample_key.cell].step(+1)
        self.samples.write("sent", request.seq, *sample_key.to_row(), intended, clock())
        return request

    def request_id(self, request: InFlightRequest) -> str:
        """What the probe's journal calls this request."""
        return f"{self.worker}-{request.seq}"

    def finish_request(self, request: InFlightRequest) -> float | None:
        """The last byte was read, or the request failed: call this at once. None when it was given up before."""
        if not self.in_flight.pop(request.seq, None):
            return None
        self.gauges[request.cell].step(-1)
        return clock()

    def record_response(self, request: InFlightRequest, done: float, response: "Response") -> None:
        """What came back, once there is time to look at it."""
        self.samples.write("done", request.seq, done, *response.to_row())

    def abandon(self, request: InFlightRequest) -> None:
        """Nobody waits for this one any longer: from now on it is a lower bound."""
        if self.in_flight.pop(request.seq, None):
            self.gauges[request.cell].step(-1)
            self.samples.write("given-up", request.seq, clock())

    def record_unsent(self, sample_key: "SampleKey", intended: float, reason: str) -> None:
        """A planned request could not leave: a row too."""
        self.samples.write("unsent", next(self.sequence), *sample_key.to_row(), intended, reason)

    def mark(self, cell: str, name: str) -> None:
        """Note a moment of a cell - go, open, close, end - with what the counter and the machine's own counters read then."""
        gauge = self.gauges[cell]
        self.load.write(
            "mark", cell, name, clock(), gauge.in_flight, gauge.read(), *host_counters()
        )

    def record_planned(self, cell: str, count: int) -> None:
        """How many requests a schedule has, counted apart from those that are sent, so that none can be skipped in silence."""
        self.load.write("mark", cell, "planned", clock(), count, 0.0)

    def tick(self, cell: str, lateness: float) -> None:
        """Note how the generator itself is doing: how late its ticker fired, and its CPU seconds so far."""
        gauge, now = self.gauges[cell], clock()
        self.load.write(
            "tick", cell, now, gauge.in_flight, gauge.read(), lateness, time.process_time()
        )
        self.load.flush_if_due(now)
        self.samples.flush_if_due(now)

    def flush(self) -> None:
        """Hand everything to the system, for whoever wants to look at it now."""
        self.samples.file.flush()
        self.load.file.flush()

    def close(self) -> None:
        """Write what is left."""
        self.samples.close()
        self.load.close()


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Where a sample belongs."""

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
    """What came back. `moments` are the four of the probe, app_start to app_end; `peer` the port it saw."""

    status: int | None
    error: str | None
    bytes: int | None
    timestamps: tuple[float | None, ...]
    peer: int | None

    def to_row(self) -> tuple[Any, ...]:
        """As the spool writes it."""
        return (self.status, self.error, self.bytes, *self.timestamps, self.peer)
