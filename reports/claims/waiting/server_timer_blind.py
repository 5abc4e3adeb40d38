"""The server's own timer can say D while its clients see N D: it starts after the queue - unless something suspends behind it.

A timing middleware starts when the task of a request first runs. On a held loop that is after all the waiting, and from there
to the handler nothing else gets a turn. Let a dependency await once, and every request passes the timer before it queues.
"""

import math
from statistics import median_low

from reports.claims.model import Claim, Judgement, Outcome, Untestable, near
from reports.formatting import number, seconds
from reports.metrics.burst import Burst
from reports.metrics.model import Study
from reports.stats.queueing import burst_last
from results.schema import Variant

TOLERANCE = 0.10
BLIND = 1.5  # service times: a timer whose median stays below saw the work and not the queue


def judge(study: Study) -> Judgement:
    """Two bursts of N on the same blocking route: as it is, and behind a dependency that awaits."""
    route = study.route(Variant.BROKEN_ASYNC)
    plain = timed(route.burst if route else None, "the burst on /broken-async")
    behind = next((one.burst for one in study.experiments if one.route.endswith("/behind-await")), None)
    awaited = timed(behind, "the burst on /broken-async/behind-await")
    service = route.service if route else None
    if service is None:
        raise Untestable("one user on /broken-async")
    last, first = burst_last(plain.size, service, 1), burst_last(awaited.size, service, 1)
    queued = near(max(plain.done), last, TOLERANCE) and near(max(awaited.done), first, TOLERANCE)
    blind = median_low(plain.timer) < BLIND * service
    sees = median_low(awaited.timer) >= BLIND * service  # of those that entered in one turn of the loop; the others wait before it
    outcome, why = verdict(queued=queued, blind=blind, sees=sees)
    return Judgement(
        predicted=f"the last of {plain.size} waits N D = {seconds(last)}; a timer in the app says D = {seconds(service)} to each, "
        f"and behind an await to half of them {number(BLIND)} D = {seconds(BLIND * service)} or more",
        measured=f"as it is: clients {told(plain.done)}, the timer {told(plain.timer)}; "
        f"behind an await: clients {told(awaited.done)}, the timer {told(awaited.timer)}",
        outcome=outcome,
        why=why,
    )


def verdict(*, queued: bool, blind: bool, sees: bool) -> tuple[Outcome, str]:
    """What follows from whether clients queued, and which timer saw it."""
    if queued and blind and sees:
        why = "the timer starts when a request's task first runs; what suspends between it and the handler decides"
        return Outcome.CONFIRMED, why
    if queued and blind:
        return Outcome.NUANCED, "the timer is blind, and here it was so even behind an await"
    return Outcome.REFUTED, "the timer saw the queue" if queued else "the clients did not wait for one another"


def timed(burst: Burst | None, name: str) -> Burst:
    """A burst, all of it answered, whose timer was read. Raises Untestable otherwise."""
    if burst is None or not burst.size:
        raise Untestable(name)
    if not all(map(math.isfinite, [*burst.timer, *burst.done])):
        raise Untestable(f"what a timer inside the app saw of {name}: the probe records it")
    return burst


def told(values: list[float]) -> str:
    """Median and longest."""
    return f"p50 {seconds(median_low(values))}, max {seconds(max(values))}"


CLAIM = Claim(
    id="server-timer-blind",
    sentence="The server's own timer can say D while its clients wait N D: it starts after the queue, unless something awaits behind it.",
    source="Beyond the lesson",
    judge=judge,
    needs=("crowd/broken-async/1", "burst/broken-async/", "burst/broken-async behind-await/"),
)
