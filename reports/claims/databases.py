"""Database sessions: which block the loop, which free it, and whether all did equal work."""

import json
from typing import Any

from reports.claims.model import (
    FROZEN_RATIO,
    Claim,
    ClaimOutcome,
    ClaimResult,
    MissingData,
    format_neighbour_p90,
    format_served_interval,
    is_near,
    is_neighbour_calm,
    measured_neighbour,
    measured_route,
)
from reports.formatting import format_number, format_seconds
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT

# SQLAlchemy's manual: QueuePool's pool_size, max_overflow and pool_timeout (seconds)
_POOL_SIZE, _MAX_OVERFLOW, POOL_TIMEOUT = 5, 10, 30


MAX_CONNECTIONS = _POOL_SIZE + _MAX_OVERFLOW
# how near the plateau must lie to the pool: what a query costs beside its wait is CPU that all
# share
POOL_FILL_TOLERANCE = 0.05
# how near to one query per request: a request that was given up may never have reached the database
_QUERY_TOLERANCE = 0.01


def _database_counters(
    run_metrics: RunMetrics, session: str, database: str
) -> list[dict[str, Any]]:
    """The app's counters before and after the load. Raises MissingData without them."""
    answers = run_metrics.session_answers(session, f"/users/evidence?database={database}")
    if [answer["status"] for answer in answers] != [200, 200]:
        raise MissingData(f"what {database} counted during {session}")
    return [json.loads(answer["body"]) for answer in answers]


def _queries_per_request(run_metrics: RunMetrics, session: str, database: str) -> float:
    """Queries over requests, in all phases of the load. Raises MissingData without a count."""
    before, after = _database_counters(run_metrics, session, database)
    cells = {
        cell["name"]
        for cell in run_metrics.run["plan"]["cells"]
        if cell["variant"] == session and cell["repeat"] == 1
    }
    sent = sum(counts.sent for counts in run_metrics.cell_counts if counts.cell in cells)
    if after["queries"] is None or not sent:
        raise MissingData(
            f"queries counted by the {database} server itself (pg_stat_statements): equal work is"
            " not proved"
        )
    return float((after["queries"] - before["queries"]) / sent)


def check_equal_work(run_metrics: RunMetrics, sessions: list[str]) -> tuple[bool, str]:
    """Whether each request of these sessions cost one query, and a sentence about it."""
    ratios = [
        _queries_per_request(run_metrics, session, session.rpartition(" ")[2])
        for session in sessions
    ]
    text = "; ".join(
        f"{session} {format_number(ratio)}" for session, ratio in zip(sessions, ratios, strict=True)
    )
    return (
        all(is_near(ratio, 1, _QUERY_TOLERANCE) for ratio in ratios),
        f"queries per request: {text}",
    )


def format_pool_settings(run_metrics: RunMetrics, sessions: list[str]) -> str:
    """The sizes that were read from the pools in use, once where they are alike."""
    kinds = {
        session: "awaitable" if session.startswith("async") else "blocking" for session in sessions
    }
    settings = [
        _database_counters(run_metrics, session, session.rpartition(" ")[2])[0]["pools"][kind]
        for session, kind in kinds.items()
    ]
    return " and ".join(
        dict.fromkeys(
            f"{pool['pool']} {pool['size']} + {pool['overflow']}, {pool['timeout']:g} s"
            for pool in settings
        )
    )


_BROKEN_VARIANTS = ["broken-async sqlite", "broken-async postgres"]
_FIXED_VARIANT = "sync postgres"


def _judge_sync_session_blocks(run_metrics: RunMetrics) -> ClaimResult:
    """Broken: one at once, frozen neighbour. In `def`: a full pool, calm neighbour."""
    broken_routes = [measured_route(run_metrics, name) for name in _BROKEN_VARIANTS]
    neighbours = [measured_neighbour(route, "async") for route, *_ in broken_routes]
    fixed_route, _, _, served = measured_route(run_metrics, _FIXED_VARIANT)
    async_neighbour, _ = measured_neighbour(fixed_route, "async")
    equal_queries, queries = check_equal_work(run_metrics, [*_BROKEN_VARIANTS, _FIXED_VARIANT])
    loop_blocked = all(result < SERIAL_LIMIT for *_, result in broken_routes) and all(
        ratio >= FROZEN_RATIO for _, ratio in neighbours
    )
    holds = (
        loop_blocked
        and equal_queries
        and is_near(served, MAX_CONNECTIONS, POOL_FILL_TOLERANCE)
        and is_neighbour_calm(async_neighbour)
    )
    rows = zip(_BROKEN_VARIANTS, broken_routes, neighbours, strict=True)
    lines = [
        f"{name} {format_served_interval(result[0])} with {result[1].users} users,"
        f" {format_neighbour_p90(loop_neighbour)}"
        for name, result, (loop_neighbour, _) in rows
    ]
    return ClaimResult(
        predicted=(
            f"1 at once, the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle"
            f" value; the same session in `def`: its pool's 5 + 10 = {MAX_CONNECTIONS}; 1 query per"
            " request each"
        ),
        measured=(
            f"{'; '.join(lines)}; {_FIXED_VARIANT} {format_served_interval(fixed_route)},"
            f" {format_neighbour_p90(async_neighbour)}; pool read:"
            f" {format_pool_settings(run_metrics, [_FIXED_VARIANT])}; {queries}"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=_explain_sync_session(
            holds=holds, equal_queries=equal_queries, loop_blocked=loop_blocked
        ),
        bars=(
            *(
                (name, result)
                for name, (*_, result) in zip(_BROKEN_VARIANTS, broken_routes, strict=True)
            ),
            (_FIXED_VARIANT, served),
        ),
    )


def _explain_sync_session(*, holds: bool, equal_queries: bool, loop_blocked: bool) -> str:
    """Which part decided."""
    if holds:
        return (
            "the driver waits for the database on the loop's only thread, so one connection is all"
            " that is ever used; `def` frees the loop"
        )
    if not equal_queries:
        return "the variants did not do the same work"
    if not loop_blocked:
        return "more than one at once, or nobody was held up"
    return "the same session in `def` did not fill its pool, or disturbed the loop"


SYNC_SESSION_BLOCKS = Claim(
    id="sync-session-blocks",
    sentence=(
        "A blocking SQLAlchemy `Session` inside `async def` serves one request at once and holds up"
        " all others; the same query in `def` does not."
    ),
    source="Common Pitfalls; async def vs def in FastAPI",
    judge=_judge_sync_session_blocks,
    needs=("neighbours/", *(f"crowd/{name}/" for name in (*_BROKEN_VARIANTS, _FIXED_VARIANT))),
)


_AWAITED_VARIANTS = ["async sqlite", "async postgres"]
_BLOCKING_VARIANT = "sync postgres"


def _judge_async_session_frees(run_metrics: RunMetrics) -> ClaimResult:
    """Both databases serve the whole pool beside a calm neighbour; `def` serves as many."""
    awaited_routes = [measured_route(run_metrics, name) for name in _AWAITED_VARIANTS]
    neighbours = [measured_neighbour(route, "async")[0] for route, *_ in awaited_routes]
    blocking, _, blocking_service, blocking_served = measured_route(run_metrics, _BLOCKING_VARIANT)
    equal_queries, queries = check_equal_work(run_metrics, [*_AWAITED_VARIANTS, _BLOCKING_VARIANT])
    fills_pools = all(
        is_near(result, MAX_CONNECTIONS, POOL_FILL_TOLERANCE)
        for result in (*(served for *_, served in awaited_routes), blocking_served)
    )
    holds = fills_pools and equal_queries and all(map(is_neighbour_calm, neighbours))
    rows = zip(_AWAITED_VARIANTS, awaited_routes, neighbours, strict=True)
    lines = [
        f"{name} {format_served_interval(result[0])} with {result[1].users} users,"
        f" {format_neighbour_p90(async_neighbour)}"
        for name, result, async_neighbour in rows
    ]
    return ClaimResult(
        predicted=(
            f"pool_size + max_overflow = 5 + 10 = {MAX_CONNECTIONS} at once on both databases, in"
            " `def` as well; the async neighbour calm; 1 query per request"
        ),
        measured=(
            f"{'; '.join(lines)}; {_BLOCKING_VARIANT} {format_served_interval(blocking)}; pools"
            f" read: {format_pool_settings(run_metrics, [*_AWAITED_VARIANTS, _BLOCKING_VARIANT])};"
            f" {queries}"
        ),
        outcome=ClaimOutcome.NUANCED if holds else ClaimOutcome.REFUTED,
        why=(
            f"true, up to {MAX_CONNECTIONS} at once: the next one waits for a connection, after"
            f" {POOL_TIMEOUT} s in vain. `def` has as large a pool, and one query alone takes"
            f" {format_seconds(awaited_routes[-1][2])} awaited, {format_seconds(blocking_service)}"
            " in `def`"
            if holds
            else (
                "the loop was not left free, the pool did not fill, or the variants did not do the"
                " same work"
            )
        ),
        bars=(
            *(
                (name, served)
                for name, (*_, served) in zip(_AWAITED_VARIANTS, awaited_routes, strict=True)
            ),
            (_BLOCKING_VARIANT, blocking_served),
        ),
    )


ASYNC_SESSION_FREES = Claim(
    id="async-session-frees",
    sentence=(
        "SQLAlchemy's `AsyncSession` leaves the event loop free: other requests are served while"
        " the database works."
    ),
    source="When to Use async def; Common Pitfalls",
    judge=_judge_async_session_frees,
    needs=("neighbours/", *(f"crowd/{name}/" for name in (*_AWAITED_VARIANTS, _BLOCKING_VARIANT))),
)
