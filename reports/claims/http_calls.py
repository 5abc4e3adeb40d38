"""Connections, requests and CPU of a crowd whose route calls another service."""

import json
from dataclasses import dataclass
from typing import Any

from reports.claims.model import (
    ClaimOutcome,
    ClaimResult,
    MissingData,
    format_neighbour_p90,
    format_served_interval,
    is_neighbour_calm,
    measured_neighbour,
    measured_route,
)
from reports.formatting import format_seconds, format_share, format_with_interval
from reports.metrics.model import CrowdMetrics, RunMetrics

_OK = 200
_COUNTERS_PATH = "/client/counters"
# of the users that must be served at once; the rest is the CPU of so many calls on one core
_MIN_SHARE_SERVED = 0.9
_FAULT_ANSWERS = {
    "slow": (504, "took too long"),
    "error": (502, "answered with an error"),
    "gone": (502, "cannot be reached"),
}


@dataclass(frozen=True, slots=True)
class ConnectionCounts:
    """Counts of the upstream during a session, and the size of the client's pool."""

    connections: int
    requests: int
    pool_size: int | None

    @property
    def per_request(self) -> float:
        """Connections per request; 1 where none is used again."""
        return self.connections / max(1, self.requests)

    def __str__(self) -> str:
        return f"{self.connections:,} connections for {self.requests:,} requests"


def decode_answers(run_metrics: RunMetrics, session: str, path: str, at_least: int) -> list[Any]:
    """The app's answers to one path. Raises MissingData if there are fewer than `at_least`."""
    answers = [
        answer for answer in run_metrics.session_answers(session, path) if answer["status"] == _OK
    ]
    if len(answers) < at_least:
        raise MissingData(f"{path}, asked beside {session}")
    return [json.loads(answer["body"]) for answer in answers]


def count_connections(
    run_metrics: RunMetrics, session: str, path: str = _COUNTERS_PATH
) -> ConnectionCounts:
    """The difference between the upstream's counters before and after the load."""
    before, after = decode_answers(run_metrics, session, path, 2)
    return ConnectionCounts(
        after["connections"] - before["connections"],
        after["requests"] - before["requests"],
        after["pool"],
    )


def unclear_failures(run_metrics: RunMetrics, session: str, prefix: str) -> list[str]:
    """Failures of the upstream that did not become the documented status and text."""
    failures = []
    for fault, (status, text) in _FAULT_ANSWERS.items():
        path = f"{prefix}/{fault}"
        answers = run_metrics.session_answers(session, path)
        if not answers:
            raise MissingData(f"{path}, asked beside {session}")
        unexpected = [
            answer for answer in answers if answer["status"] != status or text not in answer["body"]
        ]
        failures += [f"{path} answers {answer['status']} {answer['body']}" for answer in unexpected]
    return failures


def _format_cpu_cost(level: CrowdMetrics) -> str:
    """Server CPU per request, with its interval."""
    interval = level.cpu_cost_interval
    limits = (interval[0] * 1000, interval[1] * 1000) if interval else None
    return f"{format_with_interval(cpu_per_request(level) * 1000, limits)} ms CPU per request"


def cpu_per_request(level: CrowdMetrics) -> float:
    """Server CPU seconds per right answer. Raises MissingData where no probe saw it."""
    if level.cpu is None or not level.throughput:
        raise MissingData(f"the server's CPU in {level.cell}")
    return level.cpu / level.throughput


def summarise_client(run_metrics: RunMetrics, variant: str, path: str = _COUNTERS_PATH) -> str:
    """Served at once, latency, CPU and connections of one client, in words."""
    route, top, _, _ = measured_route(run_metrics, variant)
    served = (
        f"{format_served_interval(route)} at once with {top.users} users in"
        f" {format_seconds(top.mean.low)}"
    )
    return f"{served}, {_format_cpu_cost(top)}, {count_connections(run_metrics, variant, path)}"


def judge_awaited_client(
    run_metrics: RunMetrics, variant: str, path: str, faults: tuple[str, str]
) -> ClaimResult:
    """An awaited client: all users served at once, a calm neighbour, clear failures.

    `path` answers the counters; `faults` are the session that asked for failures, and where their
    routes begin.
    """
    route, top, _, served = measured_route(run_metrics, variant)
    async_neighbour, _ = measured_neighbour(route, "async")
    wrong = (
        []
        if served >= _MIN_SHARE_SERVED * top.users
        else [f"fewer were served at once than {format_share(_MIN_SHARE_SERVED)} of the users"]
    )
    wrong += [] if is_neighbour_calm(async_neighbour) else ["the async neighbour waited"]
    wrong += unclear_failures(run_metrics, *faults)
    return ClaimResult(
        predicted=(
            f"X S = N S / R, where R = S if nothing queues: {top.users} at once (at least"
            f" {format_share(_MIN_SHARE_SERVED)} of them); the async neighbour calm; 504 for a slow"
            " upstream, 502 for an error status and for nobody there"
        ),
        measured=(
            f"{summarise_client(run_metrics, variant, path)};"
            f" {format_neighbour_p90(async_neighbour)}"
        ),
        outcome=ClaimOutcome.REFUTED if wrong else ClaimOutcome.CONFIRMED,
        why="; ".join(wrong)
        or "while a call is awaited the loop serves others, and each failure says whose it is",
        bars=(("users", float(top.users)), (variant.partition(" ")[2], served)),
    )
