"""A blocking SQLAlchemy session inside `async def`: one request at once, however many connections its pool has."""

from reports.claims.model import FROZEN_RATIO, Claim, Judgement, Outcome, at_once, felt, is_calm, measured_route, near, neighbour
from reports.claims.waiting.equal_work import EXACT, POOL, equal_work, pools
from reports.metrics.model import Study
from reports.verdicts.neighbours import ONE

BROKEN = ["broken-async sqlite", "broken-async postgres"]
CURED = "sync postgres"


def judge(study: Study) -> Judgement:
    """On both databases one at once beside a frozen neighbour; the same session in `def` fills its pool beside a calm one."""
    broken = [measured_route(study, name) for name in BROKEN]
    frozen = [neighbour(route, "async") for route, *_ in broken]
    cured, _, _, served = measured_route(study, CURED)
    beside, _ = neighbour(cured, "async")
    equal, queries = equal_work(study, [*BROKEN, CURED])
    blocked = all(one < ONE for *_, one in broken) and all(ratio >= FROZEN_RATIO for _, ratio in frozen)
    holds = blocked and equal and near(served, POOL, EXACT) and is_calm(beside)
    tried = zip(BROKEN, broken, frozen, strict=True)
    told = [f"{name} {at_once(one[0])} with {one[1].users} users, {felt(its)}" for name, one, (its, _) in tried]
    return Judgement(
        predicted=f"1 at once, the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle value; the same session in "
        f"`def`: its pool's 5 + 10 = {POOL}; 1 query per request each",
        measured=f"{'; '.join(told)}; {CURED} {at_once(cured)}, {felt(beside)}; pool read: {pools(study, [CURED])}; {queries}",
        outcome=Outcome.CONFIRMED if holds else Outcome.REFUTED,
        why=explained(holds=holds, equal=equal, blocked=blocked),
        bars=(*((name, one) for name, (*_, one) in zip(BROKEN, broken, strict=True)), (CURED, served)),
    )


def explained(*, holds: bool, equal: bool, blocked: bool) -> str:
    """Which part decided."""
    if holds:
        return "the driver waits for the database on the loop's only thread, so one connection is all that is ever used; `def` frees the loop"
    if not equal:
        return "the variants did not do the same work"
    if not blocked:
        return "more than one at once, or nobody was held up"
    return "the same session in `def` did not fill its pool, or disturbed the loop"


CLAIM = Claim(
    id="sync-session-blocks",
    sentence="A blocking SQLAlchemy `Session` inside `async def` serves one request at once and holds up all others; the same query in `def` does not.",
    source="Common Pitfalls; async def vs def in FastAPI",
    judge=judge,
    needs=("neighbours/", *(f"crowd/{name}/" for name in (*BROKEN, CURED))),
)
