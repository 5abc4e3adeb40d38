"""`def` runs in a thread pool and leaves the loop free - and queues past 40."""

from reports.claims.model import Claim, Judgement, judge_pool
from reports.metrics.model import Study
from results.schema import Variant

TOKENS = 40  # AnyIO's default limiter of worker threads, documented in its manual and in Starlette's


def judge(study: Study) -> Judgement:
    """The loop must stay free, and the plateau must lie at AnyIO's 40."""
    limit = f"true, up to {TOKENS} at once: the next one waits for a thread, and so does every other `def` route"
    return judge_pool(study, Variant.SYNC, TOKENS, "AnyIO's thread tokens", limit)


CLAIM = Claim(
    id="def-pool",
    sentence="`def` routes run in a thread pool and do not block the event loop.",
    source="async def vs def in FastAPI; When to Use def",
    judge=judge,
    needs=("neighbours/", "crowd/sync/"),
)
