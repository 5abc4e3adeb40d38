"""On a held loop request 2 cannot start before request 1 has finished: the staircase of a burst."""

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, MissingData, is_near
from reports.formatting import format_seconds
from reports.metrics.model import RunMetrics
from reports.stats.queueing import burst_completion_time
from reports.verdicts.load_table import describe_burst
from results.schema import Variant

_MAX_OVERLAP = 0.001  # seconds by which two handlers may seem to overlap before we say that they do
_TOLERANCE = 0.10


def _judge_serial_queue(run_metrics: RunMetrics) -> ClaimResult:
    """From the handlers' own moments, never from client times: middleware can let all answers leave together."""
    route = run_metrics.find_route(Variant.BROKEN_ASYNC)
    if route is None or route.first_burst is None or route.unloaded_mean is None:
        raise MissingData("the burst on /broken-async")
    burst = route.first_burst
    if not burst.has_handler_times:
        raise MissingData("the handlers' moments, which the probe records")
    pairs = list(zip(burst.handler_end, burst.handler_start[1:], strict=False))
    sequential = sum(begin >= end - _MAX_OVERLAP for end, begin in pairs)
    duration, predicted = (
        max(burst.handler_end) - min(burst.handler_start),
        burst_completion_time(burst.size, route.unloaded_mean, 1),
    )
    holds = sequential == len(pairs) and is_near(duration, predicted, _TOLERANCE)
    answered_note = (
        f"; answered {describe_burst(burst, route.unloaded_mean)}"
        if burst.count_answer_steps(route.unloaded_mean) < burst.size
        else ""
    )
    return ClaimResult(
        predicted=(
            f"each begins after the one before ended; the last after N D = {burst.size} x"
            f" {format_seconds(route.unloaded_mean)} = {format_seconds(predicted)}"
        ),
        measured=(
            f"{sequential} of {len(pairs)} began after the one before had ended; the last ended"
            f" after {format_seconds(duration)}{answered_note}"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=(
            "the handlers ran one after another"
            if holds
            else "handlers overlapped, or the stairs have the wrong height"
        ),
    )


CLAIM = Claim(
    id="serial-queue",
    sentence="Request 2 cannot start until request 1 has finished, its wait included.",
    source="Sync vs Async - The Core Difference",
    judge=_judge_serial_queue,
    needs=("crowd/broken-async/1", "burst/broken-async/"),
)
