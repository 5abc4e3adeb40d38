"""Database sessions: which block the loop, which free it, and whether all did equal work."""

import json
from typing import Any

from reports.claims.model import Claim, MissingData, Part, PartResult, is_near
from reports.claims.routes import Pool, crowd_needs, fills_pool, holds_loop
from reports.metrics.model import RunMetrics
from results.formatting import format_number

# SQLAlchemy's manual: QueuePool's pool_size, max_overflow and pool_timeout (seconds). A query costs
# CPU beyond its wait, which all share: hence the tolerance.
_CONNECTION_POOL = Pool("pool_size + max_overflow = 5 + 10", 15, tolerance=0.05)
_POOL_TIMEOUT = 30
# how near to one query per request: a request that was given up may never have reached the database
_QUERY_TOLERANCE = 0.01


def _database_counters(run_metrics: RunMetrics, session: str) -> list[dict[str, Any]]:
    """Return the app's counters before and after the load. Raises MissingData without them."""
    database = session.rpartition(" ")[2]
    answers = run_metrics.session_answers(session, f"/users/evidence?database={database}")
    if [answer.status for answer in answers] != [200, 200]:
        raise MissingData(f"the counters of {database} during {session}")
    return [json.loads(answer.body) for answer in answers]


def _queries_per_request(run_metrics: RunMetrics, session: str) -> float:
    """Return queries over requests, in all phases. Raises MissingData without a count."""
    before, after = _database_counters(run_metrics, session)
    cells = {
        cell.name
        for cell in run_metrics.run.plan.cells
        if cell.variant == session and cell.repeat == 1
    }
    sent = sum(counts.sent for counts in run_metrics.cell_counts if counts.cell in cells)
    if after["queries"] is None or not sent:
        raise MissingData(
            f"queries counted by the database server of {session} (pg_stat_statements): equal work"
            " is not proved"
        )
    return float((after["queries"] - before["queries"]) / sent)


def _format_pool_settings(run_metrics: RunMetrics, session: str) -> str:
    """Return the sizes that were read from the pool in use."""
    kind = "awaitable" if session.startswith("async") else "blocking"
    pool = _database_counters(run_metrics, session)[0]["pools"][kind]
    return "{pool} {size} + {overflow}, {timeout:g} s".format_map(pool)


def _does_equal_work(*sessions: str) -> Part:
    """Expect one query for each request of all sessions."""

    def judge(run_metrics: RunMetrics) -> PartResult:
        ratios = {session: _queries_per_request(run_metrics, session) for session in sessions}
        pools = dict.fromkeys(_format_pool_settings(run_metrics, session) for session in sessions)
        queries = [f"{session} {format_number(ratio)}" for session, ratio in ratios.items()]
        is_equal = all(is_near(ratio, 1, _QUERY_TOLERANCE) for ratio in ratios.values())
        return PartResult(
            "1 query per request",
            f"pools in use: {' and '.join(pools)}; queries per request: {'; '.join(queries)}",
            {"the variants did not do the same work": not is_equal},
        )

    return judge


_INLINE = ("broken-async sqlite", "broken-async postgres")
_AWAITED = ("async sqlite", "async postgres")
_DEF = "sync postgres"
_TIMEOUT_NOTE = (
    f"the next request waits for a connection and fails after {_POOL_TIMEOUT} s. `def` has as large"
    " a pool"
)

SYNC_SESSION_BLOCKS = Claim(
    id="sync-session-blocks",
    sentence="A blocking `Session` in `async def` serves one at once; in `def` its whole pool.",
    source="Common Pitfalls; async def vs def in FastAPI",
    needs=crowd_needs(*_INLINE, _DEF),
    parts=(
        *map(holds_loop, _INLINE),
        fills_pool(_DEF, _CONNECTION_POOL),
        _does_equal_work(*_INLINE, _DEF),
    ),
    why="the driver waits on the loop's only thread, so only one connection is ever used",
)
ASYNC_SESSION_FREES = Claim(
    id="async-session-frees",
    sentence="SQLAlchemy's `AsyncSession` leaves the loop free while the database works.",
    source="When to Use async def; Common Pitfalls",
    needs=crowd_needs(*_AWAITED, _DEF),
    parts=(
        fills_pool(_AWAITED[0], _CONNECTION_POOL),
        fills_pool(_AWAITED[1], _CONNECTION_POOL, _TIMEOUT_NOTE),
        # Whether `def` frees the loop is another claim.
        fills_pool(_DEF, _CONNECTION_POOL, frees_loop=False),
        _does_equal_work(*_AWAITED, _DEF),
    ),
)
