"""Connections, requests and CPU of a crowd whose route calls another service."""

import json
from dataclasses import dataclass
from typing import Any

from reports.claims.model import MissingData, Part, PartResult
from reports.claims.routes import measured_route
from reports.formatting import format_seconds, format_with_interval
from reports.metrics.model import CrowdMetrics, RunMetrics

_OK = 200
COUNTERS_PATH = "/client/counters"
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
    """Return the answers to one path. Raises MissingData if there are fewer than `at_least`."""
    answers = [
        answer for answer in run_metrics.session_answers(session, path) if answer["status"] == _OK
    ]
    if len(answers) < at_least:
        raise MissingData(f"{path} of the session {session}")
    return [json.loads(answer["body"]) for answer in answers]


def count_connections(
    run_metrics: RunMetrics, session: str, path: str = COUNTERS_PATH
) -> ConnectionCounts:
    """Return the difference between the upstream's counters before and after the load."""
    before, after = decode_answers(run_metrics, session, path, 2)
    return ConnectionCounts(
        after["connections"] - before["connections"],
        after["requests"] - before["requests"],
        after["pool"],
    )


def cpu_per_request(level: CrowdMetrics) -> float:
    """Return server CPU seconds per right answer. Raises MissingData where no probe saw it."""
    if level.cpu is None or not level.throughput:
        raise MissingData(f"the server's CPU in {level.cell}")
    return level.cpu / level.throughput


def summarise_client(run_metrics: RunMetrics, variant: str, path: str = COUNTERS_PATH) -> str:
    """Return latency, CPU per request and connections of one client, in words."""
    level = measured_route(run_metrics, variant).level
    interval = level.cpu_cost_interval
    cpu = format_with_interval(
        cpu_per_request(level) * 1000,
        (interval[0] * 1000, interval[1] * 1000) if interval else None,
    )
    counts = count_connections(run_metrics, variant, path)
    return f"mean {format_seconds(level.mean.low)}, {cpu} ms CPU per request, {counts}"


def measures_client(variant: str, path: str = COUNTERS_PATH) -> Part:
    """Add what one client costs, without a judgement."""
    return lambda run_metrics: PartResult("", summarise_client(run_metrics, variant, path))


def fails_clearly(session: str, *prefixes: str) -> Part:
    """Expect the documented status and text for each failure of the upstream.

    `prefixes` are where the routes begin that `session` requested.
    """

    def judge(run_metrics: RunMetrics) -> PartResult:
        faults = {}
        for path, (status, text) in (
            (f"{prefix}/{fault}", answer)
            for prefix in prefixes
            for fault, answer in _FAULT_ANSWERS.items()
        ):
            answers = run_metrics.session_answers(session, path)
            if not answers:
                raise MissingData(f"{path} of the session {session}")
            for answer in answers:
                fault_text = f"{path} answers {answer['status']} {answer['body']}"
                faults[fault_text] = answer["status"] != status or text not in answer["body"]
        return PartResult(
            "504 for a slow upstream, 502 for an error status or no upstream at all", "", faults
        )

    return judge
