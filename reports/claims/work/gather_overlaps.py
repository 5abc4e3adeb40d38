"""Two calls under `gather` take one delay, one after another two: awaiting is not yet overlapping."""

from reports.claims.model import Claim, Judgement, Outcome, alone
from reports.formatting import between, seconds, share
from reports.metrics.model import Study

DELAY = 0.2  # seconds that the upstream takes for each call, as the plan asks for
TOGETHER = 1.15  # delays that two calls under `gather` may take
IN_TURN = 1.9  # and that they must take one after another


def judge(study: Study) -> Judgement:
    """One user, so that nobody waits for anybody: median latency over the delay of one call."""
    (both, range_of_both), (each, range_of_each) = (alone(study, f"async {name}", DELAY) for name in ("gather", "in-turn"))
    holds = both <= TOGETHER and each >= IN_TURN
    return Judgement(
        predicted=f"max(D, D) = 1 delay of {seconds(DELAY)} under gather, D + D = 2 one after another",
        measured=f"{between(both, range_of_both)} delays under gather, {between(each, range_of_each)} one after another",
        outcome=Outcome.CONFIRMED if holds else Outcome.REFUTED,
        why=f"both calls wait at the same time; what is beyond one delay ({share(both - 1)}) is the calls' own CPU"
        if holds
        else "the calls did not overlap, or those that were to wait for one another did",
        bars=(("gather", both), ("in turn", each)),
    )


CLAIM = Claim(
    id="gather-overlaps",
    sentence="Two upstream calls under `asyncio.gather` take one delay, not two.",
    source="Hands-On Practice",
    judge=judge,
    needs=("crowd/async gather/", "crowd/async in-turn/"),
)
