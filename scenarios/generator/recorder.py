"""Records requests: a line when one leaves, so that it cannot vanish, and a line when it ends.

The in-flight gauge is a second source on purpose: it reads the clock by itself, and Little's law
must reconcile its integral with the rows (L T = sum of latencies, with the ages at both edges).
"""

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results.records import GivenUp, Mark, Sent, Tick, Unsent
from results.schema import Cell, Phase
from results.spool import Spool
from scenarios.system.machine import host_counters

clock = time.perf_counter


@dataclass(slots=True)
class Gauge:
    """The number of requests in flight, and its integral over time (request-seconds)."""

    in_flight: int = 0
    ended_count: int = 0  # requests that came back, or were given up
    area: float = 0.0
    since: float = field(default_factory=clock)

    def step(self, change: int) -> None:
        """Count one request in or out."""
        self.area = self.read()
        self.in_flight += change
        self.ended_count += change < 0
        self.since = clock()

    def read(self) -> float:
        """Return the integral up to now."""
        return self.area + self.in_flight * (clock() - self.since)


@dataclass(frozen=True, slots=True)
class SampleKey:
    """What a sample belongs to; `connection` is None for a request that is not sent."""

    cell: Cell
    phase: Phase
    connection: int | None


@dataclass(frozen=True, slots=True)
class InFlightRequest:
    """A request without an answer so far. `greenlet` waits for the answer."""

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

    def start_request(self, key: SampleKey, intended: float, greenlet: Any) -> InFlightRequest:
        """Record a request that is about to be sent. Call right before the socket is written."""
        cell, seq = key.cell, next(self.sequence)
        request = self.in_flight[seq] = InFlightRequest(seq, cell.name, greenlet)
        self.gauges[cell.name].step(+1)
        place = seq, cell.name, key.phase, cell.route, cell.variant, key.connection
        self.samples.write(Sent(*place, intended, clock()))
        return request

    def finish_request(self, request: InFlightRequest) -> float | None:
        """Return the moment of the last byte, or of a failure; None if given up before."""
        if not self.in_flight.pop(request.seq, None):
            return None
        self.gauges[request.cell].step(-1)
        return clock()

    def abandon(self, request: InFlightRequest) -> None:
        """Give up a request: its latency is a lower bound."""
        if self.in_flight.pop(request.seq, None):
            self.gauges[request.cell].step(-1)
            self.samples.write(GivenUp(request.seq, clock()))

    def record_unsent(self, key: SampleKey, intended: float, reason: str) -> None:
        """Record a planned request that could not leave."""
        cell, seq = key.cell, next(self.sequence)
        self.samples.write(
            Unsent(seq, cell.name, key.phase, cell.route, cell.variant, None, intended, reason)
        )

    def read_marks(self, cell: Cell, name: str) -> list[Mark]:
        """Return this moment of a cell, and of its neighbours: gauge and the host's counters."""
        names = {cell.name, cell.neighbour_cell_name} if cell.neighbours else {cell.name}
        counters = host_counters()
        return [
            Mark(of, name, clock(), self.gauges[of].in_flight, self.gauges[of].read(), *counters)
            for of in sorted(names)
        ]

    def record_planned(self, cell: str, count: int) -> None:
        """Record a schedule's number of requests, apart from those sent: none is skipped unseen."""
        self.load.write(Mark(cell, "planned", clock(), count, 0.0))

    def tick(self, cell: str, lateness: float) -> None:
        """Record the generator's own state: its ticker's lateness and its CPU seconds so far."""
        gauge, now = self.gauges[cell], clock()
        cpu_seconds = time.process_time()
        self.load.write(Tick(cell, now, gauge.in_flight, gauge.read(), lateness, cpu_seconds))
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
