"""`def` runs in a thread pool and leaves the loop free - and queues past 40."""

from reports.claims.model import Claim, ClaimResult, judge_pool
from reports.metrics.model import RunMetrics
from results.schema import Variant

THREAD_TOKENS = (
    40  # AnyIO's default limiter of worker threads, documented in its manual and in Starlette's
)


def _judge_def_pool(run_metrics: RunMetrics) -> ClaimResult:
    """The loop must stay free, and the plateau must lie at AnyIO's 40."""
    limit = (
        f"true, up to {THREAD_TOKENS} at once: the next one waits for a thread, and so does every"
        " other `def` route"
    )
    return judge_pool(run_metrics, Variant.SYNC, THREAD_TOKENS, "AnyIO's thread tokens", limit)


CLAIM = Claim(
    id="def-pool",
    sentence="`def` routes run in a thread pool and do not block the event loop.",
    source="async def vs def in FastAPI; When to Use def",
    judge=_judge_def_pool,
    needs=("neighbours/", "crowd/sync/"),
)
