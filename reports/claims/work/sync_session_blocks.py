"""A blocking SQLAlchemy session inside `async def`: one request at once, however many connections its pool has."""

from reports.claims.model import (
    FROZEN_RATIO,
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
    check_equal_work,
    format_pool_settings,
)
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT

_BROKEN_VARIANTS = ["broken-async sqlite", "broken-async postgres"]
_FIXED_VARIANT = "sync postgres"


def _judge_sync_session_blocks(run_metrics: RunMetrics) -> ClaimResult:
    """On both databases one at once beside a frozen neighbour; the same session in `def` fills its pool beside a calm one."""
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


CLAIM = Claim(
    id="sync-session-blocks",
    sentence=(
        "A blocking SQLAlchemy `Session` inside `async def` serves one request at once and holds up"
        " all others; the same query in `def` does not."
    ),
    source="Common Pitfalls; async def vs def in FastAPI",
    judge=_judge_sync_session_blocks,
    needs=("neighbours/", *(f"crowd/{name}/" for name in (*_BROKEN_VARIANTS, _FIXED_VARIANT))),
)
