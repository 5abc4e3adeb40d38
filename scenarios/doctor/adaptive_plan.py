"""Chooses the next levels from what was measured: clear results end early, none repeats."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from results import thresholds
from results.gate_expression import LEVEL_METRICS, NEIGHBOUR_METRICS, Gate, required_levels
from results.run_info import RouteRecord
from results.schema import Cell
from results.store import RunWriter
from results.thresholds import FEW_USERS, MANY_USERS, SAME_RATE_TOLERANCE
from results.unloaded import UnloadedLatency, estimate_unloaded, relative_deviation
from scenarios.doctor.interim import InterimStats, read_interim_stats
from scenarios.doctor.levels import LevelPlanner

Cells = tuple[Cell, ...]
# Whether there is time for a cell; the flag says that no verdict is possible without it
FitsBudget = Callable[[Cell, bool], bool]
_MAX_FAILED_SHARE = 0.01  # share of wrong answers that a plateau may have


@dataclass(slots=True)
class AdaptivePlan:
    """The levels of one route."""

    run: RunWriter
    record: RouteRecord
    planner: LevelPlanner
    idle_p90: dict[str, float]
    gates: tuple[Gate, ...]
    fits: FitsBudget
    stats: dict[int, InterimStats] = field(default_factory=dict)  # by users
    hold_time: float | None = None  # seconds for which a request seems to block the loop

    def levels(self) -> Iterator[Cells]:
        """Yield the cells of the route, a few at a time.

        1. One user, then a few with both neighbours.
        2. If the loop is blocked, that is enough. If the route also computes there, half of that
           load separates a blocked loop from a busy one.
        3. Else many users: some routes block it for a shorter time, or seldom.
        4. If the single user's requests are too few to interpret the rate, it runs longer.
        5. A plateau that neither the CPU nor a queue explains gets one more level in between.
        6. If the core is full and a gate names a neighbour metric: half of that load as well.
        """
        yield from self._run_level(self.planner.single_user_cell())
        if not (single := self.stats.get(1)):
            return
        # The generator's rate limit follows from the latency under load, not from the smoke test's
        if single.latencies:
            service_time = min(self.planner.service_time, single.mean)
            self.planner = replace(self.planner, service_time=service_time)
        yield from self._run_level(self.planner.few_users_cell())
        few = self.stats.get(FEW_USERS)
        if not few or few.failures > few.successes:
            return
        if not self._is_loop_blocked(few):
            rate = None if few.is_unqueued(single.mean) else few.rate
            many_cell = self.planner.many_users_cell(rate, self._scatter)
            if self.fits(many_cell, True):
                yield from self._run_level(many_cell)
        measured = [self.stats[users] for users in (FEW_USERS, MANY_USERS) if users in self.stats]
        blocked = next(filter(self._is_loop_blocked, measured), None)
        yield from self._refine_capacity(is_blocked=blocked is not None)
        busiest = blocked or self.stats[max(self.stats)]
        is_half_useful = blocked.is_cpu_bound if blocked else self._is_neighbour_gated(busiest)
        if is_half_useful and busiest.rate:
            half_cell = self.planner.half_capacity_cell(busiest.rate)
            if self.fits(half_cell, blocked is not None):
                yield (half_cell,)
        if blocked or any(map(self._should_watch_loop, self.stats.values())):
            self.hold_time = 1 / blocked.rate if blocked and blocked.rate else single.mean
        yield from filter(None, (tuple(self._gate_cells()), tuple(self._watched_cells())))

    def _watched_cells(self) -> Iterator[Cell]:
        if self.hold_time is not None and self.run.info.app.how == "module":
            watched_cell = self.planner.watchdog_cell(self.hold_time)
            if self.fits(watched_cell, True):
                yield watched_cell

    def _run_level(self, cell: Cell) -> Iterator[Cells]:
        yield (cell,)
        if stats := self._read_stats(cell):
            self.stats[cell.users] = stats

    def _read_stats(self, cell: Cell) -> InterimStats | None:
        planned = (it for it in self.run.info.plan.cells if it.name == cell.name)
        cell = next(planned, cell)  # with the process that answered
        return read_interim_stats(self.run.path, self.planner.session, cell)

    def _refine_capacity(self, *, is_blocked: bool) -> Iterator[Cells]:
        """Run the single user longer if its mean is uncertain; then a level within a plateau."""
        single, few = self.stats[1], self.stats[FEW_USERS]
        top = self.stats.get(MANY_USERS, few)
        known = estimate_unloaded(single.latencies, few.latencies)
        known = known or estimate_unloaded(few.latencies, few.latencies)
        if not known:
            return
        is_certain = known.is_precise or _is_known_unqueued(known, top, few)
        if not single.latencies or not is_certain:
            longer_cell = self.planner.longer_single_user_cell(known)
            if self.fits(longer_cell, False):
                yield (longer_cell,)
                if stats := self._read_stats(longer_cell):
                    latencies = [*single.latencies, *stats.latencies]
                    known = estimate_unloaded(latencies, few.latencies) or known
        if not is_blocked and _is_unexplained_plateau(top, few, known):
            # Enough users to fill a pool of that size, yet far from the top level
            pool = top.rate * known.worst_case * (1 + SAME_RATE_TOLERANCE)
            users = max(pool * 1.3, 2.0 * FEW_USERS)
            cell = self.planner.middle_cell(int(min(users, 0.85 * MANY_USERS)), self._scatter)
            if self.fits(cell, True):
                yield from self._run_level(cell)

    def _gate_cells(self) -> Iterator[Cell]:
        """Yield the levels that gates need; all their other metrics are measured already."""
        gates = [gate for gate in self.gates if gate.metric in LEVEL_METRICS]
        levels = required_levels(gates, self.planner.route)
        is_blocked = self.hold_time is not None
        cells = self.planner.gate_cells(levels, self.stats, is_blocked=is_blocked)
        return (cell for cell in cells if not self.planner.why_too_large(cell))

    @property
    def _scatter(self) -> float:
        return max(relative_deviation(self.stats[users].latencies) for users in (1, FEW_USERS))

    def _is_loop_blocked(self, stats: InterimStats) -> bool:
        """Return whether the loop seems blocked: by a wait, or by a long computation."""
        service_time = self.stats[1].mean
        return stats.is_neighbour_slowed("async", self.idle_p90) and (
            not stats.is_cpu_bound
            or min(service_time, stats.cpu_per_request) >= thresholds.HOLD_SECONDS
        )

    def _is_neighbour_gated(self, stats: InterimStats) -> bool:
        """Return whether a gate names neighbours and the core is full: half the load shows them."""
        gates = (gate for gate in self.gates if gate.metric in NEIGHBOUR_METRICS)
        is_core_full = stats.cpu_cores >= thresholds.FULL_CORE_SHARE
        return is_core_full and any(gate.matches(self.planner.route) for gate in gates)

    def _should_watch_loop(self, stats: InterimStats) -> bool:
        """Return whether the watchdog helps: a long ping, or slow pings and serial requests."""
        has_pause = stats.has_long_ping and (stats.users <= FEW_USERS or not stats.is_cpu_bound)
        return has_pause or (
            stats.is_neighbour_slowed("async", self.idle_p90) and stats.is_serialised(self.stats[1])
        )


def _is_known_unqueued(known: UnloadedLatency, top: InterimStats, few: InterimStats) -> bool:
    """Return whether nothing queues, by the rate or by the same latency of many users and few."""
    return (known.is_precise and top.is_unqueued(known.mean)) or (
        top.users > few.users and top.is_latency_stable(few)
    )


def _is_unexplained_plateau(top: InterimStats, few: InterimStats, known: UnloadedLatency) -> bool:
    """Return whether neither users nor CPU explain many users' rate, which the few did not show."""
    # After abandoned requests the app may still work on them during the next level
    is_valid = top.failures <= _MAX_FAILED_SHARE * top.successes and not top.abandoned
    is_shown_by_few = (
        not few.is_unqueued(known.worst_case) and top.rate <= (1 + SAME_RATE_TOLERANCE) * few.rate
    )
    is_explained = _is_known_unqueued(known, top, few) or top.is_cpu_bound or is_shown_by_few
    return top is not few and is_valid and not is_explained
