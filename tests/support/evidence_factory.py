"""Evidence on one route, made of a few numbers: what the doctor's rules judge, with known truth."""

from dataclasses import dataclass, field, replace
from typing import Any

from results.gate_expression import Gate
from results.judgement.culprit import Culprit, LoopHolds
from results.judgement.model import LevelEvidence, NeighbourEffect, RouteEvidence, ServerStats
from results.judgement.waits import WaitProfile
from results.run_info import RouteRecord
from results.schema import Cell, Neighbour, Scenario
from results.unloaded import UnloadedLatency
from scenarios.doctor.adaptive_plan import AdaptivePlan, FitsBudget
from scenarios.doctor.levels import LevelPlanner

ROUTE = "GET /x"
PINGS = tuple(
    Neighbour(
        kind=kind,
        route=f"GET /_atonce/{kind}",
        path=f"/_atonce-x/{kind}",
        expects="",
        rate=0.0,
        connections=0,
    )
    for kind in ("async", "def")
)
IDLE = 0.0015  # seconds: p90 of an idle neighbour
SECONDS = 5.0  # of a level's window
LINE = Culprit(
    file="jobs.py", line=3, function="poll", call="time.sleep", library="", is_serialising=False,
    share=0.9, hold_seconds=1.0, holds=9, longest=0.2, median=0.1, blind=0.0, outside_requests=0.0,
)  # fmt: skip
# half of the time, by requests; no hold is long
ROUTE_HOLDS = LoopHolds(1.0, 0.0, (replace(LINE, longest=0.01, median=0.01),))
NOBODY = LoopHolds(0.0, 1.0, ())
NOWHERE = WaitProfile(0, 0.0, (), ())


def neighbours(loaded: float, longest: float = 0.0) -> dict[str, NeighbourEffect]:
    """The `async` neighbour with its p90 under a load, and its longest ping."""
    return {"async": NeighbourEffect(idle=IDLE, loaded=loaded, longest=longest)}


def look(  # noqa: PLR0913 - a parameter per side of a signature
    users: int,
    rate: float,
    *,
    cpu: float | None = 0.1,
    loop: float = IDLE,
    think: float = 0.0,
    others: float = 0.0,
    **inside: float,
) -> LevelEvidence:
    """A level: its rate, CPU of the app, p90 of its `async` neighbour, and server statistics."""
    mean, count = users / rate - think, round(SECONDS * rate)
    return LevelEvidence(
        users=users, seconds=SECONDS, rate=rate, think_time=think, completed=count, sent=count,
        latencies=(mean,) * count, mean=mean, longest=mean, cv=0.0, quartiles=None,
        neighbours=neighbours(loop), server_stats=ServerStats(cpu=cpu, **inside), other_cpu=others,
    )  # fmt: skip


def silent(users: int, *, loop: float = IDLE, **inside: float) -> LevelEvidence:
    """A level in which nothing is answered any more; each of its users waits in vain."""
    return replace(
        look(users, 1.0, loop=loop, **inside),
        rate=0.0, completed=0, mean=0.0, longest=0.0, latencies=(), is_silent=True, sent=3 * users, unanswered=users,
    )  # fmt: skip


def timed(evidence: LevelEvidence, inside: float, outside: float = 0.0) -> LevelEvidence:
    """A level with the mean seconds of its requests inside the app, and before they entered it."""
    return replace(evidence, app_time=inside, total_time=inside + outside)


def lone(service: float, **inside: float) -> LevelEvidence:
    """One user, who waits for nobody."""
    return look(1, 1 / service, **inside)


def exact(mean: float) -> UnloadedLatency:
    """An unloaded latency without any doubt."""
    return UnloadedLatency(mean, mean, mean, mean)


def exam(service: float, *looks: LevelEvidence, **more: Any) -> RouteEvidence:
    """The evidence of a route with that unloaded latency; a level of 1 user is added."""
    alone = lone(service, threads=more.pop("alone", 0.0))
    facts: dict[str, Any] = {
        "entry": RouteRecord(route=ROUTE), "unloaded": exact(service), "faults": {},
        "loop_holds": ROUTE_HOLDS, "cpu_while_late": 0.1, "watched_seconds": 2.0,
        "thread_tokens": 40, "executor_size": 6, "waits": NOWHERE,
    }  # fmt: skip
    levels = {level.users: level for level in (alone, *looks)}
    return RouteEvidence(levels=levels, **{**facts, **more})


@dataclass(slots=True)
class SimulatedRoute:
    """What each measurement of a route would show; `observe` tells what was asked so far."""

    service: float  # seconds of a lone request
    levels: dict[int, LevelEvidence]  # by users; of others the largest with fewer
    half: float = IDLE  # p90 of the `async` neighbour at half of the capacity
    holds: LoopHolds = NOBODY  # what the watchdog would see
    late_cpu: float = 0.1  # CPU seconds per second of a held loop
    unloaded: tuple[UnloadedLatency, ...] = ()  # after one level of a lone user, after two, ...
    facts: dict[str, Any] = field(default_factory=dict)  # more of the evidence
    cells: list[Cell] = field(default_factory=list)

    def level(self, users: int) -> LevelEvidence:
        """A level of so many users."""
        known = {1: lone(self.service), **self.levels}
        return replace(known[max(n for n in known if n <= users)], users=users)

    def observe(self) -> RouteEvidence:
        """The evidence on the cells that were asked."""
        crowds = [x for x in self.cells if x.scenario is Scenario.CROWD and x.is_level]
        tries = sum(cell.users == 1 for cell in crowds)
        half = next((x for x in self.cells if x.scenario is Scenario.STEADY and x.neighbours), None)
        watched = [cell for cell in self.cells if cell.watched]
        known = self.unloaded or (exact(self.service),)
        facts: dict[str, Any] = {
            "entry": RouteRecord(route=ROUTE), "faults": {}, "lone_tries": tries,
            "unloaded": known[min(max(tries, 1), len(known)) - 1],
            "half_neighbours": neighbours(self.half) if half else None,
            "loop_holds": self.holds if watched else None,
            "cpu_while_late": self.late_cpu if watched else None,
            "watched_seconds": sum(cell.window for cell in watched),
            "watched_requests": sum(
                round(cell.window * self.level(cell.users).rate) for cell in watched
            ),
            "thread_tokens": 40, "executor_size": 6,
            "waits": NOWHERE,  # it was looked at
        }  # fmt: skip
        levels = {cell.users: self.level(cell.users) for cell in crowds}
        return RouteEvidence(levels=levels, **{**facts, **self.facts})

    def examine(
        self,
        fits: FitsBudget = lambda *_: True,
        gates: tuple[Gate, ...] = (),
        **more: Any,
    ) -> list[str]:
        """Ask what the rules need, level by level; return the names of what was asked."""
        plan = AdaptivePlan(self.observe, bedside(self.service, **more), gates, fits)
        for cells in plan.levels():
            self.cells += cells
        return list(map(name_cell, self.cells))


def name_cell(cell: Cell) -> str:
    """The users of a cell or its rate, and whether it has the watchdog."""
    load = f"{cell.arrivals.profile[0][1]:g}/s" if cell.arrivals else str(cell.users)
    return f"{load} watched" if cell.watched else load


def bedside(service: float, ping_cost: float = 0.0, **more: Any) -> LevelPlanner:
    """The plan of a route that takes so many seconds when asked politely."""
    return LevelPlanner(
        session="route-01",
        route=ROUTE,
        path="/x",
        service_time=service,
        neighbours=PINGS,
        ping_cost=ping_cost,
        **more,
    )
