"""Simulated examinations of routes that take a random time: the doctor's steps, known truth.

`crowd` is the bare closed loop: N users, c places, a service time from a distribution, with or
without think time. `examine` has the doctor ask such a server level by level and gathers the
evidence with the real code, down to the `RouteEvidence` that the rules judge. No time passes, and
no server runs. `prepare`, `play` and `judge` are its parts.
"""

import heapq
import math
import random
from bisect import bisect, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from reports.metrics.compute import compute_metrics
from reports.metrics.run_data import load_run
from reports.verdicts.evidence import SealedRecording
from results.judgement.model import RouteEvidence
from results.records import Done, GivenUp, Mark, ProcessSample, Runtime, Sent
from results.run_info import Machine, Plan, RouteRecord, RunInfo
from results.schema import ArrivalDistribution, Cell, Neighbour, Phase, Scenario
from results.spool import Spool
from results.store import RunWriter
from results.thresholds import MANY_USERS
from results.verdicts import Verdict
from scenarios.doctor.adaptive_plan import AdaptivePlan
from scenarios.doctor.levels import LevelPlanner, idle_neighbours_cell
from scenarios.doctor.recording import IDLE_SESSION, SpoolRecording
from scenarios.generator.arrivals import arrival_times
from tests.support.simulate_run import (
    IDLE,
    MACHINE,
    NAMES,
    OVERHEAD,
    Request,
    area,
    arrived,
    tick,
)

ROUTE, SESSION, PROCESS = "GET /x", "route-01", "app-1"
ASIDE: dict[str, Any] = {"expects": "", "rate": 0.0, "connections": 0}
KINDS = ("async", "def")
PINGS = tuple(Neighbour(kind=kind, route=f"GET /{kind}", path="", **ASIDE) for kind in KINDS)
ENDLESS = 10_000  # places: more than any load asks for
CPU = 0.0003  # seconds of it that a request costs
SAMPLE_EVERY = 0.1  # seconds between two samples of the probe
READ_LATER = 0.03  # seconds by which the driver reads a process after its own sample
ORIGIN = 0.25  # seconds: the clock's reading at the run's start
USED = 0.4  # of a core, by all processes of the machine

Answer = Done | GivenUp
Edit = Callable[[Sent, Done], Answer]  # what becomes of an answer


@dataclass(frozen=True, slots=True)
class Service:
    """A distribution of service times, in seconds, and its mean."""

    draw: Callable[[random.Random], float]
    mean: float


def two_modes(quick: float, slow: float, share: float) -> Service:
    """Slow in a share of the requests, quick in the others."""
    mean = quick + share * (slow - quick)
    return Service(lambda dice: slow if dice.random() < share else quick, mean)


def lognormal(median: float, sigma: float) -> Service:
    """As answers of a network often are."""
    mean = median * math.exp(sigma**2 / 2)
    return Service(lambda dice: dice.lognormvariate(math.log(median), sigma), mean)


def exponential(mean: float) -> Service:
    """Without a memory."""
    return Service(lambda dice: dice.expovariate(1 / mean), mean)


SERVICES = {
    "constant": Service(lambda _: 0.08, 0.08),
    "80 ms, 1.2 s in 3 %": two_modes(0.08, 1.2, 0.03),
    "80 ms, 400 ms in 10 %": two_modes(0.08, 0.4, 0.1),
    "80 ms, 3 s in 0.5 %": two_modes(0.08, 3.0, 0.005),
    "lognormal 0.5": lognormal(0.08, 0.5),
    "lognormal 1": lognormal(0.08, 1.0),
    "exponential": exponential(0.08),
}


@dataclass(frozen=True, slots=True)
class Server:
    """The truth: a request takes one of `threads`, where it is a `def`; in it one of `places`."""

    service: Service
    places: int = ENDLESS
    threads: int | None = None

    @property
    def served(self) -> int:
        """How many it can serve at once."""
        return min(self.places, self.threads or ENDLESS)

    @property
    def verdict(self) -> Verdict:
        """What the doctor should say of it."""
        if self.served >= MANY_USERS:
            return Verdict.SCALES
        return Verdict.POOL_LIMITED if self.places == self.served else Verdict.THREAD_POOL


@dataclass(slots=True)
class Asked(Request):
    """A request, and since when it has had its thread."""

    inside: float = 0.0


def crowd(
    server: Server,
    users: int,
    seconds: float,
    dice: random.Random,
    **more: float,
) -> list[Asked]:
    """`users` who ask for so long, one request after another; first come, first served.

    `more`: their `think` time and the `stagger` over which they start, in seconds; the `start`.
    """
    start, stagger, think = (more.get(name, 0.0) for name in ("start", "stagger", "think"))
    asks = [(start + stagger * user / users, user) for user in range(users)]
    threads = [start] * min(server.threads or users, users)
    places = [start] * min(server.places, users)
    requests = []
    while asks:
        moment, user = heapq.heappop(asks)
        if moment >= start + seconds:
            continue
        inside = max(moment + OVERHEAD, heapq.heappop(threads))
        begin = max(inside, heapq.heappop(places))
        end = begin + server.service.draw(dice)
        heapq.heappush(threads, end)
        heapq.heappush(places, end)
        requests.append(Asked(user, moment, begin, end, end + OVERHEAD, inside))
        heapq.heappush(asks, (end + OVERHEAD + think, user))
    return requests


def seeded(seed: int | str) -> random.Random:
    """Draws that come the same again."""
    return random.Random(seed)  # noqa: S311 - no secret


def rate_between(requests: Iterable[Request], begin: float, end: float) -> float:
    """Answers per second."""
    return sum(begin < (request.done or math.inf) <= end for request in requests) / (end - begin)


@dataclass(slots=True)
class Examination:
    """A run in progress: the spools of `folder` hold all levels that were played."""

    run: RunWriter
    entry: RouteRecord
    server: Server
    dice: random.Random
    jobs: int = 0
    now: float = 1.0
    answered: int = 0

    def observe(self) -> RouteEvidence:
        """What the doctor knows while the run goes on."""
        return SpoolRecording(self.run, SESSION).observe(self.entry)

    def judge(self) -> RouteEvidence:
        """What the report knows of it."""
        run_data = load_run(self.run.path)
        run_metrics = compute_metrics(run_data)
        return SealedRecording(run_data, run_metrics).observe(self.entry)

    def play(self, cell: Cell, edit: Edit = lambda _, answer: answer) -> Cell:
        """One level: its spools, its pings, the probe's samples."""
        cell = replace(cell, on=PROCESS)
        self.run.extend_plan([cell])
        is_idle = cell.scenario is Scenario.NEIGHBOURS
        self.jobs += not is_idle
        worker = f"{IDLE_SESSION}-1" if is_idle else f"{SESSION}-{self.jobs}"
        self._record(worker, cell, loaded(cell, self.server, self.dice, self.now), edit)
        return cell

    def _record(self, worker: str, cell: Cell, requests: list[Asked], edit: Edit) -> None:
        """Write a level's spools; time passes until all is answered."""
        folder, now = self.run.path, self.now
        opened, closed = now + cell.warm_up, now + cell.warm_up + cell.window
        pings = [
            (ping, request)
            for ping in cell.neighbours
            for request in pinged(cell, ping, requests, now)
        ]
        aside = [request for _, request in pings]
        samples = Spool(folder / "samples" / f"{worker}.jsonl")
        generator = Spool(folder / "load" / f"{worker}.jsonl")
        rows = [(cell.name, ROUTE, request) for request in requests]
        rows += [(cell.neighbour_cell_name, ping.route, request) for ping, request in pings]
        for seq, (name, route, request) in enumerate(rows):
            phase = Phase.STEADY if request.sent > opened else Phase.WARM_UP
            moments = (request.sent, request.sent)
            sent = Sent(seq, name, phase, route, cell.variant, request.user, *moments)
            samples.write(sent)
            enters = request.sent + OVERHEAD / 2
            inner = (enters, request.inside, request.end, request.end + OVERHEAD / 4)
            assert request.done is not None
            samples.write(edit(sent, Done(seq, request.done, 200, None, 14, *inner, 50_000)))
        end = max([closed, *(request.done or 0.0 for _, _, request in rows)])
        bounds = {"go": now, "open": opened, "close": closed, "end": end}
        names = {cell.neighbour_cell_name: aside, cell.name: requests or aside}
        for name, some in names.items():
            for mark, moment in bounds.items():
                host = (0.0, USED * moment, 0, 0, 0)
                generator.write(Mark(name, mark, moment, 0, area(list(some), moment), *host))
        tick(generator, cell.name, now, end)
        samples.close()
        generator.close()
        self.now = end + 0.5
        self._look_inside(cell, requests, (now, self.now))

    def _look_inside(self, cell: Cell, requests: list[Asked], span: tuple[float, float]) -> None:
        """The probe's trace log: AnyIO's threads, as far as the route takes them.

        Beside it lies what the driver read of the process: its CPU.
        """
        entered = sorted(request.sent + OVERHEAD for request in requests)
        inside, ended = (
            sorted(request.inside for request in requests),
            sorted(request.end for request in requests),
        )
        pools = {"thread_tokens": self.server.threads or 40, "executor_size": 6, "loop": "asyncio"}
        folder = self.run.path / "probe"
        log = Spool(folder / f"{cell.server}-1.jsonl")
        system = Spool(folder / f"{cell.server}-1.system.jsonl")
        log.write(Runtime(span[0], pools))
        for i in range(int((span[1] - span[0]) / SAMPLE_EVERY)):
            t = span[0] + SAMPLE_EVERY * i
            come, begun, gone = (bisect_right(moments, t) for moments in (entered, inside, ended))
            busy, waiting = (begun - gone, max(0, come - begun)) if self.server.threads else (0, 0)
            cpu = 0.02 * t + CPU * (self.answered + gone)
            log.write(ProcessSample(t, 0.0002, busy, waiting, 0, pool_waiting=0, tasks=2))
            later = t + READ_LATER
            system.write(ProcessSample(later, cpu=cpu, loop_cpu=cpu, kin_cpu=0.0, memory=10**7))
        log.close()
        system.close()
        self.answered += len(ended)


def planner(server: Server, dice: random.Random) -> LevelPlanner:
    """The doctor's plan for the route, after three polite requests."""
    polite = [server.service.draw(dice) + 2 * OVERHEAD for _ in range(3)]
    place: dict[str, Any] = {"session": SESSION, "route": ROUTE, "path": "/x", "ping_cost": 0.0}
    return LevelPlanner(service_time=min(polite[1:]), neighbours=PINGS, **place)


def run_info(cells: Iterable[Cell] = (), **facts: Any) -> RunInfo:
    """What run.json knows of a simulated machine and app."""
    return RunInfo(
        plan=Plan(cells=list(cells)),
        schedule="0" * 64,
        loop="asyncio",
        workers=1,
        machine=msgspec.convert(MACHINE, Machine),
        packages=dict.fromkeys(NAMES, "1.0"),
        connections="opened before the load",
        **facts,
    )


def prepare(folder: Path, server: Server, seed: int) -> Examination:
    """An examination that has seen the neighbours at rest."""
    run, entry = RunWriter(folder, "doctor"), RouteRecord(route=ROUTE, session=SESSION)
    folder.mkdir(parents=True, exist_ok=True)
    run.open(run_info(seed=seed, routes=[entry], sessions=[IDLE_SESSION, SESSION]))
    run.info.origin = ORIGIN
    examination = Examination(run, entry, server, seeded(seed))
    examination.play(idle_neighbours_cell(PINGS, 80.0))
    return examination


def examine(folder: Path, server: Server, seed: int) -> RouteEvidence:
    """The doctor's evidence on such a route, after all levels it would ask of a real one."""
    examination = prepare(folder, server, seed)
    plan = AdaptivePlan(examination.observe, planner(server, examination.dice), (), lambda *_: True)
    for cells in plan.levels():
        for cell in cells:
            examination.play(cell)
    return examination.judge()


def loaded(cell: Cell, server: Server, dice: random.Random, now: float) -> list[Asked]:
    """The requests of a level."""
    if cell.arrivals:
        arrivals = arrived(cell, server.places, server.service.mean, now)
        return [Asked(x.user, x.sent, x.begin, x.end, x.done, x.begin) for x in arrivals]
    times = {"start": now, "stagger": cell.stagger, "think": cell.think}
    seconds = cell.warm_up + cell.window
    return crowd(server, cell.users, seconds, dice, **times) if cell.users else []


def pinged(cell: Cell, ping: Neighbour, requests: list[Asked], now: float) -> list[Asked]:
    """The neighbours' requests beside a level: the `def` one gets its thread after all before."""
    sent, asides = [request.sent for request in requests], []
    span = cell.warm_up + cell.window
    schedule = arrival_times(
        ((span, ping.rate, ping.rate),), ArrivalDistribution.POISSON, f"1/{ping.kind}"
    )
    for moment in schedule:
        before = bisect(sent, now + moment) - 1
        begin = now + moment + OVERHEAD
        if ping.kind == "def" and before >= 0:
            begin = max(begin, requests[before].inside)
        end = begin + IDLE - 2 * OVERHEAD
        asides.append(Asked(0, now + moment, begin, end, end + OVERHEAD, begin))
    return asides
