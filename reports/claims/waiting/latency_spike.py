"""Under N users the broken route answers in N D, the good ones in D."""

from reports.claims.model import Claim, Judgement, Outcome, Untestable, measured_route, near
from reports.formatting import count, seconds, times
from reports.metrics.model import Level, Study
from reports.stats.queueing import closed_loop_mean
from results.schema import Variant

TOLERANCE = 0.10
GOOD = 1.5  # times the unloaded service time: a good route's mean under load


def judge(study: Study) -> Judgement:
    """The mean, because it does not depend on the order of service; the good ones while their pool has room."""
    _, top, service, _ = measured_route(study, Variant.BROKEN_ASYNC)
    predicted = closed_loop_mean(top.users, service, 1)
    good = [roomiest(study, variant) for variant in (Variant.ASYNC, Variant.SYNC)]
    spikes = near(top.mean.low, predicted, TOLERANCE) and top.mean.exact is not None
    calm = all(level.mean.high <= GOOD * base for level, base in good)
    rest = ", ".join(f"{level.cell.split('/')[1]} with {count(level.users, 'user')} {seconds(level.mean.low)}" for level, _ in good)
    return Judgement(
        predicted=f"N D = {top.users} x {seconds(service)} = {seconds(predicted)}; the good ones {seconds(service)}",
        measured=f"mean {seconds(top.mean.low)} ({times(top.mean.low / service)}); {rest}",
        outcome=Outcome.CONFIRMED if spikes and calm else Outcome.REFUTED,
        why="every user waits for all the others; on a good route nobody waits while its pool has room"
        if spikes and calm
        else "the broken route did not slow down with its users, or a good one did",
    )


def roomiest(study: Study, variant: Variant) -> tuple[Level, float]:
    """The largest crowd that the variant's pool has room for, and its service time in seconds."""
    route, _, service, _ = measured_route(study, variant)
    if route.mechanism and route.places is None:
        raise Untestable(f"the size of the {route.mechanism}, which the probe reads in the app")
    fits = [level for level in route.steps if 1 < level.users <= (route.places or level.users)]
    if not fits:
        raise Untestable(f"a crowd on /{variant} that its pool has room for")
    return fits[-1], service


CLAIM = Claim(
    id="latency-spike",
    sentence="Under load the broken route queues: N users wait N times as long; the same work done well takes as long as alone.",
    source="async def vs def in FastAPI; its warning",
    judge=judge,
    needs=("crowd/broken-async/", "crowd/async/", "crowd/sync/1"),
)
