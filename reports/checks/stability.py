"""Checks whether one number can describe a load: steadiness, sample size, queue model."""

import functools
import math
from collections.abc import Iterator

from reports.checks.model import WHOLE_RUN, Check, set_cell
from reports.metrics.model import CrowdMetrics, OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.stats.model import FIT_TOLERANCE, MISFIT_ERROR, UNFAIR_RATIO, ReplayResult
from reports.stats.quantiles import MIN_BEYOND, MIN_RUNS, QUANTILES, LatencyStats
from reports.stats.stationarity import Stationarity
from results.formatting import format_count, format_number, format_seconds, format_share

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
_SEVERAL_ROUNDS = (
    "Run longer (-t), or with fewer users: the window should contain several rounds of each."
)
_QUOTE_MEAN = (
    "The run is sound. The server serves out of order: quote the mean, and describe the tail as"
    " unfairness."
)
_READ_MEASURED = (
    "Use the route's own mean and percentiles: a formula for a fixed service time does not describe"
    " it."
)
_find = functools.partial(Check, is_informational=True)


def check_stability(run_metrics: RunMetrics) -> Iterator[Check]:
    """Check every load (V15 to V17, V20, V23, V24) and every restarted route (V18)."""
    for route in run_metrics.all_routes:
        last_cell = route.levels[-1].cell if route.levels else WHOLE_RUN
        yield from set_cell(last_cell, _check_restarts(route))
        for level in route.levels:
            drift = _check_stationarity(level.stationarity) if level.stationarity else ()
            sample, rounds = _check_sample_size(level), _check_whole_rounds(level)
            yield from set_cell(level.cell, drift, sample, rounds)
        for load in route.open_loads:
            if load.latency and not load.overloaded:
                drift, sample = (
                    _check_stationarity(load.stationarity),
                    _check_sample_size(load.latency),
                )
                replay = _check_replay(load, load.replay_result) if load.replay_result else ()
                yield from set_cell(load.cell, drift, sample, replay)


def _check_stationarity(stationarity: Stationarity | None) -> Iterator[Check]:
    """Check V15 and V16: a change at the start or later, by its size and not by a p-value."""
    if not stationarity:
        unknown = "too few requests, or a queue that no replay explains: it changes by chance"
        yield Check("V16 drift", None, *_DRIFT_LIMITS, "", _FIND_CHANGE, unknown=unknown)
        return
    meaning = "the latency is steady only without the first {} of the requests (MSER)"
    advice = "Run longer, or warm the app up before."
    yield Check("V15 warm-up", stationarity.warm_up_share, 0.5, 0.5, meaning, advice)
    meaning = "the latency changed by {} from start to end"
    yield Check("V16 drift", stationarity.drift, *_DRIFT_LIMITS, meaning, _FIND_CHANGE)
    meaning = "the latency did not jump to another level"
    if stationarity.last_step:
        meaning = "the latency jumped to another level after {} of the requests"
    yield Check("V16 last step", stationarity.last_step, 0.5, 1.0, meaning, _FIND_CHANGE)


def _check_restarts(route: RouteMetrics) -> Iterator[Check]:
    """Check V18: how many restarts an interval rests on, and their spread."""
    for key, (pass_limit, fail_limit) in _VARIATION_LIMITS.items():
        if restarts := route.restarts.get(key):
            name, count = key.removesuffix("_s"), len(restarts.values)
            title, meaning = f"V18 restarts, {name}", f"{{}} restarts; an interval needs {MIN_RUNS}"
            yield Check(title, count, (MIN_RUNS, math.inf), _ANY, meaning, _REPEAT, format_number)
            most = fail_limit if restarts.interval else _UNLIMITED
            title, meaning = f"{title} apart", f"{name} varies by {{}} between restarts"
            yield Check(title, restarts.variation, pass_limit, most, meaning, _REPEAT)


def _check_sample_size(latency: LatencyStats | CrowdMetrics) -> Iterator[Check]:
    """Check V17: requests beyond the highest printed percentile; never a fault of the run."""
    printed = [(name, estimate) for name in QUANTILES if (estimate := latency.quantiles[name])]
    if not printed:
        return
    name, estimate = printed[-1]
    value, kind = estimate.beyond, "independent requests"
    if value is None:
        value, kind = latency.count * (1 - QUANTILES[name]), "requests"
    meaning = f"{{}} {kind} were slower than {name}, the highest percentile in this report"
    title, advice = "V17 sample size", "Run longer, or quote a lower percentile."
    yield _find(title, value, (MIN_BEYOND, math.inf), _ANY, meaning, advice, format_number)


def _check_whole_rounds(level: CrowdMetrics) -> Iterator[Check]:
    """Check V24: whether the window has whole rounds of all users, or no lumps to miscount."""
    silence = level.longest_silence / level.seconds if level.completed else 1.0
    meaning = (
        f"no answer came for {{}} of the window ({format_seconds(level.longest_silence)}): the"
        f" number of its answers ({level.completed:,}) depends on when it began"
    )
    if level.completed > 0 and level.completed % level.users == 0:
        rounds = format_count(level.completed // level.users, "round")
        silence, meaning = 0.0, f"the window contained {rounds} of all its users"
    yield Check("V24 lumps", silence, 0.25, 0.9, meaning, _SEVERAL_ROUNDS)


def _check_replay(load: OpenLoadMetrics, replay: ReplayResult) -> Iterator[Check]:
    """Check V20 and V23: findings about the server, from the replay of the load's own arrivals."""
    if replay.drained:
        queue = f"{format_count(replay.places, 'place')} of {format_seconds(replay.service_time)}"
        title, value = "V20 model, mean", replay.mean_ratio - 1
        meaning = f"the mean differs by {{}} from that of {queue}"
        yield _find(title, value, FIT_TOLERANCE, MISFIT_ERROR, meaning, _READ_MEASURED)
    title, value = "V20 model, completions", replay.completion_error
    meaning = (
        "half of the answers came more than {} of a service time earlier or later than replayed"
    )
    yield _find(title, value, 0.05, MISFIT_ERROR, meaning, _READ_MEASURED)
    if (unfair := replay.unfairness("p99")) is not None:
        meaning = (
            "p99 is {} times that of serving in the order of arrival; the longest wait of a"
            f" connection was {format_seconds(replay.longest_wait)}"
        )
        if load.starved_share:
            meaning += (
                f"; {format_share(load.starved_share)} of the connections got fewer than half as"
                " many answers as the median one"
            )
        limits = ((0.0, UNFAIR_RATIO), _ANY)
        yield _find("V23 fairness", unfair, *limits, meaning, _QUOTE_MEAN, format_number)
