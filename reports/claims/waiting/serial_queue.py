"""On a held loop request 2 cannot start before request 1 has finished: the staircase of a burst."""

from reports.claims.model import Claim, Judgement, Outcome, Untestable, near
from reports.formatting import seconds
from reports.metrics.model import Study
from reports.stats.queueing import burst_last
from reports.verdicts.load_table import answered
from results.schema import Variant

OVERLAP = 0.001  # seconds by which two handlers may seem to overlap before we say that they do
TOLERANCE = 0.10


def judge(study: Study) -> Judgement:
    """From the handlers' own moments, never from client times: middleware can let all answers leave together."""
    route = study.route(Variant.BROKEN_ASYNC)
    if route is None or route.burst is None or route.service is None:
        raise Untestable("the burst on /broken-async")
    burst = route.burst
    if not burst.has_handler_moments:
        raise Untestable("the handlers' moments, which the probe records")
    pairs = list(zip(burst.end, burst.begin[1:], strict=False))
    in_turn = sum(begin >= end - OVERLAP for end, begin in pairs)
    took, predicted = max(burst.end) - min(burst.begin), burst_last(burst.size, route.service, 1)
    holds = in_turn == len(pairs) and near(took, predicted, TOLERANCE)
    seen = f"; answered {answered(burst, route.service)}" if burst.steps(route.service) < burst.size else ""
    return Judgement(
        predicted=f"each begins after the one before ended; the last after N D = {burst.size} x {seconds(route.service)} "
        f"= {seconds(predicted)}",
        measured=f"{in_turn} of {len(pairs)} began after the one before had ended; the last ended after {seconds(took)}{seen}",
        outcome=Outcome.CONFIRMED if holds else Outcome.REFUTED,
        why="the handlers ran one after another" if holds else "handlers overlapped, or the stairs have the wrong height",
    )


CLAIM = Claim(
    id="serial-queue",
    sentence="Request 2 cannot start until request 1 has finished, its wait included.",
    source="Sync vs Async - The Core Difference",
    judge=judge,
    needs=("crowd/broken-async/1", "burst/broken-async/"),
)
