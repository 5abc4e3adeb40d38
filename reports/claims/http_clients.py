"""HTTP clients that block, that await, and that open too many connections."""

from typing import Any

from reports.claims.http_calls import (
    count_connections,
    cpu_per_request,
    decode_answers,
    fails_clearly,
    measures_client,
    summarise_client,
)
from reports.claims.model import Claim, PartResult
from reports.claims.routes import (
    THREAD_POOL,
    crowd_needs,
    fills_pool,
    holds_loop,
    measured_route,
    serves_every_user,
)
from reports.metrics.model import RunMetrics

_INLINE, _DEF = "broken-async requests", "sync requests"
_SHARED, _PER_REQUEST, _AIOHTTP = "async httpx", "async httpx-per-request", "async aiohttp"
_SESSION = "clients"
_WHY_AWAITED = "while a call is awaited the loop serves others, and each failure names its cause"

REQUESTS_BLOCKS = Claim(
    id="requests-blocks",
    sentence="`requests` in `async def` freezes every request of the worker; in `def` none.",
    source="Making External HTTP Calls; Common Pitfalls",
    needs=crowd_needs(_INLINE, _DEF),
    parts=(holds_loop(_INLINE), fills_pool(_DEF, THREAD_POOL), measures_client(_DEF)),
    why="the call waits in the thread that makes it: the loop's, or one of the pool's",
)
HTTPX_FREES = Claim(
    id="httpx-frees",
    sentence="Calls awaited with `httpx.AsyncClient` leave the loop free: all users at once.",
    source="When to Use async def; Making External HTTP Calls",
    needs=(*crowd_needs(_SHARED), f"asked/{_SESSION}"),
    parts=(
        serves_every_user(_SHARED),
        fails_clearly(_SESSION, "/client/httpx"),
        measures_client(_SHARED),
    ),
    why=_WHY_AWAITED,
)
AIOHTTP_FREES = Claim(
    id="aiohttp-frees",
    sentence="Calls awaited with `aiohttp` leave the loop free: all users at once.",
    source="Making External HTTP Calls",
    needs=crowd_needs(_AIOHTTP),
    parts=(
        serves_every_user(_AIOHTTP),
        fails_clearly(_AIOHTTP, "/aiohttp"),
        measures_client(_AIOHTTP, "/aiohttp/counters"),
    ),
    why=_WHY_AWAITED,
)

_POOL_SIZE = 100  # connections that an httpx client has at most, by its documentation
_KEEPALIVE_LIMIT = 20  # and that it keeps alive
# times the CPU, at least: reading a bundle of certificates outweighs all else that a small call
# does
_MIN_CPU_RATIO = 2.0
_CLIENT_ERROR, _SERVER_ERROR = 400, 500  # the lowest status of each class


def _judge_connections(run_metrics: RunMetrics) -> PartResult:
    """Compare connections and CPU; the effect of httpx's keep-alive limit is the nuance."""
    shared_counts = count_connections(run_metrics, _SHARED)
    own_counts = count_connections(run_metrics, _PER_REQUEST)
    shared = measured_route(run_metrics, _SHARED)
    own = measured_route(run_metrics, _PER_REQUEST)
    connects_each_time = own_counts.connections == own_counts.requests >= own.level.completed
    cpu_limit = _MIN_CPU_RATIO * cpu_per_request(shared.level)
    keep_alive = decode_answers(run_metrics, _SESSION, "/client/keep-alive", 1)[0]
    return PartResult(
        f"own client: connections = requests; shared: connections <= pool size = {_POOL_SIZE}, CPU"
        f" at most 1/{_MIN_CPU_RATIO:g} of the own client's",
        f"{own.served_text}, {summarise_client(run_metrics, _PER_REQUEST)}; {shared.served_text},"
        f" {summarise_client(run_metrics, _SHARED)}, a pool of {shared_counts.pool_size}",
        {
            "a client per request did not connect per request": not connects_each_time,
            "the shared client opened more connections than its pool has": (
                shared_counts.connections > _POOL_SIZE
            ),
            "a client per request costs hardly more CPU": cpu_per_request(own.level) < cpu_limit,
        },
        limit=_explain_keep_alive(keep_alive),
        bars=(
            ("connections per request, own client", own_counts.per_request),
            ("shared", shared_counts.per_request),
        ),
    )


def _judge_lifecycle(run_metrics: RunMetrics) -> PartResult:
    """Use the shared client before, during and after the life of its app."""
    lifecycle = decode_answers(run_metrics, _SESSION, "/client/lifecycle", 1)[0]
    before, after = lifecycle["before"], lifecycle["after"]
    return PartResult(
        "an error before start-up, closed after shut-down",
        f"before start-up {before['status']} ({before['error']}); closed after shut-down:"
        f" {lifecycle['closed']}",
        {
            "used before start-up, the client raised no clear error": not _is_clear_error(before),
            "used after shut-down, the client raised no clear error": not _is_clear_error(after),
            "between start-up and shut-down the client could not be used": (
                lifecycle["running"]["status"] >= _CLIENT_ERROR
            ),
            "shut-down left the client open": not lifecycle["closed"],
        },
    )


def _is_clear_error(answer: dict[str, Any]) -> bool:
    """Return whether a request failed with a message that says why."""
    return answer["status"] >= _SERVER_ERROR and "not initialized" in (answer["error"] or "")


def _explain_keep_alive(crowds: list[dict[str, Any]]) -> str:
    """Return the effect of the keep-alive limit on a client with more calls in flight."""
    if crowds[1]["connections"] <= crowds[1]["users"]:
        return ""
    few, many, raised = (
        "{connections} connections for {requests} requests of {users} users".format_map(crowd)
        for crowd in crowds
    )
    return (
        f"with httpx's defaults only while at most {_KEEPALIVE_LIMIT} calls are in flight ({few})."
        f" Beyond that it closes idle connections, because busy ones count towards the"
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
        fails_clearly(_SESSION, "/client/httpx", "/client/requests-def"),
    ),
    why="connections, certificates and memory are paid for once",
)
