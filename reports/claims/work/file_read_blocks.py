"""A slow file read inside `async def` holds the loop; in `def`, or through `to_thread`, only a thread waits for the disk."""

from reports.claims.model import FROZEN_RATIO, Claim, Judgement, Outcome, at_once, felt, judge_pool, measured_route, neighbour
from reports.claims.waiting.def_pool import TOKENS
from reports.claims.waiting.to_thread_free import documented_size
from reports.metrics.model import Study
from reports.verdicts.neighbours import ONE

BROKEN, SYNC, THREAD = "broken-async file", "sync file", "to-thread file"
FORMS = {"`async def`": BROKEN, "`def`": SYNC, "`to_thread`": THREAD}


def judge(study: Study) -> Judgement:
    """The same read three ways: one place and a frozen neighbour, against two pools of documented size and calm neighbours."""
    route, top, _, served = measured_route(study, BROKEN)
    beside, ratio = neighbour(route, "async")
    blocks = served < ONE and ratio >= FROZEN_RATIO
    pool = judge_pool(study, SYNC, TOKENS, "AnyIO's thread tokens", "")
    executor = judge_pool(study, THREAD, documented_size(study.run, THREAD), "min(32, cpus + 4)", "")
    frees = Outcome.REFUTED not in {pool.outcome, executor.outcome}
    return Judgement(
        predicted=f"`async def`: 1 at once; the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle value. "
        f"`def`: {pool.predicted}. `to_thread`: {executor.predicted}",
        measured=f"`async def`: {at_once(route)} at once with {top.users} users; {felt(beside)}. "
        f"`def`: {pool.measured}. `to_thread`: {executor.measured}",
        outcome=Outcome.CONFIRMED if blocks and frees else Outcome.REFUTED,
        why="read() stands still in the operating system until the disk has told everything; a thread that stands still holds nobody up"
        if blocks and frees
        else "the read did not hold the loop, or its fix did",
        bars=tuple((form, measured_route(study, variant)[3]) for form, variant in FORMS.items()),
    )


CLAIM = Claim(
    id="file-read-blocks",
    sentence="A slow file read inside `async def` freezes every request; in `def` or `asyncio.to_thread` it leaves the loop free.",
    source="async def vs def in FastAPI",
    judge=judge,
    needs=("neighbours/", f"crowd/{BROKEN}/", f"crowd/{SYNC}/", f"crowd/{THREAD}/"),
)
