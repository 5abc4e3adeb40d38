"""SQLAlchemy's `AsyncSession` leaves the loop free - up to the connections of its pool, which `def` has as well."""

from reports.claims.model import (
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
from reports.claims.waiting.equal_work import (
    MAX_CONNECTIONS,
    POOL_FILL_TOLERANCE,
    POOL_TIMEOUT,
    check_equal_work,
    format_pool_settings,
)
from reports.formatting import format_seconds
from reports.metrics.model import RunMetrics

_AWAITED_VARIANTS = ["async sqlite", "async postgres"]
_BLOCKING_VARIANT = "sync postgres"


def _judge_async_session_frees(run_metrics: RunMetrics) -> ClaimResult:
    """On both databases the whole pool at once beside a calm neighbour; `def` beside it, because its pool is as large."""
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


CLAIM = Claim(
    id="async-session-frees",
    sentence=(
        "SQLAlchemy's `AsyncSession` leaves the event loop free: other requests are served while"
        " the database works."
    ),
    source="When to Use async def; Common Pitfalls",
    judge=_judge_async_session_frees,
    needs=("neighbours/", *(f"crowd/{name}/" for name in (*_AWAITED_VARIANTS, _BLOCKING_VARIANT))),
)
