"""Checks whether one number can describe a load: steadiness, sample size, queue model."""

import math
from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import format_count, format_number, format_seconds, format_share
from reports.metrics.model import CrowdMetrics, OpenLoadMetrics, RouteMetrics, RunMetrics
from reports.stats.model import FIT_TOLERANCE, MISFIT_ERROR, UNFAIR_RATIO
from reports.stats.quantiles import MIN_BEYOND, MIN_RUNS, QUANTILES, LatencyStats
from reports.stats.stationarity import Stationarity

_UNLIMITED = 1e9
_LUMPY_SHARE, _IDLE_SHARE = 0.25, 0.9  # shares of a window without an answer
# coefficients of variation between restarts: passes, fails
_VARIATION_LIMITS = {"p50_s": (0.03, 0.06), "p99_s": (0.15, 0.30)}


def check_stability(run_metrics: RunMetrics) -> Iterator[Check]:
    """V15 to V17, V20, V23 and V24 of every load; V18 of every route that was restarted."""
    for route in run_metrics.all_routes:
        yield from _check_restarts(route)
        for level in route.levels:
            if level.stationarity:
                yield from _check_stationarity(level.cell, level.stationarity)
            yield from _check_sample_size(level.cell, level)
            yield _check_whole_rounds(level)
        for load in (
            offered for offered in route.open_loads if offered.latency and not offered.overloaded
        ):
            assert load.latency  # noqa: S101 - filtered
            yield from _check_stationarity(load.cell, load.stationarity)
            yield from _check_sample_size(load.cell, load.latency)
            yield from _check_replay(load)


def _check_stationarity(cell: str, stationarity: Stationarity | None) -> Iterator[Check]:
    """V15, V16: a transient at the start or a change later; judged by size, not p-value."""
    if not stationarity:
        why = (
            "too few requests, or a queue that no replay explains, whose own wandering nobody can"
            " tell from a drift"
        )
        yield Check("V16", "drift", cell, None, 0.10, 0.25, why)
        return
    why = (
        f"to be steady, the first {format_share(stationarity.warm_up_share)} of the requests would"
        " have to be dropped (MSER)"
    )
    yield Check("V15", "warm-up", cell, stationarity.warm_up_share, 0.5, 0.5, why)
    why = f"latency changed by {format_share(stationarity.drift)} from begin to end"
    yield Check("V16", "drift", cell, stationarity.drift, 0.10, 0.25, why)
    jumped = (
        f"the level of latency jumped after {format_share(stationarity.last_step)} of the requests"
    )
    why = jumped if stationarity.last_step else "no jump of the level"
    yield Check("V16", "last step", cell, stationarity.last_step, 0.5, 1.0, why)


def _check_restarts(route: RouteMetrics) -> Iterator[Check]:
    """V18: how many restarts an interval rests on, and their spread; nothing for a single run."""
    for name, (fine, too_much) in _VARIATION_LIMITS.items():
        restarts, cell = route.restarts.get(name), route.levels[-1].cell if route.levels else "*"
        if restarts:
            runs, quantile = len(restarts.values), name.removesuffix("_s")
            why = f"{runs} restarts; an interval over them takes {MIN_RUNS}"
            yield Check(
                "V18",
                f"restarts, {quantile}",
                cell,
                runs,
                (MIN_RUNS, math.inf),
                (0.0, math.inf),
                why,
                format_number,
            )
            why = f"{quantile} varies by {format_share(restarts.variation)} between restarts"
            fail_limit = too_much if restarts.interval else _UNLIMITED
            yield Check(
                "V18",
                f"restarts, {quantile} apart",
                cell,
                restarts.variation,
                fine,
                fail_limit,
                why,
            )


def _check_sample_size(cell: str, latency: LatencyStats | CrowdMetrics) -> Iterator[Check]:
    """V17: how many independent requests lie beyond the highest printed percentile.

    Never a fault of the run.
    """
    printed = [(name, estimate) for name in QUANTILES if (estimate := latency.quantiles[name])]
    if not printed:
        return
    name, estimate = printed[-1]
    beyond = latency.count * (1 - QUANTILES[name]) if estimate.beyond is None else estimate.beyond
    kind = "" if estimate.beyond is None else "independent "
    why = (
        f"{format_number(beyond)} {kind}requests lie beyond its {name}, the highest percentile that"
        " is printed"
    )
    yield Check(
        "V17",
        "sample size",
        cell,
        beyond,
        (MIN_BEYOND, math.inf),
        (0.0, math.inf),
        why,
        format_number,
        is_informational=True,
    )


def _check_whole_rounds(level: CrowdMetrics) -> Check:
    """V24: whether the window held whole rounds of all users, or answers came evenly.

    Where answers come in lumps, a rate counts a lump too many or too few.
    """
    is_whole = level.completed > 0 and level.completed % level.users == 0
    edges = level.longest_silence / level.seconds if level.completed else 1.0
    why = (
        f"no answer came for {format_seconds(level.longest_silence)} of"
        f" {format_seconds(level.seconds)}: its {format_count(level.completed, 'answer')} are the"
        " luck of where it began"
    )
    if is_whole:
        edges = 0.0
        why = f"it held {format_count(level.completed // level.users, 'round')} of all its users"
    return Check("V24", "lumps", level.cell, edges, _LUMPY_SHARE, _IDLE_SHARE, why)


def _check_replay(load: OpenLoadMetrics) -> Iterator[Check]:
    """V20 and V23: findings about the server, from the replay of the load's own arrivals."""
    replay = load.replay_result
    if not replay:
        return
    if replay.drained:
        why = (
            f"the mean is {format_number(replay.mean_ratio)} times that of {replay.places} places"
            f" that take {format_seconds(replay.service_time)} each"
        )
        yield Check(
            "V20",
            "model, mean",
            load.cell,
            replay.mean_ratio - 1,
            FIT_TOLERANCE,
            MISFIT_ERROR,
            why,
            is_informational=True,
        )
    why = (
        f"completions lie {format_share(replay.completion_error)} of a service time from those of"
        " the replay (median)"
    )
    yield Check(
        "V20",
        "model, completions",
        load.cell,
        replay.completion_error,
        0.05,
        MISFIT_ERROR,
        why,
        is_informational=True,
    )
    unfair = replay.unfairness("p99")
    if unfair is not None:
        few = (
            f", {format_share(load.starved_share or 0.0)} of the connections got fewer than half as"
            " many answers as the median one"
        )
        starved = few if load.starved_share else ""
        why = (
            f"p99 is {format_number(unfair)} times that of serving in the order of arrival; the"
            f" longest wait of a connection was {format_seconds(replay.longest_wait)}{starved}"
        )
        yield Check(
            "V23",
            "fairness",
            load.cell,
            unfair,
            (0.0, UNFAIR_RATIO),
            (0.0, math.inf),
            why,
            format_number,
            is_informational=True,
        )
