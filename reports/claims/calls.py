"""What a crowd that calls another service did to it and to the app: connections and requests that the upstream has counted, CPU."""

import json
from dataclasses import dataclass
from typing import Any

from reports.claims.model import Judgement, Outcome, Untestable, at_once, felt, is_calm, measured_route, neighbour
from reports.formatting import between, seconds, share
from reports.metrics.model import Level, Study

OK = 200
COUNTERS = "/client/counters"
GROWS = 0.9  # of the users that must be served at once; the rest is the CPU of so many calls on one core
CLEAR = {"slow": (504, "took too long"), "error": (502, "answered with an error"), "gone": (502, "cannot be reached")}


@dataclass(frozen=True, slots=True)
class Opened:
    """What the upstream counted during an act, and the size that the client's pool says it has."""

    connections: int
    requests: int
    pool: int | None

    @property
    def per_request(self) -> float:
        """Connections per request; 1 where none is used again."""
        return self.connections / max(1, self.requests)

    def __str__(self) -> str:
        return f"{self.connections:,} connections for {self.requests:,} requests"


def answers(study: Study, act: str, path: str, times: int) -> list[Any]:
    """The documents that the app answered to a question. Raises Untestable when it did not answer it so many times."""
    told = [one for one in study.told(act, path) if one["status"] == OK]
    if len(told) < times:
        raise Untestable(f"{path}, asked beside {act}")
    return [json.loads(one["body"]) for one in told]


def opened(study: Study, act: str, path: str = COUNTERS) -> Opened:
    """The difference between the upstream's counters before an act's load and after it."""
    before, after = answers(study, act, path, 2)
    return Opened(after["connections"] - before["connections"], after["requests"] - before["requests"], after["pool"])


def unclear(study: Study, act: str, prefix: str) -> list[str]:
    """Failures of the upstream that did not become the status and words that they should: slow, answering an error, gone."""
    found = []
    for fault, (status, words) in CLEAR.items():
        path = f"{prefix}/{fault}"
        told = study.told(act, path)
        if not told:
            raise Untestable(f"{path}, asked beside {act}")
        unlike = [one for one in told if one["status"] != status or words not in one["body"]]
        found += [f"{path} answers {one['status']} {one['body']}" for one in unlike]
    return found


def cost(level: Level) -> str:
    """Server CPU per request, with its interval."""
    known = per_request(level) * 1000
    return f"{between(known, (level.cost[0] * 1000, level.cost[1] * 1000) if level.cost else None)} ms CPU per request"


def per_request(level: Level) -> float:
    """Server CPU seconds per right answer. Raises Untestable where no probe saw it."""
    if level.cpu is None or not level.rate:
        raise Untestable(f"the server's CPU in {level.cell}")
    return level.cpu / level.rate


def summary(study: Study, variant: str, path: str = COUNTERS) -> str:
    """Served at once, latency, CPU and connections of one client, in words."""
    route, top, _, _ = measured_route(study, variant)
    served = f"{at_once(route)} at once with {top.users} users in {seconds(top.mean.low)}"
    return f"{served}, {cost(top)}, {opened(study, variant, path)}"


def judge_awaited(study: Study, variant: str, path: str, faults: tuple[str, str]) -> Judgement:
    """A client that is awaited: as many at once as ask, a calm neighbour, and the other service's failures told apart.

    `path` answers the counters; `faults` are the act that asked for failures, and where their routes begin.
    """
    route, top, _, served = measured_route(study, variant)
    beside, _ = neighbour(route, "async")
    wrong = [] if served >= GROWS * top.users else [f"fewer were served at once than {share(GROWS)} of the users"]
    wrong += [] if is_calm(beside) else ["the async neighbour waited"]
    wrong += unclear(study, *faults)
    return Judgement(
        predicted=f"X S = N S / R, where R = S if nothing queues: {top.users} at once (at least {share(GROWS)} of them); "
        "the async neighbour calm; 504 for a slow upstream, 502 for an error status and for nobody there",
        measured=f"{summary(study, variant, path)}; {felt(beside)}",
        outcome=Outcome.REFUTED if wrong else Outcome.CONFIRMED,
        why="; ".join(wrong) or "while a call is awaited the loop serves others, and each failure says whose it is",
        bars=(("users", float(top.users)), (variant.partition(" ")[2], served)),
    )
