"""Checks whether one number can describe a load: steadiness, sample size, queue model."""

import math
from collections.abc import Iterator

from reports.checks.model import WHOLE_RUN, Check, set_cell
from reports.formatting import format_count, format_number, format_seconds, format_share
from reports.metrics.model import CrowdMetrics, OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.stats.model import FIT_TOLERANCE, MISFIT_ERROR, UNFAIR_RATIO, ReplayResult
from reports.stats.quantiles import MIN_BEYOND, MIN_RUNS, QUANTILES, LatencyStats
from reports.stats.stationarity import Stationarity

_UNLIMITED = 1e9
_ANY = (0.0, math.inf)
# coefficients of variation between restarts: passes, fails
_VARIATION_LIMITS = {"p50_s": (0.03, 0.06), "p99_s": (0.15, 0.30)}
_DRIFT_LIMITS = (0.10, 0.25)
_FIND_CHANGE = (
    "Find out what changed during the run: memory, a cache, another load. One number cannot"
    " describe it."
)
_REPEAT = "Repeat with restarted servers: --repeat 5."
_READ_MEASURED = (
    "Use the route's own mean and percentiles: a formula for a fixed service time does not describe"
    " it."
)


def check_stability(run_metrics: RunMetrics) -> Iterator[Check]:
    """Check every load (V15 to V17, V20, V23, V24) and every restarted route (V18)."""
    for route in run_metrics.all_routes:
        last_cell = route.levels[-1].cell if route.levels else WHOLE_RUN
        yield from set_cell(last_cell, _check_restarts(route))
        for level in route.levels:
            if level.stationarity:
                yield from set_cell(level.cell, _check_stationarity(level.stationarity))
            yield from set_cell(level.cell, _check_sample_size(level))
            yield from set_cell(level.cell, _check_whole_rounds(level))
        for load in route.open_loads:
            if load.latency and not load.overloaded:
                yield from set_cell(load.cell, _check_stationarity(load.stationarity))
                yield from set_cell(load.cell, _check_sample_size(load.latency))
                if load.replay_result:
                    yield from set_cell(load.cell, _check_replay(load, load.replay_result))


def _check_stationarity(stationarity: Stationarity | None) -> Iterator[Check]:
    """Check V15 and V16: a change at the start or later; judged by size, not p-value."""
    if not stationarity:
        unknown = "too few requests, or a queue that no replay explains: it changes by chance"
        yield Check("V16 drift", None, _DRIFT_LIMITS, "", _FIND_CHANGE, unknown=unknown)
        return
    steady = "the latency is steady only without the first {} of the requests (MSER)"
    remedy = "Run longer, or warm the app up before."
    yield Check("V15 warm-up", stationarity.warm_up_share, (0.5, 0.5), steady, remedy)
    drift = "the latency changed by {} from start to end"
    yield Check("V16 drift", stationarity.drift, _DRIFT_LIMITS, drift, _FIND_CHANGE)
    step = "the latency did not jump to another level"
    if stationarity.last_step:
        step = "the latency jumped to another level after {} of the requests"
    yield Check("V16 last step", stationarity.last_step, (0.5, 1.0), step, _FIND_CHANGE)


def _check_restarts(route: RouteMetrics) -> Iterator[Check]:
    """Check V18: how many restarts an interval rests on, and their spread."""
    for name, (pass_limit, fail_limit) in _VARIATION_LIMITS.items():
        if restarts := route.restarts.get(name):
            title = f"V18 restarts, {name.removesuffix('_s')}"
            enough = ((MIN_RUNS, math.inf), _ANY)
            meaning = f"{{}} restarts; an interval over them needs {MIN_RUNS}"
            yield Check(title, len(restarts.values), enough, meaning, _REPEAT, format_number)
            limits = (pass_limit, fail_limit if restarts.interval else _UNLIMITED)
            meaning = f"{name.removesuffix('_s')} varies by {{}} between restarts"
            yield Check(f"{title} apart", restarts.variation, limits, meaning, _REPEAT)


def _check_sample_size(latency: LatencyStats | CrowdMetrics) -> Iterator[Check]:
    """Check V17: requests beyond the highest printed percentile; never a fault of the run."""
    printed = [(name, estimate) for name in QUANTILES if (estimate := latency.quantiles[name])]
    if printed:
        name, estimate = printed[-1]
        is_plain = estimate.beyond is None
        yield Check(
            "V17 sample size",
            latency.count * (1 - QUANTILES[name]) if is_plain else estimate.beyond,
            ((MIN_BEYOND, math.inf), _ANY),
            f"{{}} {'' if is_plain else 'independent '}requests were slower than its {name}, the"
            " highest percentile that is printed",
            "Run longer, or quote a lower percentile.",
            format_number,
            is_informational=True,
        )


def _check_whole_rounds(level: CrowdMetrics) -> Iterator[Check]:
    """Check V24: whether the window has whole rounds of all users, or answers came evenly.

    Where answers come in lumps, a rate counts a lump too many or too few.
    """
    silence = level.longest_silence / level.seconds if level.completed else 1.0
    meaning = (
        f"no answer came for {{}} of the window ({format_seconds(level.longest_silence)}): the"
        f" number of its answers ({level.completed:,}) depends on when it began"
    )
    if level.completed > 0 and level.completed % level.users == 0:
        silence = 0.0
        rounds = format_count(level.completed // level.users, "round")
        meaning = f"the window contained {rounds} of all its users"
    remedy = (
        "Run longer (-t), or with fewer users: the window should contain several rounds of each."
    )
    yield Check("V24 lumps", silence, (0.25, 0.9), meaning, remedy)


def _check_replay(load: OpenLoadMetrics, replay: ReplayResult) -> Iterator[Check]:
    """Check V20 and V23: findings about the server, from the replay of the load's own arrivals."""
    if replay.drained:
        value, limits = replay.mean_ratio - 1, (FIT_TOLERANCE, MISFIT_ERROR)
        queue = f"{format_count(replay.places, 'place')} of {format_seconds(replay.service_time)}"
        meaning = f"the mean differs by {{}} from that of {queue}"
        advice = _READ_MEASURED
        yield Check("V20 model, mean", value, limits, meaning, advice, is_informational=True)
    yield Check(
        "V20 model, completions",
        replay.completion_error,
        (0.05, MISFIT_ERROR),
        "half of the answers came more than {} of a service time earlier or later than replayed",
        _READ_MEASURED,
        is_informational=True,
    )
    unfair = replay.unfairness("p99")
    if unfair is not None:
        starved = (
            f"; {format_share(load.starved_share)} of the connections got fewer than half as many"
            " answers as the median one"
            if load.starved_share
            else ""
        )
        yield Check(
            "V23 fairness",
            unfair,
            ((0.0, UNFAIR_RATIO), _ANY),
            "p99 is {} times that of serving in the order of arrival; the longest wait of a"
            f" connection was {format_seconds(replay.longest_wait)}{starved}",
            "The run is sound. The server serves out of order: quote the mean, and describe the"
            " tail as unfairness.",
            format_number,
            is_informational=True,
        )
