"""What a queue does to latency: bursts, crowds, and what a timer inside the app misses."""

import math
from statistics import median_low

from reports.claims.model import Claim, MissingData, PartResult, is_near
from reports.claims.routes import measured_route
from reports.metrics.burst import BurstMetrics
from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics
from reports.stats.queueing import burst_completion_time, closed_loop_mean
from reports.verdicts.load_sentences import describe_burst
from results.formatting import format_count, format_number, format_ratio, format_seconds
from results.schema import Variant

_MAX_OVERLAP = 0.001  # seconds: less is a matter of clocks, and the handlers do not overlap
_TIME_TOLERANCE = 0.10  # of a predicted mean, or of the last answer of a burst


def _judge_serial_queue(run_metrics: RunMetrics) -> PartResult:
    """Use the handlers' own times: middleware can let all answers leave together."""
    route = run_metrics.find_route(Variant.BROKEN_ASYNC)
    if route is None or route.first_burst is None or route.unloaded_mean is None:
        raise MissingData("the burst on /broken-async")
    burst, service = route.first_burst, route.unloaded_mean
    if not burst.has_handler_times:
        raise MissingData("the times of the handlers, which the probe records")
    pairs = list(zip(burst.handler_end, burst.handler_start[1:], strict=False))
    sequential = sum(begin >= end - _MAX_OVERLAP for end, begin in pairs)
    duration = max(burst.handler_end) - min(burst.handler_start)
    predicted = burst_completion_time(burst.size, service, 1)
    is_on_time = is_near(duration, predicted, _TIME_TOLERANCE)
    has_few_steps = burst.count_answer_steps(service) < burst.size
    answered_note = f"; answered {describe_burst(burst, service)}" if has_few_steps else ""
    return PartResult(
        f"each begins after the one before ended; the last ends after N D = {burst.size} x"
        f" {format_seconds(service)} = {format_seconds(predicted)}",
        f"{sequential} of {len(pairs)} began after the one before ended; the last ended after"
        f" {format_seconds(duration)}{answered_note}",
        {
            "handlers overlapped": sequential < len(pairs),
            "the last handler ended too early or too late": not is_on_time,
        },
    )


SERIAL_QUEUE = Claim(
    id="serial-queue",
    sentence="Request 2 cannot start until request 1 has finished, its wait included.",
    source="Sync vs Async - The Core Difference",
    needs=("crowd/broken-async/1", "burst/broken-async/"),
    parts=(_judge_serial_queue,),
    why="the handlers ran one after another",
)

_MAX_GOOD_SLOWDOWN = 1.5  # times the unloaded service time: a good route's mean under load


def _judge_latency_spike(run_metrics: RunMetrics) -> PartResult:
    """Use the mean: it does not depend on the order of service."""
    broken = measured_route(run_metrics, Variant.BROKEN_ASYNC)
    users, mean, service = broken.level.users, broken.level.mean, broken.service
    predicted = closed_loop_mean(users, service, 1)
    variants = (Variant.ASYNC, Variant.SYNC)
    good = {variant: _largest_fitting_crowd(run_metrics, variant) for variant in variants}
    good_means = ", ".join(
        f"{variant} with {format_count(level.users, 'user')} {format_seconds(level.mean.low)}"
        for variant, (level, _) in good.items()
    )
    spikes = mean.exact is not None and is_near(mean.low, predicted, _TIME_TOLERANCE)
    slows_down = any(level.mean.high > _MAX_GOOD_SLOWDOWN * base for level, base in good.values())
    return PartResult(
        f"N D = {users} x {format_seconds(service)} = {format_seconds(predicted)}; on the good"
        f" routes {format_seconds(service)}",
        f"mean {format_seconds(mean.low)} ({format_ratio(mean.low / service)}); {good_means}",
        {
            "the broken route did not slow down with its users": not spikes,
            "a good route slowed down with its users": slows_down,
        },
    )


def _largest_fitting_crowd(run_metrics: RunMetrics, variant: Variant) -> tuple[CrowdMetrics, float]:
    """Return the largest crowd that fits the variant's pool, and its service time in seconds."""
    measured = measured_route(run_metrics, variant)
    route, places = measured.route, measured.route.expected_concurrency
    if route.mechanism and places is None:
        raise MissingData(f"the size of the {route.mechanism}, which the probe reads")
    fitting = [level for level in route.median_levels if 1 < level.users <= (places or level.users)]
    if not fitting:
        raise MissingData(f"a crowd on /{variant} that fits its pool")
    return fitting[-1], measured.service


LATENCY_SPIKE = Claim(
    id="latency-spike",
    sentence="Under load N users of the broken route wait N times as long; good routes stay fast.",
    source="async def vs def in FastAPI; its warning",
    needs=("crowd/broken-async/", "crowd/async/", "crowd/sync/1"),
    parts=(_judge_latency_spike,),
    why="every user waits for all others; on a good route none waits while its pool has room",
)

# service times: a timer whose median stays below saw the work and not the queue
_MAX_BLIND_TIMER = 1.5


def _judge_server_timer_blind(run_metrics: RunMetrics) -> PartResult:
    """Two bursts of N on the same blocking route: as it is, and behind a dependency that awaits."""
    route = run_metrics.find_route(Variant.BROKEN_ASYNC)
    plain = _timed_burst(route, "/broken-async")
    path = "/broken-async/behind-await"
    experiments = (entry for entry in run_metrics.experiments if entry.route.endswith(path))
    awaited = _timed_burst(next(experiments, None), path)
    if route is None or route.unloaded_mean is None:
        raise MissingData("one user on /broken-async")
    service, limit = route.unloaded_mean, _MAX_BLIND_TIMER * route.unloaded_mean
    plain_last = burst_completion_time(plain.size, service, 1)
    waited = all(
        is_near(max(burst.done), service * burst.size, _TIME_TOLERANCE)
        for burst in (plain, awaited)
    )
    # Of those that entered in one turn of the loop; the others wait before it.
    sees_queue = median_low(awaited.timer) >= limit
    return PartResult(
        f"the last of {plain.size} waits N D = {format_seconds(plain_last)}; a timer in the app"
        f" shows D = {format_seconds(service)} to each, and behind an await to half of them"
        f" {format_number(_MAX_BLIND_TIMER)} D = {format_seconds(limit)} or more",
        f"as it is: {_format_times(plain)}; behind an await: {_format_times(awaited)}",
        {
            "the clients did not wait for one another": not waited,
            "the timer saw the queue": median_low(plain.timer) >= limit,
        },
        limit="" if sees_queue else "the timer is blind, here even behind an await",
    )


def _timed_burst(route: RouteMetrics | None, path: str) -> BurstMetrics:
    """Return a route's burst, all of it answered and timed. Raises MissingData otherwise."""
    burst = route.first_burst if route else None
    if burst is None or not burst.size:
        raise MissingData(f"the burst on {path}")
    if not all(map(math.isfinite, [*burst.timer, *burst.done])):
        raise MissingData(f"the app's own times of the burst on {path}, which the probe records")
    return burst


def _format_times(burst: BurstMetrics) -> str:
    clients, timer = (
        f"p50 {format_seconds(median_low(times))}, max {format_seconds(max(times))}"
        for times in (burst.done, burst.timer)
    )
    return f"clients {clients}, the timer {timer}"


SERVER_TIMER_BLIND = Claim(
    id="server-timer-blind",
    sentence="The server's own timer can show D while its clients wait N D.",
    source="Beyond the lesson",
    needs=("crowd/broken-async/1", "burst/broken-async/", "burst/broken-async behind-await/"),
    parts=(_judge_server_timer_blind,),
    why="the timer starts with the request's task; it sees the queue only if something then awaits",
)
