"""What each load of a route did, in sentences: bursts, steady rates, and overload."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from reports.formatting import format_estimate
from reports.metrics.burst import BurstMetrics
from reports.metrics.model import OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.metrics.repeats import format_repeated_value, format_repeats, pair_ratios
from reports.stats.intervals import RepeatedValue
from reports.stats.model import EstimateSource, ReplayFit, ReplayResult
from results.formatting import (
    format_count,
    format_number,
    format_ratio,
    format_seconds,
    format_share,
)
from results.schema import Variant

# times too low from which a closed loop's percentile is worth a sentence
MIN_OMISSION_RATIO = 2.0
UNQUEUED_RATIO = 1.1  # times the unloaded latency up to which a mean has no queue in it


def load_sentences(route: RouteMetrics) -> Iterator[str]:
    """Yield the lowest overloading rate, the highest bearable one, and how far repeats differ."""
    top = route.top_level
    if top and route.unloaded_mean is None:
        rate, users = format_number(top.throughput), format_count(top.users, "user")
        yield f"{route.route} with {users}: {rate} req/s, mean {format_estimate(top.mean)}."
    if top and top.little and abs(top.little.residual) > top.little_tolerance:
        explained = format_number(top.users * (1 - top.little.residual))
        yield (
            f"Rate times mean latency explains only {explained} of {top.users} users, so the mean"
            " is too short. The others began to wait before the window or waited beyond it,"
            f" {format_seconds(top.longest.low)} at the longest."
        )
    for burst in () if route.levels else route.bursts:
        if burst.latency:
            longest = format_estimate(burst.latency.longest)
            came = describe_burst(burst, route.unloaded_mean)
            last = f"the last answer of a burst of {burst.size} came after {longest}"
            yield f"{route.route}: {last}: {came}."
    good = [load for load in route.open_loads if not load.overloaded and load.latency]
    bad = [load for load in route.open_loads if load.overloaded]
    if good:
        yield _describe_steady_load(route, max(good, key=lambda load: load.nominal_rate))
    if bad:
        yield _describe_overload(route, min(bad, key=lambda load: load.nominal_rate))
    yield from _describe_repeats(route)


def describe_burst(burst: BurstMetrics, service: float | None) -> str:
    """Say how the answers of a burst reached the users."""
    steps, finished = burst.count_answer_steps(service), sum(map(math.isfinite, burst.done))
    if not steps:
        return "not at all"
    if finished < burst.size:
        return f"as far as they were, at {'one moment' if steps == 1 else f'{steps} moments'}"
    if steps == 1:
        return "all at one moment"
    return "one after another" if steps == burst.size else f"at {steps} moments"


def _describe_steady_load(route: RouteMetrics, load: OpenLoadMetrics) -> str:
    assert load.latency  # noqa: S101 - the caller checked
    latency, unloaded = load.latency, route.unloaded_mean or load.unloaded_latency
    p99, mean, queue = latency.quantiles["p99"], format_estimate(latency.mean), ""
    tail = f"p99 {format_estimate(p99)}" if p99 else f"longest {format_estimate(latency.longest)}"
    if unloaded and latency.mean.exact and latency.mean.exact <= UNQUEUED_RATIO * unloaded:
        if not load.replay_result or not load.replay_result.is_unfair:
            queue = f", {'hardly anything' if load.replay_result else 'nothing'} queued"
    elif route.unloaded_mean or load.concurrency:  # else its unloaded time is not known
        ratio = format_ratio(latency.mean.low / (unloaded or 1))
        mean += f" ({ratio} the unloaded {format_seconds(unloaded)})"
    return (
        f"{route.route} at {format_number(load.nominal_rate)} req/s: mean {mean},"
        f" {tail}{queue}.{_describe_replay(load)}{_describe_omission(load)}"
    )


def _describe_replay(load: OpenLoadMetrics) -> str:
    replay, estimate = load.replay_result, load.concurrency_estimate
    if not replay:
        if estimate.source not in {EstimateSource.UNKNOWN, EstimateSource.AT_LEAST}:
            return ""
        least = f", at least {estimate.at_least}" if estimate.at_least else ""
        return f" How many it serves at once is not known{least}: no replay."
    if replay.model is ReplayFit.BROKEN and replay.drained and not replay.is_close_fit:
        return (
            " It is not a fixed-service queue: no number of places with a fixed time explains"
            " its completions."
        )
    name = next((name for name in ("p99", "p95") if replay.has_support(name)), "max")
    ideal, tail = replay.replayed, replay.unfairness(name)
    if not replay.drained:
        comparison = "some requests got no answer, so the two cannot be compared."
    elif replay.model is ReplayFit.BROKEN:
        comparison = (
            "it agrees most of the time, but the server stopped or slowed down in between: not a"
            " fixed-service queue."
        )
    elif replay.is_unfair:
        ratio = format_number(replay.unfairness("p99") or 1.0)
        comparison = f"measured p99 is {ratio} times the replay's: some requests overtake others."
    else:
        comparison = f"measured mean {format_number(replay.mean_ratio)}"
        comparison += (f" and {name} {format_number(tail)}" if tail else "") + " times that"
        is_explained = replay.model is ReplayFit.HOLDS
        comparison += ", so its arrivals explain the waiting." if is_explained else "."
    return (
        f" Replay of its own arrivals through {_places(replay)}: mean"
        f" {format_seconds(ideal['mean'])}, {name.replace('max', 'longest')}"
        f" {format_seconds(ideal[name])}; {comparison}"
    )


def _places(replay: ReplayResult) -> str:
    return f"{format_count(replay.places, 'place')} of {format_seconds(replay.service_time)}"


def _describe_omission(load: OpenLoadMetrics) -> str:
    omission = find_omission(load)
    if not omission or not load.curves or omission.ratio < MIN_OMISSION_RATIO:
        return ""
    users, times = format_count(load.curves.users, "user"), format_ratio(omission.ratio)[1:]
    return (
        f" A closed-loop tool with {users} would report {omission.name} as"
        f" {format_seconds(omission.closed_loop)}, at least {times} times too low."
    )


@dataclass(frozen=True, slots=True)
class OmissionError:
    """One percentile as it was, and as a closed-loop tool would have shown it (seconds)."""

    name: str
    measured: float
    closed_loop: float

    @property
    def ratio(self) -> float:
        """How many times too low that is, at least."""
        return self.measured / self.closed_loop


def find_omission(load: OpenLoadMetrics) -> OmissionError | None:
    """Return the highest percentile of this run's own requests that both clients support."""
    if not load.curves or not load.curves.window_latency or not load.curves.closed_loop_latency:
        return None
    measured = load.curves.window_latency.quantiles
    closed_loop = load.curves.closed_loop_latency.quantiles
    for name in ("p99", "p95", "p50"):
        true, seen = measured[name], closed_loop[name]
        if true and seen and seen.low > 0:
            return OmissionError(name, true.low, seen.low)
    return None


def _describe_overload(route: RouteMetrics, load: OpenLoadMetrics) -> str:
    """Describe an overload without its latencies, which grow with the test's length."""
    sent, answered = format_number(load.sent_rate), format_number(load.throughput)
    head = f"{route.route} received {sent} req/s and answered {answered}"
    if load.refused:
        cap = f"{load.refused:,} more were not sent: the cap on requests in flight was reached."
        return f"{head}: overloaded. {cap} No percentile describes that."
    if load.growth <= 0 or not load.throughput:
        return f"{head}: overloaded. No percentile describes that."
    growth, capacity = load.growth, format_number(load.capacity or load.throughput)
    text = (
        f"{head}: {format_number(growth)} more wait every second, and latency grows by"
        f" {format_seconds(growth / load.throughput)} per second of test. No percentile describes"
        f" that; capacity is about {capacity} req/s."
    )
    replay = load.replay_result  # any small error in it grows with the test
    if not replay or not replay.is_close_fit:
        return text
    if not replay.drained or replay.model is not ReplayFit.HOLDS:
        return f"{text} Its answers came as from {_places(replay)}."
    mean = format_seconds(replay.replayed["mean"])
    return f"{text} Its own arrivals through {_places(replay)} wait as long: mean {mean}."


def _describe_repeats(route: RouteMetrics) -> Iterator[str]:
    """Yield how far the repeats of one load differ: throughput of a crowd, mean at a rate."""
    if top := route.top_level:
        rates = sorted(level.throughput for level in route.levels if level.users == top.users)
        crowd = f"with {format_count(top.users, 'user')}"
        if route.restarts:
            restarts = ", ".join(format_repeats(route.restarts))
            yield f"Over {len(rates)} restarts {crowd}: {restarts}."
        elif len(rates) > 1:
            low, high = format_number(rates[0]), format_number(rates[-1])
            yield f"{len(rates)} repeats {crowd}: {low} to {high} req/s."
    good = [load for load in route.open_loads if load.latency and not load.overloaded]
    for level in dict.fromkeys(load.share or load.nominal_rate for load in good):
        alike = [load for load in good if (load.share or load.nominal_rate) == level]
        means = [load.latency.mean for load in alike if load.latency]
        # an app that we did not start is not restarted
        worth = tuple(mean.beyond or 0.0 for mean in means) if route.restarts else (0.0,)
        if len(means) > 1:
            spread = RepeatedValue(tuple(mean.low for mean in means), worth)
            mean = format_repeated_value(spread, "s")
            yield f"{len(means)} repeats at {load_label(alike[0])}: mean {mean}."


def compare_with_async(run_metrics: RunMetrics) -> str:
    """Compare mean latencies with that of the awaiting route, by restart; "" for a single run."""
    base = run_metrics.find_route(Variant.ASYNC)
    if not base or not run_metrics.is_reproduction:
        return ""
    ratios = {
        route.variant: pair_ratios(route.restarts.get("mean_s"), base.restarts.get("mean_s"))
        for route in run_metrics.routes
        if route is not base
    }
    known = {variant: ratio for variant, ratio in ratios.items() if ratio}
    if not known:
        return ""
    texts = [f"{variant} {format_repeated_value(ratio, '')}" for variant, ratio in known.items()]
    restarts = len(list(known.values())[-1].values)
    return (
        f"Mean latency over that of async, each with its largest crowd, over {restarts} restarts:"
        f" {', '.join(texts)}."
    )


def load_label(load: OpenLoadMetrics) -> str:
    """Return the load as it was planned: `15/s poisson, 80 %, 2nd`."""
    part = f", {format_share(load.share)}" if load.share is not None else ""
    rises = "" if load.peak_rate < 1.001 * load.nominal_rate else f", up to {load.peak_rate:,.4g}/s"
    return f"{load.nominal_rate:,.4g}/s {load.law}{rises}{part}{repeat_label(load.repeat)}"


def repeat_label(repeat: int) -> str:
    """Return which repeat it was, from the second on."""
    return "" if repeat == 1 else f", {repeat}{ {2: 'nd', 3: 'rd'}.get(repeat, 'th') }"
