"""The server's own timer can say D while its clients see N D: it starts after the queue - unless something suspends behind it.

A timing middleware starts when the task of a request first runs. On a held loop that is after all
the waiting, and from there to the handler nothing else gets a turn. Let a dependency await once,
and every request passes the timer before it queues.
"""

import math
from statistics import median_low

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, MissingData, is_near
from reports.formatting import format_number, format_seconds
from reports.metrics.burst import BurstMetrics
from reports.metrics.model import RunMetrics
from reports.stats.queueing import burst_completion_time
from results.schema import Variant

_TOLERANCE = 0.10
_MAX_BLIND_TIMER = (
    1.5  # service times: a timer whose median stays below saw the work and not the queue
)


def _judge_server_timer_blind(run_metrics: RunMetrics) -> ClaimResult:
    """Two bursts of N on the same blocking route: as it is, and behind a dependency that awaits."""
    route = run_metrics.find_route(Variant.BROKEN_ASYNC)
    plain = _timed_burst(route.first_burst if route else None, "the burst on /broken-async")
    awaited_burst = next(
        (
            experiment.first_burst
            for experiment in run_metrics.experiments
            if experiment.route.endswith("/behind-await")
        ),
        None,
    )
    awaited = _timed_burst(awaited_burst, "the burst on /broken-async/behind-await")
    service = route.unloaded_mean if route else None
    if service is None:
        raise MissingData("one user on /broken-async")
    plain_last, awaited_last = (
        burst_completion_time(plain.size, service, 1),
        burst_completion_time(awaited.size, service, 1),
    )
    clients_queued = is_near(max(plain.done), plain_last, _TOLERANCE) and is_near(
        max(awaited.done), awaited_last, _TOLERANCE
    )
    timer_blind = median_low(plain.timer) < _MAX_BLIND_TIMER * service
    timer_sees_queue = (
        median_low(awaited.timer) >= _MAX_BLIND_TIMER * service
    )  # of those that entered in one turn of the loop; the others wait before it
    outcome, why = _timer_outcome(
        clients_queued=clients_queued, timer_blind=timer_blind, timer_sees_queue=timer_sees_queue
    )
    return ClaimResult(
        predicted=(
            f"the last of {plain.size} waits N D = {format_seconds(plain_last)}; a timer in the app"
            f" says D = {format_seconds(service)} to each, and behind an await to half of them"
            f" {format_number(_MAX_BLIND_TIMER)} D = {format_seconds(_MAX_BLIND_TIMER * service)}"
            " or more"
        ),
        measured=(
            f"as it is: clients {_format_median_and_max(plain.done)}, the timer"
            f" {_format_median_and_max(plain.timer)}; behind an await: clients"
            f" {_format_median_and_max(awaited.done)}, the timer"
            f" {_format_median_and_max(awaited.timer)}"
        ),
        outcome=outcome,
        why=why,
    )


def _timer_outcome(
    *, clients_queued: bool, timer_blind: bool, timer_sees_queue: bool
) -> tuple[ClaimOutcome, str]:
    """What follows from whether clients queued, and which timer saw it."""
    if clients_queued and timer_blind and timer_sees_queue:
        why = (
            "the timer starts when a request's task first runs; what suspends between it and the"
            " handler decides"
        )
        return ClaimOutcome.CONFIRMED, why
    if clients_queued and timer_blind:
        return ClaimOutcome.NUANCED, "the timer is blind, and here it was so even behind an await"
    return (
        ClaimOutcome.REFUTED,
        "the timer saw the queue" if clients_queued else "the clients did not wait for one another",
    )


def _timed_burst(burst: BurstMetrics | None, name: str) -> BurstMetrics:
    """A burst, all of it answered, whose timer was read. Raises Untestable otherwise."""
    if burst is None or not burst.size:
        raise MissingData(name)
    if not all(map(math.isfinite, [*burst.timer, *burst.done])):
        raise MissingData(f"what a timer inside the app saw of {name}: the probe records it")
    return burst


def _format_median_and_max(values: list[float]) -> str:
    """Median and longest."""
    return f"p50 {format_seconds(median_low(values))}, max {format_seconds(max(values))}"


CLAIM = Claim(
    id="server-timer-blind",
    sentence=(
        "The server's own timer can say D while its clients wait N D: it starts after the queue,"
        " unless something awaits behind it."
    ),
    source="Beyond the lesson",
    judge=_judge_server_timer_blind,
    needs=("crowd/broken-async/1", "burst/broken-async/", "burst/broken-async behind-await/"),
)
