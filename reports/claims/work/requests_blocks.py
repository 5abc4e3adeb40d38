"""`requests` inside `async def` holds the loop for the whole call; the same call in `def` does not."""

from reports.claims.calls import summary
from reports.claims.model import (
    FROZEN_RATIO,
    POOL_TOLERANCE,
    Claim,
    Judgement,
    Outcome,
    at_once,
    felt,
    is_calm,
    measured_route,
    near,
    neighbour,
)
from reports.claims.waiting.def_pool import TOKENS
from reports.metrics.model import Study
from reports.verdicts.neighbours import ONE

MISTAKE, FIX = "broken-async requests", "sync requests"


def judge(study: Study) -> Judgement:
    """Both the mistake and its fix: the library is the same, only the thread that it blocks is another."""
    mistake, top, _, served = measured_route(study, MISTAKE)
    fix, _, _, in_threads = measured_route(study, FIX)
    (frozen, ratio), (calm, _) = neighbour(mistake, "async"), neighbour(fix, "async")
    holds = served < ONE and ratio >= FROZEN_RATIO
    cured = near(in_threads, TOKENS, POOL_TOLERANCE) and is_calm(calm)
    return Judgement(
        predicted=f"in `async def` 1 at once, the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle value; "
        f"in `def` AnyIO's {TOKENS} threads = {TOKENS} at once, the neighbour calm",
        measured=f"in `async def` {at_once(mistake)} at once with {top.users} users, {felt(frozen)}; "
        f"in `def` {summary(study, FIX)}, {felt(calm)}",
        outcome=Outcome.CONFIRMED if holds and cured else Outcome.REFUTED,
        why="the call waits in the thread that makes it: the loop's, or one of the pool's"
        if holds and cured
        else "the loop was not held"
        if not holds
        else "in `def` the loop was not left free, or the pool does not have the documented size",
        bars=(("in async def", served), ("in def", in_threads)),
    )


CLAIM = Claim(
    id="requests-blocks",
    sentence="`requests` inside `async def` freezes every request of the worker until the other service has answered; in `def` it does not.",
    source="Making External HTTP Calls; Common Pitfalls",
    judge=judge,
    needs=("neighbours/", f"crowd/{MISTAKE}/", f"crowd/{FIX}/"),
)
