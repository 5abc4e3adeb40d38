"""`def` runs in a thread pool and leaves the loop free - and queues past 40."""

from reports.claims.claim import Claim, Judgement, Outcome, Untestable, felt, is_calm, measured_route, near, neighbour
from reports.study import Study
from reports.wording import number
from results.schema import Variant

TOKENS = 40  # AnyIO's default limiter of worker threads, documented in its manual and in Starlette's
TOLERANCE = 0.10


def judge(study: Study) -> Judgement:
    """The loop must stay free, and the plateau must lie at AnyIO's 40: that is the limit the lesson leaves out."""
    route, top, _, served = measured_route(study, Variant.SYNC)
    if top.users < TOKENS * (1 + TOLERANCE):
        message = f"more than {TOKENS} users on /sync"
        raise Untestable(message)
    beside, _ = neighbour(route, "async")
    holds = is_calm(beside) and near(served, TOKENS, TOLERANCE)
    return Judgement(
        predicted=f"min(N, {TOKENS}) = {min(top.users, TOKENS)} at once; the async neighbour calm",
        measured=f"{number(served)} at once with {top.users} users; {felt(beside)}",
        outcome=Outcome.NUANCED if holds else Outcome.REFUTED,
        why=f"true, up to {TOKENS} at once: the next one waits for a thread, and so does every other `def` route"
        if holds
        else "the loop was not left free, or the pool does not have the documented size",
    )


CLAIM = Claim(
    id="def-pool",
    sentence="`def` routes run in a thread pool and do not block the event loop.",
    source="async def vs def in FastAPI; When to Use def",
    judge=judge,
)
