"""HTTP clients that block, that await, and that open too many connections."""

from typing import Any

from reports.claims.http_calls import (
    count_connections,
    cpu_per_request,
    decode_answers,
    judge_awaited_client,
    summarise_client,
    unclear_failures,
)
from reports.claims.model import (
    FROZEN_RATIO,
    POOL_TOLERANCE,
    Claim,
    ClaimOutcome,
    ClaimResult,
    format_neighbour_p90,
    format_served_interval,
    is_near,
    is_neighbour_calm,
    measured_neighbour,
    measured_route,
)
from reports.claims.waiting import THREAD_TOKENS
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT

_MISTAKE, _FIX = "broken-async requests", "sync requests"


def _judge_requests_blocks(run_metrics: RunMetrics) -> ClaimResult:
    """Judge the mistake and its fix: the same library blocks another thread."""
    mistake, top, _, served = measured_route(run_metrics, _MISTAKE)
    fix, _, _, served_in_threads = measured_route(run_metrics, _FIX)
    (blocked_neighbour, ratio), (calm_neighbour, _) = (
        measured_neighbour(mistake, "async"),
        measured_neighbour(fix, "async"),
    )
    holds = served < SERIAL_LIMIT and ratio >= FROZEN_RATIO
    is_fixed = is_near(served_in_threads, THREAD_TOKENS, POOL_TOLERANCE) and is_neighbour_calm(
        calm_neighbour
    )
    return ClaimResult(
        predicted=(
            f"in `async def` 1 at once, the async neighbour's p90 at least {FROZEN_RATIO:.0f} times"
            f" its idle value; in `def` AnyIO's {THREAD_TOKENS} threads = {THREAD_TOKENS} at once,"
            " the neighbour calm"
        ),
        measured=(
            f"in `async def` {format_served_interval(mistake)} at once with {top.users} users,"
            f" {format_neighbour_p90(blocked_neighbour)}; in `def`"
            f" {summarise_client(run_metrics, _FIX)}, {format_neighbour_p90(calm_neighbour)}"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds and is_fixed else ClaimOutcome.REFUTED,
        why=(
            "the call waits in the thread that makes it: the loop's, or one of the pool's"
            if holds and is_fixed
            else (
                "the loop was not held"
                if not holds
                else (
                    "in `def` the loop was not left free, or the pool does not have the documented"
                    " size"
                )
            )
        ),
        bars=(("in async def", served), ("in def", served_in_threads)),
    )


REQUESTS_BLOCKS = Claim(
    id="requests-blocks",
    sentence=(
        "`requests` inside `async def` freezes every request of the worker until the other service"
        " has answered; in `def` it does not."
    ),
    source="Making External HTTP Calls; Common Pitfalls",
    judge=_judge_requests_blocks,
    needs=("neighbours/", f"crowd/{_MISTAKE}/", f"crowd/{_FIX}/"),
)


_HTTPX_VARIANT = "async httpx"


def _judge_httpx_frees(run_metrics: RunMetrics) -> ClaimResult:
    """By the shared client, as the lesson opens it."""
    return judge_awaited_client(
        run_metrics, _HTTPX_VARIANT, "/client/counters", ("clients", "/client/httpx")
    )


HTTPX_FREES = Claim(
    id="httpx-frees",
    sentence="Calls awaited with `httpx.AsyncClient` leave the loop free: as many at once as ask.",
    source="When to Use async def; Making External HTTP Calls",
    judge=_judge_httpx_frees,
    needs=("neighbours/", f"crowd/{_HTTPX_VARIANT}/", "asked/clients"),
)


_AIOHTTP_VARIANT = "async aiohttp"


def _judge_aiohttp_frees(run_metrics: RunMetrics) -> ClaimResult:
    """By one session of the whole app."""
    return judge_awaited_client(
        run_metrics, _AIOHTTP_VARIANT, "/aiohttp/counters", (_AIOHTTP_VARIANT, "/aiohttp")
    )


AIOHTTP_FREES = Claim(
    id="aiohttp-frees",
    sentence="Calls awaited with `aiohttp` leave the loop free: as many at once as ask.",
    source="Making External HTTP Calls",
    judge=_judge_aiohttp_frees,
    needs=("neighbours/", f"crowd/{_AIOHTTP_VARIANT}/"),
)


_POOL_SIZE = 100  # connections that an httpx client has at most, by its documentation
_KEEPALIVE_LIMIT = 20  # and that it keeps alive
# times the CPU, at least: reading a bundle of certificates outweighs all else that a small call
# does
_MIN_CPU_RATIO = 2.0
_SHARED, _PER_REQUEST = "async httpx", "async httpx-per-request"


_SESSION = "clients"


_CLIENT_ERROR, _SERVER_ERROR = 400, 500  # the lowest status of each class


def _judge_client_reuse(run_metrics: RunMetrics) -> ClaimResult:
    """All parts must hold; the effect of httpx's keep-alive limit is the nuance."""
    shared_counts, own_counts = (
        count_connections(run_metrics, _SHARED),
        count_connections(run_metrics, _PER_REQUEST),
    )
    (_, shared, *_), (_, each, *_) = (
        measured_route(run_metrics, variant) for variant in (_SHARED, _PER_REQUEST)
    )
    lifecycle = decode_answers(run_metrics, _SESSION, "/client/lifecycle", 1)[0]
    wrong = (
        []
        if own_counts.connections == own_counts.requests >= each.completed
        else ["a client per request did not connect per request"]
    )
    wrong += (
        []
        if shared_counts.connections <= _POOL_SIZE
        else ["the shared client opened more connections than its pool has"]
    )
    wrong += (
        []
        if cpu_per_request(each) >= _MIN_CPU_RATIO * cpu_per_request(shared)
        else ["a client per request costs hardly more CPU"]
    )
    wrong += _lifecycle_faults(lifecycle) + [
        failure
        for client in ("httpx", "requests-def")
        for failure in unclear_failures(run_metrics, _SESSION, f"/client/{client}")
    ]
    limit = _explain_keep_alive(decode_answers(run_metrics, _SESSION, "/client/keep-alive", 1)[0])
    return ClaimResult(
        predicted=(
            f"per request: connections = requests; shared: connections <= pool size = {_POOL_SIZE},"
            f" CPU at most 1/{_MIN_CPU_RATIO:g} of it; an error before start-up, closed after"
            " shut-down; 504 for a slow upstream, 502 for an error status and for nobody there"
        ),
        measured=(
            f"per request {summarise_client(run_metrics, _PER_REQUEST)}; shared"
            f" {summarise_client(run_metrics, _SHARED)} and a pool of {shared_counts.pool_size};"
            f" before start-up {lifecycle['before']['status']} ({lifecycle['before']['error']});"
            f" closed after shut-down: {lifecycle['closed']}"
        ),
        outcome=(
            ClaimOutcome.REFUTED
            if wrong
            else ClaimOutcome.NUANCED
            if limit
            else ClaimOutcome.CONFIRMED
        ),
        why="; ".join(wrong) or limit or "connections, certificates and memory are paid for once",
        bars=(
            ("connections per request, own client", own_counts.per_request),
            ("shared", shared_counts.per_request),
        ),
    )


def _lifecycle_faults(lifecycle: dict[str, Any]) -> list[str]:
    """What is wrong with the shared client outside its app's life, or inside."""
    wrong = [
        f"used {when} the app's life it raised no clear error"
        for when in ("before", "after")
        if not _has_clear_error(lifecycle[when])
    ]
    if lifecycle["running"]["status"] >= _CLIENT_ERROR:
        wrong.append("between start-up and shut-down it could not be used")
    return wrong + ([] if lifecycle["closed"] else ["shut-down left it open"])


def _has_clear_error(answer: dict[str, Any]) -> bool:
    """Whether a request failed, with words that say why."""
    return answer["status"] >= _SERVER_ERROR and "not initialized" in (answer["error"] or "")


def _explain_keep_alive(crowds: list[dict[str, Any]]) -> str:
    """What the keep-alive limit does to a shared client with more calls in flight."""
    texts = [
        f"{crowd['connections']} connections for {crowd['requests']} requests of {crowd['users']}"
        " users"
        for crowd in crowds
    ]
    if crowds[1]["connections"] <= crowds[1]["users"]:
        return ""
    return (
        f"with httpx's defaults only while at most {_KEEPALIVE_LIMIT} calls are in flight"
        f" ({texts[0]}): past that it closes what falls idle, as it counts busy connections among"
        f" the {_KEEPALIVE_LIMIT} it may keep ({texts[1]}); max_keepalive_connections={_POOL_SIZE}"
        f" cures it ({texts[2]})"
    )


CLIENT_REUSE = Claim(
    id="client-reuse",
    sentence=(
        "One client that the lifespan opens and closes serves all requests: far fewer connections"
        " and less CPU than a client per request."
    ),
    source="Making External HTTP Calls; Async Context Manager Pattern",
    judge=_judge_client_reuse,
    needs=(f"crowd/{_SHARED}/", f"crowd/{_PER_REQUEST}/", f"asked/{_SESSION}"),
)
