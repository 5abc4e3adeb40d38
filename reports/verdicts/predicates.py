"""The conditions of the doctor's rules: harmed, full, explained or waiting; the same in words."""

import math

from reports.formatting import format_count, format_seconds, format_share
from reports.verdicts.culprit import Culprit
from reports.verdicts.model import LevelEvidence, RouteEvidence
from reports.verdicts.neighbours import is_neighbour_harmed
from results.thresholds import (
    AWAITS_SECONDS,
    AWAITS_SHARE,
    COMPUTES_CORE_SHARE,
    FEW_USERS,
    FULL_CORE_SHARE,
    GROWS_SHARE,
    MANY_USERS,
    OVERLAPPING_WAITS,
    SAME_RATE_TOLERANCE,
)
from results.unloaded import added_wait

MAJORITY = 0.5  # share of the CPU used, or of a time
_MIN_CAUGHT_SHARE = 0.1  # share of the time that the watchdog sampled
_CHANCE_MARGIN = 1.05  # times what chance could hide
# holds outside any request: what comes by the clock, and did not come at rest, comes more seldom
_FREQUENT_HOLDS = 5


def foreign_hold_share(evidence: RouteEvidence) -> float:
    """Share of the held time that is not the route's."""
    return (
        sum(
            culprit.share * culprit.outside_requests
            for culprit in evidence.loop_holds.culprits
            if not is_own_culprit(evidence, culprit)
        )
        if evidence.loop_holds
        else 0.0
    )


def is_own_culprit(evidence: RouteEvidence, culprit: Culprit) -> bool:
    """Whether a line holds the loop for this route.

    That is within a request, or often and never in an idle app.
    """
    # Callbacks in a row are one hold
    is_frequent = (
        culprit.holds >= _FREQUENT_HOLDS
        or culprit.hold_seconds >= MAJORITY * evidence.watched_seconds
    )
    return culprit.outside_requests <= MAJORITY or (
        is_frequent and culprit.location not in evidence.idle_hold_places
    )


def is_async_harmed(level: LevelEvidence) -> bool:
    """Whether the `async` neighbour suffers."""
    return "async" in level.neighbours and is_neighbour_harmed(level.neighbours["async"])


def is_async_unharmed(evidence: RouteEvidence) -> bool:
    """Whether the `async` neighbour stayed calm at every level.

    Up to the many, or to the few where the route refuses more. What was cut short says nothing: the
    many, or the watchdog, might have shown otherwise.
    """
    levels = [
        evidence.levels[users] for users in (FEW_USERS, MANY_USERS) if users in evidence.levels
    ]
    known = all(
        "async" in level.neighbours and level.neighbours["async"].loaded for level in levels
    )
    is_whole = (
        FEW_USERS in evidence.levels
        and (MANY_USERS in evidence.levels or bool(evidence.faults))
        and not evidence.entry.get("unfit")
    )
    return is_whole and known and not any(is_async_harmed(level) for level in levels)


def is_computing(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Whether the app, with the processes it started, rather computes than waits."""
    return (level.server_stats.cpu or 0.0) + (
        level.server_stats.children_cpu or 0.0
    ) >= COMPUTES_CORE_SHARE * evidence.workers


def is_core_full(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Whether the app's processes, and those they started, have no core left."""
    return (level.server_stats.cpu or 0.0) + (
        level.server_stats.children_cpu or 0.0
    ) >= FULL_CORE_SHARE * evidence.workers


def app_cpu_per_request(evidence: RouteEvidence, level: LevelEvidence) -> float:
    """CPU seconds per request, the app's own children left out."""
    return (
        (level.server_stats.cpu or 0.0) / level.metrics.throughput
        if level.metrics.throughput
        else evidence.unloaded_mean
    )


def is_loop_computing(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Whether the loop's own thread computes.

    From outside: unless the neighbour only waits for turns with the GIL.
    """
    if level.server_stats.loop_cpu is not None:
        return level.server_stats.loop_cpu >= MAJORITY * (level.server_stats.cpu or 0.0)
    neighbour = level.neighbours.get("async")
    felt = neighbour.loaded.low if neighbour and neighbour.loaded else 0.0
    return felt >= MAJORITY * level.metrics.users * app_cpu_per_request(evidence, level)


def is_rate_explained(
    evidence: RouteEvidence, level: LevelEvidence, min_share: float = GROWS_SHARE
) -> bool:
    """Whether the rate is `min_share` of what users, pauses and the unloaded time alone give."""
    return (
        level.metrics.throughput * (evidence.unloaded_mean + level.think_time)
        >= min_share * level.metrics.users
    )


def _can_be_explained(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """The same with the longest unloaded time that the lone requests allow."""
    return (
        level.metrics.throughput * (evidence.unloaded.worst_case + level.think_time)
        >= GROWS_SHARE * level.metrics.users
    )


def is_unmoved(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Whether most requests take no longer than among a few users, and none starves.

    A queue would make all of them wait.
    """
    few = evidence.levels[FEW_USERS].metrics
    if level.metrics.users <= FEW_USERS or not few.quartiles or not level.metrics.quartiles:
        return False
    mean = level.metrics.mean.low
    nobody_starves = (
        level.metrics.throughput * (mean + level.think_time) >= GROWS_SHARE * level.metrics.users
    )
    return (
        nobody_starves
        and added_wait(few.quartiles, level.metrics.quartiles) <= (1 - GROWS_SHARE) * mean
    )


def is_rate_plateau(evidence: RouteEvidence, low: LevelEvidence, high: LevelEvidence) -> bool:
    """Whether two levels have one rate, though the users of the higher would have given more.

    More than chance can hide: twice the standard error of a count of n answers is
    2 spread / sqrt(n) (renewal process; Cox 1962).
    """
    if _can_be_explained(evidence, low) or not (low.metrics.throughput and high.metrics.throughput):
        return False
    chance = [
        2 * evidence.spread / math.sqrt(max(level.metrics.completed, 1)) for level in (low, high)
    ]
    alike = SAME_RATE_TOLERANCE + math.hypot(*chance)
    asked = [
        level.metrics.users / (evidence.unloaded_mean + level.think_time) for level in (low, high)
    ]
    return (
        abs(high.metrics.throughput / low.metrics.throughput - 1) <= alike
        and asked[1] / asked[0] >= (1 + alike) * _CHANCE_MARGIN
    )


def describe_async_wait(level: LevelEvidence) -> str:
    """How the `async` neighbour's p90 grew, in words."""
    neighbour = level.neighbours["async"]
    assert neighbour.idle and neighbour.loaded  # noqa: S101, PT018 - it suffers, so both are known
    return (
        f"an innocent route went from {format_seconds(neighbour.idle.low)} to"
        f" {format_seconds(neighbour.loaded.low)} with {format_count(level.metrics.users, 'user')}"
    )


def describe_cpu_use(level: LevelEvidence) -> str:
    """How much CPU the app used, in words."""
    children = level.server_stats.children_cpu or 0.0
    more = (
        f", and its own processes {format_share(children)}" if children >= _MIN_CAUGHT_SHARE else ""
    )
    return (
        "an unknown part of a core"
        if level.server_stats.cpu is None
        else f"{format_share(level.server_stats.cpu)} of a core{more}"
    )


def thread_pool_rate(evidence: RouteEvidence) -> float:
    """Requests per second that AnyIO's threads give, all of them busy, less what chance allows.

    How long a request keeps a thread is seen where none waits for one: busy threads / rate. A few
    users show it in a hundred requests and more, a single one in a dozen.
    """
    total = (evidence.thread_tokens or 0) * evidence.workers
    level = evidence.levels[
        (
            FEW_USERS
            if total >= 2 * FEW_USERS and evidence.levels[FEW_USERS].server_stats.threads
            else 1
        )
    ]
    thread_time = (
        (level.server_stats.threads or 0.0) / level.metrics.throughput
        if level.metrics.throughput
        else 0.0
    )
    thread_time = (
        thread_time if thread_time > 0.2 * evidence.unloaded_mean else evidence.unloaded_mean
    )
    return total / thread_time * max(0.0, 1 - _mean_uncertainty(level))


def _mean_uncertainty(level: LevelEvidence) -> float:
    """How far chance may have moved a level's mean latency, as a share; 0 where all take as long.

    What lies between 0 and the longest varies by the root of (longest - mean) x mean at most.
    """
    above = max(0.0, level.metrics.longest.low / level.metrics.mean.low - 1)
    return math.sqrt(above / level.metrics.count)


def has_serial_waits(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Whether requests wait inside the app one at a time, though the core is not full.

    Their waits never overlap.
    """
    alone = evidence.levels[1]
    if (
        not alone.metrics.breakdown
        or alone.metrics.breakdown.timer is None
        or is_core_full(evidence, level)
    ):
        return False
    wait_time = alone.metrics.breakdown.timer - app_cpu_per_request(evidence, alone)
    return (
        wait_time > AWAITS_SHARE * alone.metrics.breakdown.timer + AWAITS_SECONDS
        and level.metrics.throughput * wait_time < OVERLAPPING_WAITS * evidence.workers
    )


def has_caught_holds(evidence: RouteEvidence) -> bool:
    """Whether the watchdog saw requests hold the loop, for a part of the time that counts."""
    return (
        evidence.loop_holds is not None
        and evidence.loop_holds.seconds * (1 - foreign_hold_share(evidence))
        >= _MIN_CAUGHT_SHARE * evidence.watched_seconds
    )
