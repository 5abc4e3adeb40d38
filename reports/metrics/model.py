"""The numbers of a run: per route its levels, bursts and neighbours, without any judgement.

Trust, findings, claims, charts, page and summary read `RunMetrics` and nothing else.
"""

import math
from dataclasses import dataclass, field
from operator import attrgetter

from reports.metrics.breakdown import LatencyBreakdown
from reports.metrics.burst import BurstMetrics
from reports.metrics.fairness import FairnessStats
from reports.metrics.run_health import CellHealth
from reports.metrics.steady_state import LittleDeviation
from reports.stats.intervals import Interval, RepeatedValue, product_interval
from reports.stats.model import ConcurrencyEstimate, PercentileCurves, ReplayResult
from reports.stats.quantiles import Estimate, LatencyStats
from reports.stats.queueing import crowd_capacity
from reports.stats.stationarity import Stationarity
from results.judgement.model import NeighbourEffect
from results.run_info import Answer, RunInfo
from results.unloaded import Quartiles, UnloadedLatency, served_at_once


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """What became of all planned requests of a cell."""

    cell: str
    planned: int
    unrecorded: int  # of them, those without any row
    sent: int
    unfinished: int
    errors: int
    little: LittleDeviation | None
    has_window: bool  # a burst has none, so Little's law is not checked
    is_neighbour_cell: bool  # the neighbours of a load, with that load's generator and machine
    health: CellHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdMetrics:
    """One crowd in its window; latencies in seconds, from the planned time."""

    cell: str
    users: int
    repeat: int
    seconds: float
    count: int
    throughput: float
    completed: int
    unfinished: int
    errors: int
    mean: Estimate
    quantiles: dict[str, Estimate | None]
    longest: Estimate
    starved_users: int  # users with fewer than half as many answers as the median user
    little: LittleDeviation | None
    predicted_mean: float | None
    cpu: float | None  # the server's share of one core
    loop_cpu: float | None = None  # of it, what its event loop's thread used
    threads_waiting: float | None
    executor_queue: float | None
    stationarity: Stationarity | None
    app_quantiles: dict[str, float]  # of what a timer inside the app saw
    breakdown: LatencyBreakdown | None  # None where no probe saw where the time was spent
    fairness: FairnessStats | None = None  # where an experiment is about the order of service
    throughput_interval: Interval | None = None
    cpu_cost_interval: Interval | None = None  # of CPU s per right answer, with the neighbours
    quartiles: Quartiles | None = None  # of the latencies of answered requests
    latency_cv: float = 0.0  # of the same: standard deviation over mean
    longest_silence: float = 0.0  # in the window; 0 where no answer came after its start
    think_time: float = 0.0  # of each user, between an answer and its next request

    @property
    def little_tolerance(self) -> float:
        """Share of the users below which Little's residual is only an effect of window edges."""
        return max(0.03, self.mean.low / self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoadMetrics:
    """One load of the open model: requests sent at a rate, whatever became of earlier ones."""

    cell: str
    nominal_rate: float  # planned requests per second, on average
    peak_rate: float  # and at most
    law: str
    share: float | None  # of the capacity measured before, as planned
    repeat: int
    seconds: float  # from the start of the schedule to the close of the window
    planned: int
    sent: int
    refused: int  # planned and never sent: the cap on requests in flight was reached
    sent_rate: float  # actually sent per second
    completed: int  # right answers until the close
    throughput: float  # right answers per second, inside the window
    backlog: int  # in flight at the close
    unfinished: int
    errors: int
    latency: LatencyStats | None  # of what was planned inside the window
    unloaded_latency: float | None  # service time plus HTTP, else that of the quickest 5 %
    lateness: float | None  # p99 of sent - intended
    arrival_tests: tuple[tuple[int, float, float], ...]  # schedule, sends: gaps, their CV, KS's p
    capacity: float | None  # of the route's largest crowd in this run, where that was saturated
    overloaded: bool
    concurrency: int | None  # served at once, where that is known and explains the load
    stationarity: Stationarity | None  # of measured over replayed, where a replay explains the load
    concurrency_estimate: ConcurrencyEstimate  # its source, or what is known instead
    replay_result: ReplayResult | None
    starved_share: float | None  # share of the connections
    curves: PercentileCurves | None

    @property
    def growth(self) -> float:
        """Growth of the requests in flight, per second."""
        return self.backlog / self.seconds

    @property
    def busy_service_time(self) -> float | None:
        """How long each request takes in place, where the number of places is known."""
        return self.concurrency_estimate.service_time if self.concurrency else None

    @property
    def predicted_growth(self) -> float | None:
        """Expected growth of requests in flight, per second of overload: arrivals minus c / D."""
        if not self.overloaded or not self.concurrency or not self.busy_service_time:
            return None
        return self.sent_rate - self.concurrency / self.busy_service_time


@dataclass(frozen=True, slots=True)
class UnfinishedCell:
    """A planned cell that was not measured to its end, as far as it got."""

    cell: str
    planned: int
    sent: int
    answered: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NeighbourMetrics:
    """One neighbour: p90 alone and under the load, None where too few pings support it."""

    kind: str
    idle: Estimate | None
    loaded: Estimate | None
    idle_pings: int
    loaded_pings: int
    predicted_p90: float | None  # behind a replay of the crowd, where the crowd holds the loop

    @property
    def effect(self) -> NeighbourEffect:
        """What the judgement knows of it: the least that both may be."""
        idle, loaded = (known.low if known else None for known in (self.idle, self.loaded))
        return NeighbourEffect(idle=idle, loaded=loaded)

    @property
    def slowdown(self) -> float | None:
        """How many times longer p90 is under load, at least."""
        return self.loaded.low / self.idle.low if self.loaded and self.idle else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMetrics:
    """One variant's numbers."""

    route: str
    variant: str
    unloaded_mean: float | None = None  # mean latency of a lone user
    unloaded_interval: Interval | None = None
    expected_concurrency: float | None = None  # that its mechanism allows; None for no limit
    mechanism: str | None = None
    executor_size: float | None = None  # threads of the loop's default executor, by the probe
    thread_tokens: float | None = None  # of AnyIO's, likewise
    executor_note: str = ""  # why atonce made it smaller, if it did
    levels: tuple[CrowdMetrics, ...] = ()
    open_loads: tuple[OpenLoadMetrics, ...] = ()
    bursts: tuple[BurstMetrics, ...] = ()
    neighbours: dict[str, NeighbourMetrics] = field(default_factory=dict)
    # the top level's, by name, where its server was restarted
    restarts: dict[str, RepeatedValue] = field(default_factory=dict)
    unloaded: UnloadedLatency | None = None  # with the slow requests that a lone user did not meet

    @property
    def first_burst(self) -> BurstMetrics | None:
        """The first burst, if there was one."""
        return self.bursts[0] if self.bursts else None

    @property
    def top_level(self) -> CrowdMetrics | None:
        """The largest measured crowd; of its repeats the median, by throughput."""
        return self.median_levels[-1] if self.median_levels else None

    @property
    def median_levels(self) -> tuple[CrowdMetrics, ...]:
        """One level for each crowd size; of its repeats the median, by throughput."""
        by_size: dict[int, list[CrowdMetrics]] = {level.users: [] for level in self.levels}
        for level in sorted(self.levels, key=attrgetter("throughput")):
            by_size[level.users].append(level)
        return tuple(repeats[(len(repeats) - 1) // 2] for repeats in by_size.values())

    @property
    def lone_handler_time(self) -> float | None:
        """Mean seconds inside the handler with one user: what the work itself takes."""
        alone = [level.breakdown for level in self.levels if level.users == 1]
        times = [breakdown.served for breakdown in alone if breakdown]
        return sum(times) / len(times) if times else None

    @property
    def capacity(self) -> float | None:
        """Requests per second that the route can answer; None if no crowd was large enough."""
        # A crowd that the longest plausible unloaded latency explains shows no capacity.
        longest = self.unloaded.worst_case if self.unloaded else self.unloaded_mean
        top = self.top_level
        return crowd_capacity(top.users, top.throughput, longest, top.think_time) if top else None

    @property
    def crowd_places(self) -> int | None:
        """Number of places that a saturated crowd showed."""
        served = self.served_at_once
        return max(1, round(served)) if served and self.capacity else None

    @property
    def waiting_share(self) -> float | None:
        """Share of the top level's mean latency spent waiting; 0 where chance explains it."""
        mean = self.top_level.mean.low if self.top_level else 0.0
        if self.unloaded_mean is None or mean <= 0:
            return None
        if self.unloaded and mean <= self.unloaded.worst_case:
            return 0.0
        return max(0.0, 1 - self.unloaded_mean / mean)

    @property
    def served_at_once(self) -> float | None:
        """Requests served at once at the top level; a lower bound if no capacity was seen."""
        top = self.top_level
        return self.served_at_level(top) if top and self.unloaded_mean else None

    def served_at_level(self, level: CrowdMetrics) -> float:
        """Return the requests served at once at one level."""
        unloaded = self.unloaded_mean or 0.0
        return served_at_once(level.throughput, unloaded, level.users, level.think_time)

    @property
    def served_at_once_interval(self) -> Interval | None:
        """95 % interval of served at once; None where the window is too short."""
        top, services = self.top_level, self.unloaded_interval
        if not top or not self.unloaded_mean or not services:
            return None
        rates = top.throughput_interval
        interval = product_interval(top.throughput, rates, self.unloaded_mean, services)
        if not interval:
            return None
        upper_limit = served_at_once(math.inf, services[1], top.users, top.think_time)
        return min(interval[0], upper_limit), min(interval[1], upper_limit)


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """All numbers of a run."""

    run: RunInfo
    routes: tuple[RouteMetrics, ...]
    cell_counts: tuple[CellCounts, ...]
    unfinished_cells: tuple[UnfinishedCell, ...]
    # of a reproduction, for single claims: variants under conditions, `broken-async uvloop cold`
    experiments: tuple[RouteMetrics, ...] = ()
    floor_p99: float | None = None  # of a route that does nothing, at the rate of the busiest cell

    @property
    def all_routes(self) -> tuple[RouteMetrics, ...]:
        """All routes that were measured."""
        return (*self.routes, *self.experiments)

    @property
    def is_reproduction(self) -> bool:
        """Whether this run is about the lesson: our own target, known variants, claims to judge."""
        return self.run.command in {"reproduce", "claims"}

    def is_planned(self, needs: tuple[str, ...]) -> bool:
        """Return whether the plan has all of a claim's needs."""
        planned = [cell.name for cell in self.run.plan.cells]
        planned += [f"asked/{session}" for session in self.run.extra_requests]
        planned += [cell for part in self.run.skipped.values() for cell in part.cells]
        return all(any(name.startswith(need) for name in planned) for need in needs)

    def absence_reason(self, needs: tuple[str, ...]) -> str | None:
        """Return the target's own reason for lacking one of a claim's needs, if any."""
        for session, part in self.run.skipped.items():
            if any(name.startswith(needs) for name in (*part.cells, f"asked/{session}")):
                return part.why
        return None

    def session_answers(self, session: str, path: str) -> list[Answer]:
        """Return a session's answers on a path, before and after the load: status and body."""
        answers = self.run.answers.get(session)
        return [each[path] for each in (answers.answers if answers else ()) if path in each]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was sent at all."""
        return not self.cell_counts and not any(cell.planned for cell in self.unfinished_cells)

    def find_route(self, variant: str) -> RouteMetrics | None:
        """Return the route of a variant, or of an experiment with one, if it was measured."""
        return next((route for route in self.all_routes if route.variant == variant), None)
