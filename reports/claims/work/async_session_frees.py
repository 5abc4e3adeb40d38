"""SQLAlchemy's `AsyncSession` leaves the loop free - up to the connections of its pool, which `def` has as well."""

from reports.claims.model import Claim, Judgement, Outcome, at_once, felt, is_calm, measured_route, near, neighbour
from reports.claims.waiting.equal_work import EXACT, PATIENCE, POOL, equal_work, pools
from reports.formatting import seconds
from reports.metrics.model import Study

AWAITED = ["async sqlite", "async postgres"]
BLOCKING = "sync postgres"


def judge(study: Study) -> Judgement:
    """On both databases the whole pool at once beside a calm neighbour; `def` beside it, because its pool is as large."""
    awaited = [measured_route(study, name) for name in AWAITED]
    others = [neighbour(route, "async")[0] for route, *_ in awaited]
    blocking, _, once, many = measured_route(study, BLOCKING)
    equal, queries = equal_work(study, [*AWAITED, BLOCKING])
    full = all(near(one, POOL, EXACT) for one in (*(served for *_, served in awaited), many))
    holds = full and equal and all(map(is_calm, others))
    beside = zip(AWAITED, awaited, others, strict=True)
    told = [f"{name} {at_once(one[0])} with {one[1].users} users, {felt(its)}" for name, one, its in beside]
    return Judgement(
        predicted=f"pool_size + max_overflow = 5 + 10 = {POOL} at once on both databases, in `def` as well; the async neighbour calm; 1 query per request",
        measured=f"{'; '.join(told)}; {BLOCKING} {at_once(blocking)}; pools read: {pools(study, [*AWAITED, BLOCKING])}; {queries}",
        outcome=Outcome.NUANCED if holds else Outcome.REFUTED,
        why=f"true, up to {POOL} at once: the next one waits for a connection, after {PATIENCE} s in vain. `def` has as large a pool, and "
        f"one query alone takes {seconds(awaited[-1][2])} awaited, {seconds(once)} in `def`"
        if holds
        else "the loop was not left free, the pool did not fill, or the variants did not do the same work",
        bars=(*((name, served) for name, (*_, served) in zip(AWAITED, awaited, strict=True)), (BLOCKING, many)),
    )


CLAIM = Claim(
    id="async-session-frees",
    sentence="SQLAlchemy's `AsyncSession` leaves the event loop free: other requests are served while the database works.",
    source="When to Use async def; Common Pitfalls",
    judge=judge,
    needs=("neighbours/", *(f"crowd/{name}/" for name in (*AWAITED, BLOCKING))),
)
