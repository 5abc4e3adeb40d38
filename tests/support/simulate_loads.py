"""Simulated runs of any loads on c ideal servers, with known truth.

Open model and crowds, one worker or several, drained or cut.
"""

import heapq
import itertools
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from results.records import Done, GivenUp, Mark, Sent, Unsent
from results.run_info import RunInfo
from results.schema import (
    ArrivalDistribution,
    Arrivals,
    Cell,
    ConnectionMode,
    Phase,
    Scenario,
    Status,
)
from results.spool import Spool
from results.store import RunWriter
from scenarios.generator.arrivals import arrival_times
from tests.support.simulate_run import CALM, MACHINE, NAMES, Request, area, burst, closed_loop, tick

ROUTE = "GET /x"
HOST = "http://shop.example:8000"


@dataclass(frozen=True, slots=True)
class Server:
    """The truth: c places, `service` seconds each; the sender refuses beyond `cap` in flight."""

    places: int = 1
    service: float = 0.1
    cap: int = 10_000
    drain: float = 1e9  # seconds after the close at which waiting stops
    metronome: bool = False  # send at constant gaps, whatever the distribution
    workers: int = 1
    order: str = "first"  # which waiting request is served next: first, last or random
    exponential: bool = False  # service times, with the same mean
    way: float = 0.0  # seconds from the end of the service to the client
    frozen: float = 0.0  # seconds that it stands still, from half-time on


def steady(
    rate: float,
    seconds: float,
    *,
    law: ArrivalDistribution = ArrivalDistribution.POISSON,
    share: float | None = None,
    repeat: int = 1,
) -> Cell:
    """An open cell; the first tenth warms up."""
    arrivals = Arrivals(
        law=law, profile=((seconds, rate, rate),), pool=ConnectionMode.WARM, warm=8, cap=900
    )
    name = f"steady/{ROUTE}/{rate:g}" + ("" if repeat == 1 else f"~{repeat}")
    return cell(name, Scenario.STEADY, 0, seconds, arrivals=arrivals, share=share, repeat=repeat)


def crowd(users: int, seconds: float, repeat: int = 1, *, think: float = 0.0) -> Cell:
    """A closed cell; the first tenth warms up."""
    name = f"crowd/{ROUTE}/{users}" + ("" if repeat == 1 else f"~{repeat}")
    return cell(name, Scenario.CROWD, users, seconds, repeat=repeat, think=think)


def cell(name: str, scenario: Scenario, users: int, seconds: float, **more: Any) -> Cell:
    """A cell of the only route."""
    times: dict[str, Any] = {"warm_up": seconds / 10, "window": seconds * 9 / 10, "drain": 20.0}
    return Cell(
        name=name,
        scenario=scenario,
        variant=ROUTE,
        route=ROUTE,
        path="/x",
        expects="",
        users=users,
        **times,
        **more,
    )


def write(
    root: Path, cells: Iterable[Cell], server: Server, command: str = "run", **facts: Any
) -> Path:
    """Write a run folder; with `status` RUNNING as a killed driver leaves it: spools only."""
    path, cells = root / f"20260101T000000Z-{command}-0000", tuple(cells)
    path.mkdir(parents=True)
    run, status = RunWriter(path, command), facts.pop("status", Status.COMPLETE)
    facts = {
        "scenario": "steady",
        "host": HOST,
        "seed": 1,
        "plan": {"seconds": None, "notes": [], "cells": [cell.to_dict() for cell in cells]},
        "schedule": "0" * 64,
        "loop": "unknown",
        "workers": server.workers,
        "machine": MACHINE,
        "packages": dict.fromkeys(NAMES, "1.0"),
        "connections": "opened before the load",
        "targets": {},
        **facts,
    }
    run.open(msgspec.convert(facts, RunInfo))
    run.info.origin = 0.0
    now = 1.0
    workers = [
        Worker(
            Spool(path / "samples" / f"worker-{i}.jsonl"),
            Spool(path / "load" / f"worker-{i}.jsonl"),
        )
        for i in range(server.workers)
    ]
    for cell in cells:
        now = play(workers, cell, server, now) + 1.0
    for worker in workers:
        worker.samples.close()
        worker.load.close()
    if status is Status.RUNNING:
        run.write_info()
    else:
        run.close(status)
    return path


@dataclass(frozen=True, slots=True)
class Worker:
    """One generator process: its spools, and the numbers of its requests."""

    samples: Spool
    load: Spool
    numbers: Iterator[int] = field(default_factory=itertools.count)


def play(workers: list[Worker], cell: Cell, server: Server, now: float) -> float:
    """One cell's lines, dealt to the workers in turn, whose windows differ a little."""
    opened, closed = now + cell.warm_up, now + cell.warm_up + cell.window
    if cell.arrivals:
        requests = opened_by(cell, server, now)
    else:
        requests = (burst if cell.scenario is Scenario.BURST else closed_loop)(
            cell, server.places, server.service, now
        )
    end = min(closed + server.drain, max([closed, *(request.done or 0 for request in requests)]))
    requests = [
        r if r.done is None or r.done <= end else Request(r.user, r.sent, r.begin, r.end, None)
        for r in requests
    ]
    for i, worker in enumerate(workers):
        mine = requests[i :: len(workers)]
        for request in mine:
            write_request(
                worker.samples, next(worker.numbers), cell, request, phase_of(request, opened), end
            )
        left = [request for request in mine if request.begin >= 0]
        bounds = {"go": now, "open": opened + 0.01 * i, "close": closed - 0.01 * i, "end": end}
        for mark, moment in [("open", now), *bounds.items()]:  # an early "open" that must not count
            worker.load.write(Mark(cell.name, mark, moment, 0, area(left, moment), *CALM))
        tick(worker.load, cell.name, now, end)
    return end


def opened_by(cell: Cell, server: Server, now: float) -> list[Request]:
    """Arrivals on c servers, in the server's order; a refused request has a negative begin."""
    assert cell.arrivals is not None
    rate, seconds = cell.arrivals.profile[0][1], cell.arrivals.duration
    constant = server.metronome or cell.arrivals.law is ArrivalDistribution.CONSTANT
    gaps = (
        [i / rate for i in range(round(rate * seconds))]
        if constant
        else list(arrival_times(((seconds, rate, rate),), ArrivalDistribution.POISSON, cell.name))
    )
    requests = [Request(user, now + gap, -1.0, -1.0, None) for user, gap in enumerate(gaps)]
    # A seed, not a secret
    serve(requests, server, random.Random(cell.name), now + seconds / 2)  # noqa: S311
    return requests


def serve(requests: list[Request], server: Server, dice: random.Random, freeze: float) -> None:
    """Set each request's moments; a frozen server stands still. Beyond the cap they stay unset."""
    waiting: list[Request] = []
    busy: list[float] = []

    def begin(request: Request, moment: float) -> None:
        takes = dice.expovariate(1 / server.service) if server.exponential else server.service
        end, thaw = moment + takes, freeze + server.frozen
        if server.frozen and end > freeze and moment < thaw:
            end = thaw + end - max(moment, freeze)
        request.begin, request.end, request.done = moment, end, end + server.way
        heapq.heappush(busy, end)

    for request in [*requests, None]:
        while busy and busy[0] <= (request.sent if request else math.inf):
            moment = heapq.heappop(busy)
            if waiting:
                last = len(waiting) - 1
                begin(
                    waiting.pop(
                        {"first": 0, "last": last, "random": dice.randint(0, last)}[server.order]
                    ),
                    moment,
                )
        if request and len(busy) < server.places:
            begin(request, request.sent)
        elif request and len(busy) + len(waiting) < server.cap:
            waiting.append(request)


def phase_of(request: Request, opened: float) -> Phase:
    """Where in its cell a request was planned."""
    return Phase.STEADY if request.sent > opened else Phase.WARM_UP


def write_request(  # noqa: PLR0913, PLR0917 - a line has that many sides
    samples: Spool, seq: int, cell: Cell, request: Request, phase: Phase, end: float
) -> None:
    """The lines of one request."""
    user = request.user % cell.arrivals.warm if cell.arrivals else request.user
    words = (seq, cell.name, phase, ROUTE, cell.variant, user, request.sent)
    if request.begin < 0:
        samples.write(Unsent(*words, "the in-flight cap of 900 was reached"))
        return
    samples.write(Sent(*words, request.sent))
    if request.done is None:
        samples.write(GivenUp(seq, end))
    else:
        samples.write(Done(seq, request.done, 200, None, 14, None, None, None, None, 50_000))
