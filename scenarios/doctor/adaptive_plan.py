"""Chooses the next levels from what was measured: clear results end early, none repeats."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from results.gate_expression import LEVEL_METRICS, NEIGHBOUR_METRICS, Gate, required_levels
from results.schema import Cell
from results.thresholds import (
    FEW_USERS,
    FULL_CORE_SHARE,
    HOLD_SECONDS,
    MANY_USERS,
    SAME_RATE_TOLERANCE,
)
from results.unloaded import UnloadedLatency, estimate_unloaded, relative_deviation
from scenarios.doctor.interim import InterimStats, read_interim_stats
from scenarios.doctor.levels import HALF_CAPACITY, LevelPlanner

Cells = tuple[Cell, ...]
# Whether there is time for a cell; the flag says that no verdict is possible without it
FitsBudget = Callable[[Cell, bool], bool]
_MAX_FAILED_SHARE = 0.01  # share of wrong answers that a plateau may have


def adaptive_levels(  # noqa: PLR0913, PLR0917 - what is known, and what is wanted
    folder: Path,
    planner: LevelPlanner,
    idle_p90: dict[str, float],
    gates: tuple[Gate, ...],
    hold_times: list[float],
    fits: FitsBudget,
) -> Iterator[Cells]:
    """Yield the cells of one route, a few at a time.

    If the route seems to block the loop, append the seconds per request to `hold_times`.

    1. One user, then a few beside both neighbours.
    2. If the loop is blocked, that is enough. If the route also computes there, half of that load
       tells a blocked loop from a busy one.
    3. Else many users: some routes block it for a shorter time, or seldom.
    4. If the single user's requests are too few to interpret the rate, the single user runs longer.
    5. A plateau that neither the CPU nor a queue explains gets one more level in between.
    6. If the core is full and a gate names a neighbour metric: half of that load as well.
    """
    session, single_cell = planner.session, planner.single_user_cell()
    yield (single_cell,)
    if not (single_stats := read_interim_stats(folder, session, single_cell)):
        return
    # The generator's rate limit follows from the latency under load, not from the smoke test's
    if single_stats.latencies:
        planner = replace(planner, service_time=min(planner.service_time, single_stats.mean))
    few_cell = planner.few_users_cell()
    yield (few_cell,)
    few_stats = read_interim_stats(folder, session, few_cell)
    if not few_stats or few_stats.failures > few_stats.successes:
        return
    stats_by_users = {1: single_stats, FEW_USERS: few_stats}
    yield from _explore_many_users(folder, planner, idle_p90, stats_by_users, fits)
    blocked_stats = next(
        (
            candidate
            for users in (FEW_USERS, MANY_USERS)
            if (candidate := stats_by_users.get(users))
            and _is_loop_blocked(candidate, idle_p90, single_stats.mean)
        ),
        None,
    )
    yield from _refine_capacity(
        folder, planner, stats_by_users, fits, is_blocked=blocked_stats is not None
    )
    busiest = blocked_stats or stats_by_users[max(stats_by_users)]
    if (
        blocked_stats.is_cpu_bound
        if blocked_stats
        else _should_run_half_load(busiest, gates, planner.route)
    ) and busiest.rate:
        half_cell = planner.half_capacity_cell(HALF_CAPACITY * busiest.rate)
        if fits(half_cell, blocked_stats is not None):
            yield (half_cell,)
    if blocked_stats or any(
        _should_watch_loop(candidate, single_stats, idle_p90)
        for candidate in stats_by_users.values()
    ):
        hold_times.append(
            1 / blocked_stats.rate if blocked_stats and blocked_stats.rate else single_stats.mean
        )
    # All other metrics are measured already
    gate_levels = required_levels(
        [candidate for candidate in gates if candidate.metric in LEVEL_METRICS], planner.route
    )
    if gate_cells := tuple(
        candidate
        for candidate in planner.gate_cells(
            gate_levels, stats_by_users, is_blocked=bool(hold_times)
        )
        if not planner.why_too_large(candidate)
    ):
        yield gate_cells


def _explore_many_users(
    folder: Path,
    planner: LevelPlanner,
    idle_p90: dict[str, float],
    stats_by_users: dict[int, InterimStats],
    fits: FitsBudget,
) -> Iterator[Cells]:
    """Many users, unless the few show a blocked loop already. Adds to `stats_by_users`."""
    single_stats, few_stats = stats_by_users[1], stats_by_users[FEW_USERS]
    if _is_loop_blocked(few_stats, idle_p90, single_stats.mean):
        return
    rate = None if few_stats.is_unqueued(single_stats.mean) else few_stats.rate
    many_cell = planner.many_users_cell(
        rate,
        max(relative_deviation(single_stats.latencies), relative_deviation(few_stats.latencies)),
    )
    if fits(many_cell, True):
        yield (many_cell,)
        if top_stats := read_interim_stats(folder, planner.session, many_cell):
            stats_by_users[MANY_USERS] = top_stats


def _refine_capacity(
    folder: Path,
    planner: LevelPlanner,
    stats_by_users: dict[int, InterimStats],
    fits: FitsBudget,
    *,
    is_blocked: bool,
) -> Iterator[Cells]:
    """Refine the measured capacity.

    The single user runs longer if its mean decides and is uncertain; a plateau then gets a level in
    between.
    """
    single_stats, few_stats = stats_by_users[1], stats_by_users[FEW_USERS]
    top_stats, known = (
        stats_by_users.get(MANY_USERS, few_stats),
        estimate_unloaded(single_stats.latencies, few_stats.latencies)
        or estimate_unloaded(few_stats.latencies, few_stats.latencies),
    )
    is_enough = (
        bool(single_stats.latencies)
        and known is not None
        and (known.is_precise or _is_known_unqueued(known, top_stats, few_stats))
    )
    if (
        known
        and not is_enough
        and fits(longer_cell := planner.longer_single_user_cell(known), False)
    ):
        yield (longer_cell,)
        if stats := read_interim_stats(folder, planner.session, longer_cell):
            known = (
                estimate_unloaded([*single_stats.latencies, *stats.latencies], few_stats.latencies)
                or known
            )
    if (
        is_blocked
        or not known
        or top_stats is few_stats
        or not _is_unexplained_plateau(top_stats, few_stats, known)
    ):
        return
    scatter = max(
        relative_deviation(single_stats.latencies), relative_deviation(few_stats.latencies)
    )
    middle_cell = planner.middle_cell(_halfway_users(top_stats.rate * known.worst_case), scatter)
    if fits(middle_cell, True):
        yield (middle_cell,)
        if stats := read_interim_stats(folder, planner.session, middle_cell):
            stats_by_users[middle_cell.users] = stats


def _is_loop_blocked(stats: InterimStats, idle_p90: dict[str, float], service_time: float) -> bool:
    """Whether the loop seems blocked: by a wait, or by a computation of `HOLD_SECONDS` or more."""
    return stats.is_neighbour_slowed("async", idle_p90) and (
        not stats.is_cpu_bound or min(service_time, stats.cpu_per_request) >= HOLD_SECONDS
    )


def _should_run_half_load(stats: InterimStats, gates: tuple[Gate, ...], route: str) -> bool:
    """Whether a gate names neighbours and the core is full: only a lower load shows their wait."""
    is_asked = any(gate.metric in NEIGHBOUR_METRICS and gate.matches(route) for gate in gates)
    return is_asked and (stats.cpu_cores or 0.0) >= FULL_CORE_SHARE


def _should_watch_loop(
    stats: InterimStats, single_stats: InterimStats, idle_p90: dict[str, float]
) -> bool:
    """Whether the watchdog is worth its time: a long ping, or slow pings and serial requests."""
    has_pause = stats.has_long_ping and (stats.users <= FEW_USERS or not stats.is_cpu_bound)
    return has_pause or (
        stats.is_neighbour_slowed("async", idle_p90) and stats.is_serialised(single_stats)
    )


def _is_known_unqueued(
    known: UnloadedLatency, top_stats: InterimStats, few_stats: InterimStats
) -> bool:
    """Whether nothing queues: the rate shows it, or many users have the same latency as a few."""
    return (known.is_precise and top_stats.is_unqueued(known.mean)) or (
        top_stats.users > few_stats.users and top_stats.is_latency_stable(few_stats)
    )


def _is_unexplained_plateau(
    top_stats: InterimStats, few_stats: InterimStats, known: UnloadedLatency
) -> bool:
    """Whether neither users nor CPU explain the rate of many users, and the few did not show it.

    Not valid after abandoned requests: the app may still work on them during the next level.
    """
    is_shown_by_few = (
        not few_stats.is_unqueued(known.worst_case)
        and top_stats.rate <= (1 + SAME_RATE_TOLERANCE) * few_stats.rate
    )
    is_valid = (
        top_stats.failures <= _MAX_FAILED_SHARE * top_stats.successes and not top_stats.abandoned
    )
    return (
        is_valid
        and not _is_known_unqueued(known, top_stats, few_stats)
        and not top_stats.is_cpu_bound
        and not is_shown_by_few
    )


def _halfway_users(concurrency: float) -> int:
    """Enough users to fill a pool of that size, yet far from the top level."""
    return int(
        min(max(concurrency * (1 + SAME_RATE_TOLERANCE) * 1.3, 2.0 * FEW_USERS), 0.85 * MANY_USERS)
    )
