"""What a queue does to latency: bursts, crowds, and what a timer inside the app misses."""

import math
from statistics import median_low

from reports.claims.model import (
    Claim,
    ClaimOutcome,
    ClaimResult,
    MissingData,
    is_near,
    measured_route,
)
from reports.formatting import format_count, format_number, format_ratio, format_seconds
from reports.metrics.burst import BurstMetrics
from reports.metrics.model import CrowdMetrics, RunMetrics
from reports.stats.queueing import burst_completion_time, closed_loop_mean
from reports.verdicts.load_sentences import describe_burst
from results.schema import Variant

_MAX_OVERLAP = 0.001  # seconds by which two handlers may seem to overlap before we say that they do
_LAST_ANSWER_TOLERANCE = 0.10


def _judge_serial_queue(run_metrics: RunMetrics) -> ClaimResult:
    """Use the handlers' own times: middleware can let all answers leave together."""
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
    holds = sequential == len(pairs) and is_near(duration, predicted, _LAST_ANSWER_TOLERANCE)
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


SERIAL_QUEUE = Claim(
    id="serial-queue",
    sentence="Request 2 cannot start until request 1 has finished, its wait included.",
    source="Sync vs Async - The Core Difference",
    judge=_judge_serial_queue,
    needs=("crowd/broken-async/1", "burst/broken-async/"),
)


_MEAN_TOLERANCE = 0.10
_MAX_GOOD_SLOWDOWN = 1.5  # times the unloaded service time: a good route's mean under load


def _judge_latency_spike(run_metrics: RunMetrics) -> ClaimResult:
    """Use the mean: it does not depend on the order of service."""
    _, top, service, _ = measured_route(run_metrics, Variant.BROKEN_ASYNC)
    predicted = closed_loop_mean(top.users, service, 1)
    good = [
        _largest_fitting_crowd(run_metrics, variant) for variant in (Variant.ASYNC, Variant.SYNC)
    ]
    spikes = is_near(top.mean.low, predicted, _MEAN_TOLERANCE) and top.mean.exact is not None
    calm = all(level.mean.high <= _MAX_GOOD_SLOWDOWN * base for level, base in good)
    good_means = ", ".join(
        f"{level.cell.split('/')[1]} with {format_count(level.users, 'user')}"
        f" {format_seconds(level.mean.low)}"
        for level, _ in good
    )
    return ClaimResult(
        predicted=(
            f"N D = {top.users} x {format_seconds(service)} = {format_seconds(predicted)}; the good"
            f" ones {format_seconds(service)}"
        ),
        measured=(
            f"mean {format_seconds(top.mean.low)} ({format_ratio(top.mean.low / service)});"
            f" {good_means}"
        ),
        outcome=ClaimOutcome.CONFIRMED if spikes and calm else ClaimOutcome.REFUTED,
        why=(
            "every user waits for all the others; on a good route nobody waits while its pool has"
            " room"
            if spikes and calm
            else "the broken route did not slow down with its users, or a good one did"
        ),
    )


def _largest_fitting_crowd(run_metrics: RunMetrics, variant: Variant) -> tuple[CrowdMetrics, float]:
    """The largest crowd that the variant's pool has room for, and its service time in seconds."""
    route, _, service, _ = measured_route(run_metrics, variant)
    if route.mechanism and route.expected_concurrency is None:
        raise MissingData(f"the size of the {route.mechanism}, which the probe reads in the app")
    fitting = [
        level
        for level in route.median_levels
        if 1 < level.users <= (route.expected_concurrency or level.users)
    ]
    if not fitting:
        raise MissingData(f"a crowd on /{variant} that its pool has room for")
    return fitting[-1], service


LATENCY_SPIKE = Claim(
    id="latency-spike",
    sentence=(
        "Under load the broken route queues: N users wait N times as long; the same work done well"
        " takes as long as alone."
    ),
    source="async def vs def in FastAPI; its warning",
    judge=_judge_latency_spike,
    needs=("crowd/broken-async/", "crowd/async/", "crowd/sync/1"),
)


_TIMER_TOLERANCE = 0.10
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
    clients_queued = is_near(max(plain.done), plain_last, _TIMER_TOLERANCE) and is_near(
        max(awaited.done), awaited_last, _TIMER_TOLERANCE
    )
    timer_blind = median_low(plain.timer) < _MAX_BLIND_TIMER * service
    # Of those that entered in one turn of the loop; the others wait before it.
    timer_sees_queue = median_low(awaited.timer) >= _MAX_BLIND_TIMER * service
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
    """A burst, all of it answered, whose timer was read. Raises MissingData otherwise."""
    if burst is None or not burst.size:
        raise MissingData(name)
    if not all(map(math.isfinite, [*burst.timer, *burst.done])):
        raise MissingData(f"what a timer inside the app saw of {name}: the probe records it")
    return burst


def _format_median_and_max(values: list[float]) -> str:
    """Median and longest."""
    return f"p50 {format_seconds(median_low(values))}, max {format_seconds(max(values))}"


SERVER_TIMER_BLIND = Claim(
    id="server-timer-blind",
    sentence=(
        "The server's own timer can say D while its clients wait N D: it starts after the queue,"
        " unless something awaits behind it."
    ),
    source="Beyond the lesson",
    judge=_judge_server_timer_blind,
    needs=("crowd/broken-async/1", "burst/broken-async/", "burst/broken-async behind-await/"),
)
