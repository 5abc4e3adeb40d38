"""Evidence on one route, made of a few numbers: what the doctor's rules judge, with known truth."""

from dataclasses import replace
from typing import Any

from results.judgement.culprit import Culprit, LoopHolds
from results.judgement.model import LevelEvidence, NeighbourEffect, RouteEvidence, ServerStats
from results.run_info import RouteRecord
from results.unloaded import UnloadedLatency

IDLE = 0.0015  # seconds: p90 of an idle neighbour
SECONDS = 5.0  # of a level's window
LINE = Culprit(
    file="jobs.py", line=3, function="poll", call="time.sleep", library="", is_serialising=False,
    share=0.9, hold_seconds=1.0, holds=9, longest=0.2, median=0.1, blind=0.0, outside_requests=0.0,
)  # fmt: skip
# half of the time, by requests; no hold is long
ROUTE_HOLDS = LoopHolds(1.0, 0.0, (replace(LINE, longest=0.01, median=0.01),))
NOBODY = LoopHolds(0.0, 1.0, ())


def neighbours(loaded: float, longest: float = 0.0) -> dict[str, NeighbourEffect]:
    """The `async` neighbour with its p90 under a load, and its longest ping."""
    return {"async": NeighbourEffect(kind="async", idle=IDLE, loaded=loaded, longest=longest)}


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
        rate=0.0, completed=0, latencies=(), is_silent=True, sent=3 * users, unanswered=users,
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
        "entry": RouteRecord(route="GET /x"), "unloaded": exact(service), "faults": {},
        "loop_holds": ROUTE_HOLDS, "cpu_while_late": 0.1, "watched_seconds": 2.0,
        "thread_tokens": 40, "executor_size": 6,
    }  # fmt: skip
    levels = {level.users: level for level in (alone, *looks)}
    return RouteEvidence(levels=levels, **{**facts, **more})
