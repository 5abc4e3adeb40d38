"""HTTP clients that block, that await, and that open too many connections."""

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

from reports.claims import routes
from reports.claims.model import Claim, MissingData, Part, PartResult
from reports.metrics.model import CrowdMetrics, RunMetrics
from results.formatting import format_seconds, format_with_interval

_OK, _CLIENT_ERROR, _SERVER_ERROR = 200, 400, 500  # the lowest status of each class
_COUNTERS_PATH = "/client/counters"
_FAULT_ANSWERS = {
    "slow": (504, "took too long"),
    "error": (502, "answered with an error"),
    "gone": (502, "cannot be reached"),
}


@dataclass(frozen=True, slots=True)
class _ConnectionCounts:
    """Counts of the upstream during a session, and the size of the client's pool."""

    connections: int
    requests: int
    pool_size: int | None

    @property
    def per_request(self) -> float:
        return self.connections / max(1, self.requests)

    def __str__(self) -> str:
        return f"{self.connections:,} connections for {self.requests:,} requests"


def _decode_answers(run_metrics: RunMetrics, session: str, path: str, at_least: int) -> list[Any]:
    """Return the answers to one path. Raises MissingData if there are fewer than `at_least`."""
    answers = run_metrics.session_answers(session, path)
    bodies = [json.loads(answer.body) for answer in answers if answer.status == _OK]
    if len(bodies) < at_least:
        raise MissingData(f"{path} of the session {session}")
    return bodies


def _count_connections(run_metrics: RunMetrics, session: str, path: str) -> _ConnectionCounts:
    """Return the difference between the upstream's counters before and after the load."""
    before, after = _decode_answers(run_metrics, session, path, 2)
    opened, sent = (after[name] - before[name] for name in ("connections", "requests"))
    return _ConnectionCounts(opened, sent, after["pool"])


def _cpu_per_request(level: CrowdMetrics) -> float:
    """Return server CPU seconds per right answer. Raises MissingData where no probe saw it."""
    if level.cpu is None or not level.throughput:
        raise MissingData(f"the server's CPU in {level.cell}")
    return level.cpu / level.throughput


def _summarise_client(run_metrics: RunMetrics, variant: str, path: str = _COUNTERS_PATH) -> str:
    """Return latency, CPU per request and connections of one client, in words."""
    level = routes.measured_route(run_metrics, variant).level
    low, high = level.cpu_cost_interval or (0.0, 0.0)
    interval = (low * 1000, high * 1000) if level.cpu_cost_interval else None
    cpu = format_with_interval(_cpu_per_request(level) * 1000, interval)
    counts = _count_connections(run_metrics, variant, path)
    return f"mean {format_seconds(level.mean.low)}, {cpu} ms CPU per request, {counts}"


def _measures_client(variant: str, path: str = _COUNTERS_PATH) -> Part:
    """Add what one client costs, without a judgement."""
    return lambda run_metrics: PartResult("", _summarise_client(run_metrics, variant, path))


def _fails_clearly(session: str, *prefixes: str) -> Part:
    """Expect the documented status and text of each fault, on routes that begin like this."""

    def judge(run_metrics: RunMetrics) -> PartResult:
        faults = {}
        for prefix, (fault, (status, text)) in product(prefixes, _FAULT_ANSWERS.items()):
            path = f"{prefix}/{fault}"
            answers = run_metrics.session_answers(session, path)
            if not answers:
                raise MissingData(f"{path} of the session {session}")
            for answer in answers:
                fault_text = f"{path} answers {answer.status} {answer.body}"
                faults[fault_text] = answer.status != status or text not in answer.body
        predicted = "504 for a slow upstream, 502 for an error status or no upstream at all"
        return PartResult(predicted, "", faults)

    return judge


_INLINE, _DEF = "broken-async requests", "sync requests"
_SHARED, _PER_REQUEST, _AIOHTTP = "async httpx", "async httpx-per-request", "async aiohttp"
_SESSION = "clients"
_WHY_AWAITED = "while a call is awaited the loop serves others, and each failure names its cause"

REQUESTS_BLOCKS = Claim(
    id="requests-blocks",
    sentence="`requests` in `async def` freezes every request of the worker; in `def` none.",
    source="Making External HTTP Calls; Common Pitfalls",
    needs=routes.crowd_needs(_INLINE, _DEF),
    parts=(
        routes.holds_loop(_INLINE),
        routes.fills_pool(_DEF, routes.THREAD_POOL),
        _measures_client(_DEF),
    ),
    why="the call waits in the thread that makes it: the loop's, or one of the pool's",
)
HTTPX_FREES = Claim(
    id="httpx-frees",
    sentence="Calls awaited with `httpx.AsyncClient` leave the loop free: all users at once.",
    source="When to Use async def; Making External HTTP Calls",
    needs=(*routes.crowd_needs(_SHARED), f"asked/{_SESSION}"),
    parts=(
        routes.serves_every_user(_SHARED),
        _fails_clearly(_SESSION, "/client/httpx"),
        _measures_client(_SHARED),
    ),
    why=_WHY_AWAITED,
)
AIOHTTP_FREES = Claim(
    id="aiohttp-frees",
    sentence="Calls awaited with `aiohttp` leave the loop free: all users at once.",
    source="Making External HTTP Calls",
    needs=routes.crowd_needs(_AIOHTTP),
    parts=(
        routes.serves_every_user(_AIOHTTP),
        _fails_clearly(_AIOHTTP, "/aiohttp"),
        _measures_client(_AIOHTTP, "/aiohttp/counters"),
    ),
    why=_WHY_AWAITED,
)

_POOL_SIZE = 100  # connections that an httpx client has at most, by its documentation
_KEEPALIVE_LIMIT = 20  # and that it keeps alive
# times the CPU, at least: reading a bundle of certificates outweighs all else that a small call
# does
_MIN_CPU_RATIO = 2.0


def _judge_connections(run_metrics: RunMetrics) -> PartResult:
    """Compare connections and CPU; the effect of httpx's keep-alive limit is the nuance."""
    shared_counts = _count_connections(run_metrics, _SHARED, _COUNTERS_PATH)
    own_counts = _count_connections(run_metrics, _PER_REQUEST, _COUNTERS_PATH)
    shared = routes.measured_route(run_metrics, _SHARED)
    own = routes.measured_route(run_metrics, _PER_REQUEST)
    connects_each_time = own_counts.connections == own_counts.requests >= own.level.completed
    exceeds_pool = shared_counts.connections > _POOL_SIZE
    cpu_limit = _MIN_CPU_RATIO * _cpu_per_request(shared.level)
    keep_alive = _decode_answers(run_metrics, _SESSION, "/client/keep-alive", 1)[0]
    return PartResult(
        f"own client: connections = requests; shared: connections <= pool size = {_POOL_SIZE}, CPU"
        f" at most 1/{_MIN_CPU_RATIO:g} of the own client's",
        f"{own.served_text}, {_summarise_client(run_metrics, _PER_REQUEST)}; {shared.served_text},"
        f" {_summarise_client(run_metrics, _SHARED)}, a pool of {shared_counts.pool_size}",
        {
            "a client per request did not connect per request": not connects_each_time,
            "the shared client opened more connections than its pool has": exceeds_pool,
            "a client per request costs hardly more CPU": _cpu_per_request(own.level) < cpu_limit,
        },
        limit=_explain_keep_alive(keep_alive),
        bars=(
            ("connections per request, own client", own_counts.per_request),
            ("shared", shared_counts.per_request),
        ),
    )


def _judge_lifecycle(run_metrics: RunMetrics) -> PartResult:
    """Use the shared client before, during and after the life of its app."""
    lifecycle = _decode_answers(run_metrics, _SESSION, "/client/lifecycle", 1)[0]
    before, after = lifecycle["before"], lifecycle["after"]
    fails_running = lifecycle["running"]["status"] >= _CLIENT_ERROR
    return PartResult(
        "an error before start-up, closed after shut-down",
        f"before start-up {before['status']} ({before['error']}); closed after shut-down:"
        f" {lifecycle['closed']}",
        {
            "used before start-up, the client raised no clear error": not _is_clear_error(before),
            "used after shut-down, the client raised no clear error": not _is_clear_error(after),
            "between start-up and shut-down the client did not work": fails_running,
            "shut-down left the client open": not lifecycle["closed"],
        },
    )


def _is_clear_error(answer: dict[str, Any]) -> bool:
    return answer["status"] >= _SERVER_ERROR and "not initialized" in (answer["error"] or "")


def _explain_keep_alive(crowds: list[dict[str, Any]]) -> str:
    """Return the effect of the keep-alive limit on a client with more calls in flight."""
    if crowds[1]["connections"] <= crowds[1]["users"]:
        return ""
    text = "{connections} connections for {requests} requests of {users} users"
    few, many, raised = map(text.format_map, crowds)
    return (
        f"with httpx's defaults only while at most {_KEEPALIVE_LIMIT} calls are in flight ({few})."
        " Beyond that it closes idle connections, because busy ones count towards the"
        f" {_KEEPALIVE_LIMIT} that it may keep ({many}); max_keepalive_connections={_POOL_SIZE}"
        f" prevents it ({raised})"
    )


CLIENT_REUSE = Claim(
    id="client-reuse",
    sentence="One client of the lifespan saves connections and CPU against a client per request.",
    source="Making External HTTP Calls; Async Context Manager Pattern",
    needs=(f"crowd/{_SHARED}/", f"crowd/{_PER_REQUEST}/", f"asked/{_SESSION}"),
    parts=(
        _judge_connections,
        _judge_lifecycle,
        _fails_clearly(_SESSION, "/client/httpx", "/client/requests-def"),
    ),
    why="connections, certificates and memory are paid for once",
)
