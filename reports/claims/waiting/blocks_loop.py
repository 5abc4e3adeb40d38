"""Blocking inside `async def` freezes the worker: one request at once, and innocent routes wait too."""

from reports.claims.model import FROZEN_RATIO, Claim, Judgement, Outcome, at_once, felt, measured_route, neighbour
from reports.formatting import seconds
from reports.metrics.model import Study
from reports.verdicts.neighbours import ONE
from results.schema import Variant


def judge(study: Study) -> Judgement:
    """Both must hold: a plateau at one, and an innocent async route that waits. A lock would give the first alone."""
    route, top, _, served = measured_route(study, Variant.BROKEN_ASYNC)
    beside, ratio = neighbour(route, "async")
    holds = served < ONE and ratio >= FROZEN_RATIO
    replayed = f"; behind a replay of the crowd: {seconds(beside.predicted)}" if beside.predicted else ""
    return Judgement(
        predicted=f"1 at once; the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle value{replayed}",
        measured=f"{at_once(route)} at once with {top.users} users; {felt(beside)}",
        outcome=Outcome.CONFIRMED if holds else Outcome.REFUTED,
        why="the loop runs one thing at a time, and time.sleep does not give it back"
        if holds
        else "either more than one request was served at once, or an innocent route was not held up",
    )


CLAIM = Claim(
    id="blocks-loop",
    sentence="A blocking call inside `async def` freezes every request of the worker: one at once, and the neighbours wait.",
    source="async def vs def in FastAPI; When to Use def",
    judge=judge,
    needs=("neighbours/", "crowd/broken-async/"),
)
