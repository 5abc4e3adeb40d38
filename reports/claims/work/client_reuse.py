"""One client for the whole app against one per request: connections, CPU and latency; its life; how failures surface."""

from typing import Any

from reports.claims.calls import (
    count_connections,
    cpu_per_request,
    decode_answers,
    summarise_client,
    unclear_failures,
)
from reports.claims.model import Claim, ClaimOutcome, ClaimResult, measured_route
from reports.metrics.model import RunMetrics

_POOL_SIZE = 100  # connections that an httpx client has at most, by its documentation
_KEEPALIVE_LIMIT = 20  # and that it keeps alive
# times the CPU, at least: reading a bundle of certificates outweighs all else that a small call
# does
_MIN_CPU_RATIO = 2.0
_SHARED, _PER_REQUEST = "async httpx", "async httpx-per-request"
_SESSION = "clients"


def _judge_client_reuse(run_metrics: RunMetrics) -> ClaimResult:
    """All parts of the statement must hold; what httpx's own keep-alive limit does to it is the nuance."""
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
    wrong += (
        []
        if lifecycle["running"]["status"] < 400
        else ["between start-up and shut-down it could not be used"]
    )  # noqa: PLR2004 - an error
    return wrong + ([] if lifecycle["closed"] else ["shut-down left it open"])


def _has_clear_error(answer: dict[str, Any]) -> bool:
    """Whether a request failed, with words that say why."""
    # The server's fault
    return answer["status"] >= 500 and "not initialized" in (answer["error"] or "")  # noqa: PLR2004


def _explain_keep_alive(crowds: list[dict[str, Any]]) -> str:
    """What the documented keep-alive limit does to a shared client with more calls in flight; nothing, if it does nothing."""
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


CLAIM = Claim(
    id="client-reuse",
    sentence=(
        "One client that the lifespan opens and closes serves all requests: far fewer connections"
        " and less CPU than a client per request."
    ),
    source="Making External HTTP Calls; Async Context Manager Pattern",
    judge=_judge_client_reuse,
    needs=(f"crowd/{_SHARED}/", f"crowd/{_PER_REQUEST}/", f"asked/{_SESSION}"),
)
