"""A simulator that writes real run folders with known truth: Locust's and the probe's spools.

Closed loops and bursts run on c ideal servers, first come first served, each request taking exactly
D. What the neighbours feel follows from what a variant holds: the loop, the threads, or nothing. No
time passes.
"""

import heapq
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from results.records import (
    Done,
    GivenUp,
    Mark,
    ProcessSample,
    RequestLine,
    Runtime,
    Sent,
    Tick,
    Trace,
    Unsent,
)
from results.run_info import RunInfo
from results.schema import (
    ArrivalDistribution,
    Cell,
    Neighbour,
    Phase,
    Scenario,
    Status,
    Variant,
    base_variant,
)
from results.spool import Spool
from results.store import RunWriter
from scenarios.generator.arrivals import arrival_times
from scenarios.plans.model import BEHIND_AWAIT_VARIANT, Plan, Session, quick_plan

# Nothing stolen, no wait for a core, nothing swapped, no CPU limit
CALM = (0.0, 0.0, 0, 0, 0)
IDLE = 0.002  # seconds that a neighbour takes when nothing disturbs it
OVERHEAD = 0.0005  # seconds between handler and client, each way
MACHINE = {
    "system": "Linux",
    "python": "3.11.7",
    "cpus": 2,
    "cpu": "simulated",
    "busy_before": 0.0,
    "clock": {"resolution": 4e-8, "backward": 0},
}
NAMES = ("fastapi", "uvicorn", "anyio", "starlette", "uvloop", "locust", "gevent")


@dataclass(frozen=True, slots=True)
class Truth:
    """How one variant behaves: its places, and whether it holds the loop or the threads."""

    places: int
    holds_loop: bool = False
    holds_threads: bool = False
    # Between a timer and the handler, so that all pass the timer before they queue
    suspends: bool = False
    stretch: float = 1.0  # how many times as long as planned the work takes
    turns: float = 0.0  # seconds that a neighbour waits for threads that compute
    # Seconds of CPU for each request, beside the tenth of a core that the app takes anyway
    cpu: float = 0.0


HONEST: dict[str, "Truth"] = {
    Variant.BROKEN_ASYNC: Truth(1, holds_loop=True),
    BEHIND_AWAIT_VARIANT: Truth(1, holds_loop=True, suspends=True),
    Variant.TO_THREAD: Truth(6),
    Variant.SYNC: Truth(40, holds_threads=True),
    Variant.ASYNC: Truth(10_000),
}


@dataclass(slots=True)
class Request:
    """A simulated request, moments in seconds; `done` None: still out when the cell ends."""

    user: int
    sent: float
    begin: float
    end: float
    done: float | None


@dataclass(slots=True)
class World:
    """What may be changed before the run is written: rows for the spool, and the run's facts."""

    truths: dict[str, Truth] = field(default_factory=lambda: dict(HONEST))
    plan: Plan = field(default_factory=lambda: quick_plan(0.1))
    edit: Callable[[str, list[RequestLine]], list[RequestLine]] = lambda _cell, lines: lines
    facts: Callable[[dict[str, Any]], None] = lambda _facts: None
    # Seconds after a window's end at which waiting stops; None: until all is answered
    cut: float | None = None
    # All answers of a burst leave together, as behind middleware that suspends
    hold_answers: bool = False
    probe: bool = True
    shows_queue: bool = True  # asyncio shows its executor's queue, uvloop does not
    status: Status = Status.COMPLETE
    # How much longer the work takes after a restart
    pace: Callable[[int], float] = lambda _repeat: 1.0
    unfair: tuple[str, ...] = ()  # variants that serve the last arrival next
    journal: list[Trace] = field(default_factory=list)

    def truth(self, variant: str) -> Truth:
        """How a variant behaves; an experiment behaves as it is written, unless it is planted."""
        return self.truths.get(variant) or self.truths[base_variant(variant)]


def acts_of(*variants: str) -> Plan:
    """The quick plan's part on some variants: a fault in one cell needs no sixty others."""
    whole = quick_plan(0.1)
    return replace(whole, sessions=tuple(act for act in whole.sessions if act.variant in variants))


def closed_loop(cell: Cell, places: int, service: float, start: float) -> list[Request]:
    """N users on `places` servers until the window closes; first come, first served."""
    close = start + cell.warm_up + cell.window
    asks = [(start + cell.stagger * user / cell.users, user) for user in range(cell.users)]
    heapq.heapify(asks)
    free = [start] * min(places, cell.users)
    requests = []
    while asks:
        moment, user = heapq.heappop(asks)
        if moment >= close:
            continue
        begin = max(moment + OVERHEAD, heapq.heappop(free))
        end = begin + service
        heapq.heappush(free, end)
        requests.append(Request(user, moment, begin, end, end + OVERHEAD))
        heapq.heappush(asks, (end + OVERHEAD + cell.think, user))
    return requests


def last_come(cell: Cell, service: float, start: float) -> list[Request]:
    """N users on one server that serves the last arrival next: few users, as many answers."""
    close = start + cell.warm_up + cell.window
    asks = [(start + cell.stagger * user / cell.users, user) for user in range(cell.users)]
    heapq.heapify(asks)
    waiting, clock, requests = list[tuple[float, int]](), start, list[Request]()
    while asks or waiting:
        clock = clock if waiting else max(clock, asks[0][0])
        while asks and asks[0][0] <= clock:
            waiting.append(heapq.heappop(asks))
        moment, user = waiting.pop()
        begin = max(clock, moment + OVERHEAD)
        clock = begin + service
        requests.append(Request(user, moment, begin, clock, clock + OVERHEAD))
        if clock + OVERHEAD < close:
            heapq.heappush(asks, (clock + OVERHEAD, user))
    return requests


def burst(cell: Cell, places: int, service: float, start: float) -> list[Request]:
    """N at once: request k ends after ceil(k / c) D."""
    requests = []
    for k in range(cell.users):
        begin = start + OVERHEAD + k // places * service
        requests.append(
            Request(k, start + 1e-6 * k, begin, begin + service, begin + service + OVERHEAD)
        )
    return requests


def felt(ping: Neighbour, truth: Truth, crowd: list[Request], moment: float) -> float:
    """A neighbour's latency at a moment: behind the work ahead of it, if the crowd holds that."""
    if truth.holds_loop or (truth.holds_threads and ping.kind == "def"):
        ahead = [request.begin for request in crowd if request.sent <= moment < request.begin]
        return max([*ahead, moment]) - moment + IDLE
    return IDLE + truth.turns


def write(root: Path, world: World) -> Path:
    """Write a sealed run folder."""
    path = root / "20260101T000000Z-reproduce-0000"
    path.mkdir(parents=True)
    run = RunWriter(path, "reproduce")
    facts: dict[str, Any] = {
        "seed": 1,
        "plan": {
            "seconds": world.plan.seconds,
            "notes": [],
            "cells": [cell.to_dict() for cell in world.plan.cells],
        },
        "schedule": "0" * 64,
        "loop": "asyncio",
        "loops": {act.name: act.loop for act in world.plan.sessions if act.loop},
        "workers": 1,
        "machine": {**MACHINE, "app_core": 1, "locust_core": 0},
        "packages": dict.fromkeys(NAMES, "1.0"),
        "connections": "opened before the load",
    }
    world.facts(facts)
    run.open(msgspec.convert(facts, RunInfo))
    run.info.origin = 0.0
    now = 1.0
    for act in world.plan.sessions:
        now = write_act(path, world, act, now) + 1.0
    run.close(world.status)
    return path


def write_act(path: Path, world: World, act: Session, now: float) -> float:
    """One session's spools."""
    began = now
    samples, load = (
        Spool(path / "samples" / f"{act.name}.jsonl"),
        Spool(path / "load" / f"{act.name}.jsonl"),
    )
    seq = 0
    worked = list[tuple[float, float]]()
    world.journal.clear()
    for cell in act.cells:
        truth = world.truth(cell.variant)
        crowd = play(
            cell,
            truth,
            act.seconds * truth.stretch * world.pace(act.repeat),
            now,
            unfair=act.variant in world.unfair,
        )
        if world.hold_answers and cell.scenario is Scenario.BURST:
            last = max(request.end for request in crowd) + OVERHEAD
            crowd = [
                Request(request.user, request.sent, request.begin, request.end, last)
                for request in crowd
            ]
        worked += [(request.end, truth.cpu) for request in crowd]
        opened, closed = now + cell.warm_up, now + cell.warm_up + cell.window
        end = max([closed, *(request.done or 0 for request in crowd)])
        if world.cut is not None:
            end = closed + world.cut
            crowd = [
                request
                if request.done and request.done <= end
                else Request(request.user, request.sent, request.begin, request.end, None)
                for request in crowd
            ]
        lines, aside = list[RequestLine](), list[RequestLine]()
        for request in crowd:
            lines += lines_of(cell.name, cell.route, cell, request, world, opened, end)
        pings = [ask for ping in cell.neighbours for ask in pinged(cell, ping, truth, crowd, now)]
        for route, request in pings:
            aside += lines_of(cell.neighbour_cell_name, route, cell, request, world, opened, end)
        for line in number(
            [*world.edit(cell.name, lines), *world.edit(cell.neighbour_cell_name, aside)],
            act.name,
            seq,
            world,
        ):
            samples.write(line)
        seq += 2 * (len(lines) + len(aside)) + 1
        bounds = {"go": now, "open": opened, "close": closed, "end": end}
        marks = ("go", "end") if cell.scenario is Scenario.BURST else tuple(bounds)
        beside = (
            [(cell.neighbour_cell_name, [request for _, request in pings])]
            if cell.neighbours and cell.neighbour_cell_name != cell.name
            else []
        )
        for name, requests in [(cell.name, crowd or [request for _, request in pings]), *beside]:
            for mark in marks:
                moment = bounds[mark]
                load.write(Mark(name, mark, moment, 0, area(requests, moment), *CALM))
        tick(load, cell.name, now, end)
        now = max([end, *(request.done or end for _, request in pings)]) + 0.5
    samples.close()
    load.close()
    if world.probe:
        write_probe(path, act, (began, now), world, worked)
    return now


def tick(load: Spool, name: str, now: float, end: float) -> None:
    """A generator at ease: punctual, at a tenth of its core."""
    for i in range(int(10 * (end - now))):
        load.write(Tick(name, now + 0.1 * i, 0, 0.0, 0.0005, 0.01 * i))


def play(cell: Cell, truth: Truth, service: float, now: float, *, unfair: bool) -> list[Request]:
    """The loaded route's requests in one cell."""
    if cell.scenario is Scenario.NEIGHBOURS:
        return []
    if cell.arrivals:
        if cell.scenario is Scenario.FLOOR:
            sent = [
                now + moment
                for moment in arrival_times(cell.arrivals.profile, cell.arrivals.law, "1")
            ]
            return [
                Request(i % 64, due, due + IDLE / 2, due + IDLE / 2, due + IDLE)
                for i, due in enumerate(sent)
            ]
        return arrived(cell, truth.places, service, now)
    if unfair:
        return last_come(cell, service, now)
    return (burst if cell.scenario is Scenario.BURST else closed_loop)(
        cell, truth.places, service, now
    )


def pinged(
    cell: Cell, ping: Neighbour, truth: Truth, crowd: list[Request], now: float
) -> list[tuple[str, Request]]:
    """One neighbour's requests in one cell."""
    requests = []
    for moment in arrival_times(
        ((cell.warm_up + cell.window, ping.rate, ping.rate),),
        ArrivalDistribution.POISSON,
        f"1/{ping.kind}",
    ):
        due = now + moment
        end = due + felt(ping, truth, crowd, due)
        requests.append((ping.route, Request(0, due, end - IDLE / 2, end - IDLE / 4, end)))
    return requests


def lines_of(  # noqa: PLR0913, PLR0917 - a row has that many sides
    name: str, route: str, cell: Cell, request: Request, world: World, opened: float, end: float
) -> list[RequestLine]:
    """The spool's lines of one request, without its number."""
    phase = (
        Phase.STEADY if request.sent > opened or cell.scenario is Scenario.BURST else Phase.WARM_UP
    )
    sent = Sent(0, name, phase, route, cell.variant, request.user, request.sent, request.sent)
    enters = (
        request.sent + OVERHEAD / 2
        if world.truth(cell.variant).suspends
        else request.begin - OVERHEAD / 2
    )
    if request.done is None:
        return [sent, GivenUp(0, end)]
    done = Done(0, request.done, 200, None, 14, enters, request.begin, request.end, None, 50_000)
    unseen = dict.fromkeys(("app_start", "handler_start", "handler_end"))
    return [sent, done if world.probe else structs.replace(done, **unseen)]


def number(lines: list[RequestLine], variant: str, first: int, world: World) -> list[RequestLine]:
    """Number the requests; a "sent" begins a new one. The trace log says when the answer left."""
    numbered, seq = list[RequestLine](), first
    for line in lines:
        seq += isinstance(line, Sent | Unsent)
        numbered.append(structs.replace(line, seq=seq))
        if isinstance(line, Done) and line.handler_end is not None:
            moments = (line.app_start, line.handler_start, line.handler_end)
            left = line.handler_end + OVERHEAD / 4
            world.journal.append(Trace(f"{variant}-{seq}", *moments, left, line.peer))
    return numbered


def area(requests: list[Request], until: float) -> float:
    """Integral of the number in flight until a moment."""
    return sum(
        min(request.done or until, until) - request.sent
        for request in requests
        if request.sent < until
    )


def arrived(cell: Cell, places: int, service: float, start: float) -> list[Request]:
    """Arrivals at a rate on `places` servers, first come first served."""
    assert cell.arrivals is not None
    free, requests = [start] * min(places, 1000), list[Request]()
    for user, moment in enumerate(arrival_times(cell.arrivals.profile, cell.arrivals.law, "1")):
        begin = max(start + moment + OVERHEAD, heapq.heappop(free))
        heapq.heappush(free, begin + service)
        requests.append(
            Request(user, start + moment, begin, begin + service, begin + service + OVERHEAD)
        )
    return requests


def write_probe(
    path: Path,
    act: Session,
    span: tuple[float, float],
    world: World,
    worked: list[tuple[float, float]],
) -> None:
    """The server's trace log: what ran, and its pools ten times a second while it was up."""
    # A session without cells never shows how its app behaves
    truth = world.truth(act.variant) if act.cells else Truth(1)
    folder = path / "probe"
    pools = {
        "thread_tokens": 40,
        "executor_size": 6,
        "loop": act.loop or "asyncio",
        "http_parser": "httptools",
        "cpus": [1],
        "pid": 1,
    }
    waiting = 20 if truth.holds_threads else 0
    queue = (20 if truth.places == 6 else 0) if world.shows_queue else None
    ends, used = [end for end, _ in worked], [0.0, *accumulate(cpu for _, cpu in worked)]
    log = Spool(folder / f"{act.name}-1.jsonl")
    log.write(Runtime(0.0, pools))
    for i in range(int(10 * span[0]), int(10 * span[1])):
        cpu = 0.01 * i + used[bisect(ends, 0.1 * i)]
        log.write(ProcessSample(0.1 * i, 0.0, 0, waiting, queue, cpu, 1))
    for trace in world.journal:
        log.write(trace)
    log.close()
