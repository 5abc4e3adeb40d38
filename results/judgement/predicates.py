"""The conditions of the doctor's rules: slowed, full, explained or waiting; the same in words."""

import math

from results import thresholds
from results.formatting import format_count, format_seconds, format_share
from results.judgement.culprit import Culprit
from results.judgement.model import LevelEvidence, NeighbourEffect, RouteEvidence
from results.unloaded import added_wait

WRONG_SHARE = 0.01  # share of wrong answers from which nothing else matters
BUSY_MACHINE = 0.3  # share of all cores that neither app nor generator used
LONGER_THAN_ANSWER = 2.0  # times its unloaded latency that a request keeps a thread: work after it
NEAR_POOL_SIZE = 0.10  # how near a plateau must lie to a pool's size to be named after it
MIN_QUEUE = 1.0  # calls that wait, on average
MAJORITY = 0.5  # share of the CPU used, or of a time
_MIN_CAUGHT_SHARE = 0.1  # share of the time that the watchdog sampled
_MIN_THREAD_SHARE = 0.2  # of the unloaded time: fewer busy threads than that were missed, not idle
_MAX_LONE_TRIES = 3  # levels of a lone user
# seconds of watching, in all, after which a seldom hold was not met
_SELDOM_WATCH, _SHORT_WATCH = 8.0, 1.4
_CHANCE_MARGIN = 1.05  # times what chance could hide
# holds outside any request: what comes by the clock, and did not come at rest, comes more seldom
_FREQUENT_HOLDS = 5


def is_unloaded_open(evidence: RouteEvidence) -> bool:
    """Return whether the unloaded latency is not known well enough, and may be asked for again."""
    return not evidence.unloaded.is_precise and evidence.lone_tries < _MAX_LONE_TRIES


def foreign_hold_share(evidence: RouteEvidence) -> float:
    """Return the share of the time of all holds that is not the route's."""
    return sum(
        culprit.share * culprit.outside_requests
        for culprit in evidence.caught
        if not is_own_culprit(evidence, culprit)
    )


def is_own_culprit(evidence: RouteEvidence, culprit: Culprit) -> bool:
    """Return whether a line holds the loop within a request, or often and never in an idle app."""
    # callbacks in a row are one hold
    is_frequent = (
        culprit.holds >= _FREQUENT_HOLDS
        or culprit.hold_seconds >= MAJORITY * evidence.watched_seconds
    )
    is_idle_hold = culprit.location in evidence.idle_hold_places
    return culprit.outside_requests <= MAJORITY or (is_frequent and not is_idle_hold)


def is_neighbour_harmed(neighbour: NeighbourEffect | None) -> bool:
    """Return whether a neighbour was measured, and the load clearly slows it."""
    if not neighbour or not neighbour.loaded or not neighbour.idle:
        return False
    slow = max(thresholds.SUFFERS_SECONDS, thresholds.SUFFERS_RATIO * neighbour.idle)
    return neighbour.loaded >= slow


def is_computing_line(evidence: RouteEvidence, culprit: Culprit) -> bool:
    """Return whether a line computes while it holds the loop, rather than waits."""
    # runs before format 8 know the app's CPU only
    share = evidence.cpu_while_late if culprit.computing is None else culprit.computing
    return (share or 0.0) >= MAJORITY


def is_async_harmed(level: LevelEvidence) -> bool:
    """Return whether the level slows the `async` neighbour."""
    return is_neighbour_harmed(level.neighbours.get("async"))


def is_async_unharmed(evidence: RouteEvidence) -> bool:
    """Return whether the `async` neighbour stayed calm up to the many, or the most accepted."""
    # what was cut short says nothing: the many, or the watchdog, might have shown otherwise
    is_whole = (
        evidence.few_users in evidence.levels
        and (evidence.many_users in evidence.levels or bool(evidence.faults))
        and not evidence.entry.unmeasured
    )
    neighbours = [level.neighbours.get("async") for level in evidence.crowds]
    return is_whole and all(x and x.loaded and not is_neighbour_harmed(x) for x in neighbours)


def is_computing(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Return whether the app, with the processes it started, computes rather than waits."""
    return level.server_stats.total_cpu >= thresholds.COMPUTES_CORE_SHARE * evidence.workers


def is_core_full(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Return whether the app's processes, and those they started, have no core left."""
    return level.server_stats.total_cpu >= thresholds.FULL_CORE_SHARE * evidence.workers


def app_cpu_per_request(evidence: RouteEvidence, level: LevelEvidence) -> float:
    """Return CPU seconds per request, the app's own children left out."""
    if not level.rate:
        return evidence.unloaded.mean
    return (level.server_stats.cpu or 0.0) / level.rate


def is_loop_computing(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Return whether the loop's own thread computes."""
    if level.server_stats.loop_cpu is not None:
        return level.server_stats.loop_cpu >= MAJORITY * (level.server_stats.cpu or 0.0)
    # from outside: unless the neighbour only waits for turns with the GIL
    neighbour = level.neighbours.get("async")
    felt = (neighbour.loaded if neighbour else None) or 0.0
    return felt >= MAJORITY * level.users * app_cpu_per_request(evidence, level)


def is_waiting_for_gil(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Return whether threads fill the core, and the neighbour waits for its turn with the GIL."""
    turns = thresholds.GIL_ACQUISITIONS * level.users * thresholds.SWITCH_INTERVAL
    neighbour = level.neighbours.get("async")
    felt = (neighbour.loaded if neighbour else None) or 0.0
    return is_core_full(evidence, level) and felt >= turns / 2


def explained_share(level: LevelEvidence, latency: float) -> float:
    """Return the share of the users that `latency` seconds per request and their pauses explain."""
    return level.rate * (latency + level.think_time) / level.users


def is_rate_explained(
    evidence: RouteEvidence, level: LevelEvidence, min_share: float = thresholds.GROWS_SHARE
) -> bool:
    """Return whether users, pauses and the unloaded time explain `min_share` of the rate."""
    return explained_share(level, evidence.unloaded.mean) >= min_share


def is_unmoved(evidence: RouteEvidence, many: LevelEvidence) -> bool:
    """Return whether most requests take as long as among a few users: a queue delays them all."""
    few = evidence.few
    if many.users <= few.users or not few.quartiles or not many.quartiles:
        return False
    return (
        explained_share(many, many.mean) >= thresholds.GROWS_SHARE
        and added_wait(few.quartiles, many.quartiles) <= (1 - thresholds.GROWS_SHARE) * many.mean
    )


def is_rate_plateau(evidence: RouteEvidence, low: LevelEvidence, high: LevelEvidence) -> bool:
    """Return whether two levels have one rate, though the higher one's users would give more.

    `low` may be `high`, too, where there is only one: then the unloaded time decides alone.
    Chance hides twice the standard error of a count of n answers: 2 spread / sqrt(n) (renewal
    process; Cox 1962).
    """
    rates = [level.rate for level in (low, high)]
    share = explained_share(low, evidence.unloaded.worst_case)
    if share >= thresholds.GROWS_SHARE or not all(rates):
        return False
    chance = [2 * evidence.spread / math.sqrt(max(x.completed, 1)) for x in (low, high)]
    alike = thresholds.SAME_RATE_TOLERANCE + math.hypot(*chance)
    possible = [x.users / (evidence.unloaded.mean + x.think_time) for x in (low, high)]
    is_same = abs(rates[1] / rates[0] - 1) <= alike
    is_short = possible[1] / possible[0] >= (1 + alike) * _CHANCE_MARGIN
    return low is high or (is_same and is_short)


def describe_async_wait(level: LevelEvidence) -> str:
    """Say how the `async` neighbour's p90 grew."""
    neighbour = level.neighbours["async"]
    change = f"{format_seconds(neighbour.idle)} to {format_seconds(neighbour.loaded)}"
    return f"the neighbour route went from {change} with {format_count(level.users, 'user')}"


def describe_cpu_use(level: LevelEvidence) -> str:
    """Say how much CPU the app used."""
    if level.server_stats.cpu is None:
        return "an unknown part of a core"
    children = level.server_stats.children_cpu or 0.0
    text = f"{format_share(level.server_stats.cpu)} of a core"
    if children < _MIN_CAUGHT_SHARE:
        return text
    return f"{text}, and its own processes {format_share(children)}"


def thread_pool_rate(evidence: RouteEvidence) -> float:
    """Return the requests per second that AnyIO's threads give, all busy, less what chance allows.

    Where no request waits for a thread, it keeps one for busy threads / rate. A few users show that
    in a hundred requests and more, a single one in a dozen.
    """
    total = (evidence.thread_tokens or 0) * evidence.workers
    few = evidence.few
    level = few if total >= 2 * few.users and few.server_stats.threads else evidence.levels[1]
    thread_time = (level.server_stats.threads or 0.0) / level.rate if level.rate else 0.0
    if thread_time <= _MIN_THREAD_SHARE * evidence.unloaded.mean:
        thread_time = evidence.unloaded.mean
    # what lies between 0 and the longest varies by the root of (longest - mean) x mean at most
    above = max(0.0, level.longest / level.mean - 1) if level.mean else math.inf
    chance = math.sqrt(above / max(1, level.completed))
    return total / thread_time * max(0.0, 1 - chance)


def has_serial_waits(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Return whether requests wait inside the app one at a time, though the core is not full."""
    alone = evidence.levels[1]
    if alone.app_time is None or is_core_full(evidence, level):
        return False
    wait_time = alone.app_time - app_cpu_per_request(evidence, alone)
    return (
        wait_time > thresholds.AWAITS_SHARE * alone.app_time + thresholds.AWAITS_SECONDS
        and level.rate * wait_time < thresholds.OVERLAPPING_WAITS * evidence.workers
    )


def has_caught_holds(evidence: RouteEvidence) -> bool:
    """Return whether the watchdog saw requests hold the loop for a notable part of the time."""
    return (
        evidence.loop_holds is not None
        and evidence.loop_holds.seconds * (1 - foreign_hold_share(evidence))
        >= _MIN_CAUGHT_SHARE * evidence.watched_seconds
    )


def find_long_pause(evidence: RouteEvidence) -> float:
    """Return the seconds for which the watchdog should look for a hold that comes seldom.

    The loop once stood still for long. On a full core so it does behind many users, without a hold.
    """
    long, levels = thresholds.LONG_HOLD_SECONDS, (*evidence.levels.values(), *evidence.repeats)
    paused = [level for level in levels if _longest_pause(level) >= long]
    if any(not is_computing(evidence, level) for level in paused):
        return _SELDOM_WATCH
    return _SHORT_WATCH if any(x.users <= evidence.few_users for x in paused) else 0.0


def _longest_pause(level: LevelEvidence) -> float:
    neighbour = level.neighbours.get("async")
    return max(level.server_stats.longest_lag or 0.0, neighbour.longest if neighbour else 0.0)


def total_cpu_per_request(level: LevelEvidence) -> float:
    """Return CPU seconds per request, the app's own processes included; 0 without a rate."""
    return level.server_stats.total_cpu / level.rate if level.rate else 0.0


def least_cpu_per_request(evidence: RouteEvidence, level: LevelEvidence) -> float:
    """Return the same of a level or of a few users: waiting with others may cost CPU as well."""
    few = evidence.levels.get(evidence.few_users, level)
    return min((total_cpu_per_request(x) for x in (few, level) if x.rate), default=0.0)
