"""Measures what the rules still need, one level after another, until a route's verdict is clear."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from results.gate_expression import LEVEL_METRICS, NEIGHBOUR_METRICS, Gate, required_levels
from results.judgement import predicates
from results.judgement.loop_rules import SHORTEST_LOOK
from results.judgement.model import LevelEvidence, Measurement, RouteEvidence
from results.judgement.rules import evaluate_rules
from results.schema import Cell
from results.thresholds import FEW_USERS, MANY_USERS, SAME_RATE_TOLERANCE
from results.verdicts import Verdict
from scenarios.doctor.levels import LevelPlanner

Cells = tuple[Cell, ...]
# Whether there is time for a cell; the flag says that no verdict is possible without it
FitsBudget = Callable[[Cell, bool], bool]
_MAX_TRIES = Counter({Measurement.LONGER_LONE: 2, Measurement.WATCH: 4})  # of the others one
_HOLDS_PER_WATCH = 25  # that the watchdog should meet where each request holds the loop
_WATCH_PIECE = 4.0  # seconds of watching at a time for what comes seldom
_FAR_FROM_TOP = 0.65  # of many users: a level in between, as far as the pool allows
_FIRST_REPEAT = 3  # of a level that is measured again: the second of any level is a gate's


@dataclass(slots=True)
class AdaptivePlan:
    """The levels of one route. `observe` returns what is known of it so far."""

    observe: Callable[[], RouteEvidence]
    planner: LevelPlanner
    gates: tuple[Gate, ...]
    fits: FitsBudget
    tries: Counter[Measurement] = field(default_factory=Counter)

    def levels(self) -> Iterator[Cells]:
        """Yield the cells of the route: what the rules need, then what gates need."""
        while True:
            evidence = self.observe()
            result = evaluate_rules(evidence)
            if not result.needs or self.tries[result.needs] >= max(1, _MAX_TRIES[result.needs]):
                break
            self._adapt_planner(evidence)
            cell = self._create_cell(result.needs, evidence)
            if not self.fits(cell, result.verdict is Verdict.UNKNOWN):
                break
            self.tries[result.needs] += 1
            yield (cell,)
        yield from self._gate_cells(evidence)

    def _adapt_planner(self, evidence: RouteEvidence) -> None:
        """Plan by the latency under load: the smoke test's may be another."""
        alone = evidence.levels.get(1)
        if alone and alone.latencies:
            service_time = min(self.planner.service_time, alone.mean)
            cpu_time = predicates.total_cpu_per_request(alone)
            longest = max(self.planner.longest, alone.longest)
            self.planner = replace(
                self.planner, service_time=service_time, cpu_time=cpu_time, longest=longest
            )

    def _create_cell(self, need: Measurement, evidence: RouteEvidence) -> Cell:
        create: dict[Measurement, Callable[[RouteEvidence], Cell]] = {
            Measurement.LONE: lambda _: self.planner.single_user_cell(),
            Measurement.FEW: lambda _: self.planner.few_users_cell(),
            Measurement.MANY: self._many_users_cell,
            Measurement.HALF: lambda seen: self.planner.half_capacity_cell(
                _busiest(seen).rate or 1 / seen.unloaded.mean
            ),
            Measurement.MIDDLE: self._middle_cell,
            Measurement.BURST: lambda seen: self.planner.burst_cell(seen.many.rate),
            Measurement.LONGER_LONE: lambda seen: self.planner.longer_single_user_cell(
                seen.unloaded, _FIRST_REPEAT + self.tries[need]
            ),
            Measurement.WATCH: self._watchdog_cell,
            Measurement.WAITS: self._profile_cell,
            Measurement.LONGER_LOOK: lambda seen: self.planner.longer_look_cell(
                SHORTEST_LOOK - seen.seconds, _FIRST_REPEAT + 7
            ),
        }
        return create[need](evidence)

    def _many_users_cell(self, evidence: RouteEvidence) -> Cell:
        few = evidence.levels[FEW_USERS]
        rate = None if predicates.is_rate_explained(evidence, few) else few.rate
        return self.planner.many_users_cell(rate, evidence.spread)

    def _middle_cell(self, evidence: RouteEvidence) -> Cell:
        """Return enough users to fill a pool of the size seen, yet far from the top level."""
        pool = evidence.levels[MANY_USERS].rate * evidence.unloaded.worst_case
        users = max(1.3 * pool * (1 + SAME_RATE_TOLERANCE), 2.0 * FEW_USERS)
        most = min(max(_FAR_FROM_TOP * MANY_USERS, 1.15 * pool), 0.85 * MANY_USERS)
        rate = evidence.levels[MANY_USERS].rate
        return self.planner.middle_cell(int(min(users, most)), rate, evidence.spread)

    def _profile_cell(self, evidence: RouteEvidence) -> Cell:
        """Return the largest level, or the first that fell silent."""
        silent = [level.users for level in evidence.crowds if level.is_silent]
        users = min(silent) if silent else max(evidence.levels)
        return self.planner.profile_cell(users, is_silent=bool(silent))

    def _watchdog_cell(self, evidence: RouteEvidence) -> Cell:
        level, number = _busiest(evidence), self.tries[Measurement.WATCH]
        repeat = 1 if not number else number + _FIRST_REPEAT - 1
        if predicates.is_async_harmed(level):
            hold_time = 1 / level.rate if level.rate else evidence.unloaded.mean
            window = min(max(_HOLDS_PER_WATCH * hold_time, 1.5), 5.0)
            return self.planner.watchdog_cell(level.users, window, repeat)
        left = predicates.find_long_pause(evidence) - evidence.watched_seconds
        return self.planner.watchdog_cell(FEW_USERS, min(left, _WATCH_PIECE), repeat)

    def _gate_cells(self, evidence: RouteEvidence) -> Iterator[Cells]:
        """Yield the levels that gates need; all their other metrics are measured already."""
        top, route = evidence.top, self.planner.route
        if top is None:
            return
        metrics = {gate.metric for gate in self.gates if gate.matches(route)}
        is_half_needed = metrics & {*NEIGHBOUR_METRICS} and not evidence.half_neighbours
        if is_half_needed and top.rate > 0 and predicates.is_core_full(evidence, top):
            half_cell = self.planner.half_capacity_cell(top.rate)
            if self.fits(half_cell, False):
                yield (half_cell,)
        level_gates = [gate for gate in self.gates if gate.metric in LEVEL_METRICS]
        cells = self.planner.gate_cells(required_levels(level_gates, route), evidence.levels)
        if fitting := tuple(cell for cell in cells if not self.planner.why_too_large(cell)):
            yield fitting


def _busiest(evidence: RouteEvidence) -> LevelEvidence:
    """Return the first level that slows a neighbour or is silent, else the largest."""
    harmed = (x for x in evidence.crowds if x.is_silent or predicates.is_async_harmed(x))
    return next(harmed, evidence.levels[max(evidence.levels)])
