"""The parts of a verdict: a route's evidence, the rule result and the remedy."""

from dataclasses import dataclass

from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics
from reports.verdicts.culprit import LoopHolds
from results.run_info import RouteRecord
from results.thresholds import FEW_USERS, MANY_USERS
from results.unloaded import UnloadedLatency
from results.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats:
    """The app's processes in one level, summed; CPU in cores, lags in seconds; None: not seen."""

    cpu: float | None
    loop_cpu: float | None  # of it, what the event loops' own threads used
    children_cpu: float | None  # of the processes it started
    lag: float | None  # p99 of how late the loop called back
    longest_lag: float | None
    threads: float | None  # AnyIO's, busy
    threads_waiting: float | None
    executor_waiting: float | None
    pool_threads: float | None  # of another executor, where calls wait for it
    pool_waiting: float | None

    @property
    def total_cpu(self) -> float:
        """CPU of the app and of the processes it started, in cores."""
        return (self.cpu or 0.0) + (self.children_cpu or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEvidence:
    """One level with all that happened during it."""

    metrics: CrowdMetrics
    think_time: float
    neighbours: dict[str, NeighbourMetrics]
    server_stats: ServerStats
    other_cpu: float  # share of all cores that neither app nor generator used


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEvidence:
    """One route. `entry` is its part of run.json; `levels` go by the number of users."""

    entry: RouteRecord
    route: RouteMetrics
    levels: dict[int, LevelEvidence]
    faults: dict[int, tuple[int, int, str]]  # by users: wrong answers, of how many, commonest fault
    half_neighbours: dict[str, NeighbourMetrics] | None  # at half of the capacity, where measured
    half_rate: float | None = None  # requests per second at that half
    loop_holds: LoopHolds | None  # what held the loop while the watchdog sampled
    idle_hold_places: frozenset[tuple[str, int]]  # files and lines that hold it in an idle app
    cpu_while_late: float | None  # CPU seconds per second of a late loop, whatever the culprit
    watched_seconds: float  # seconds that the watchdog sampled
    watched_requests: int  # requests answered in that time
    workers: int
    thread_tokens: int | None
    executor_size: int | None
    has_agent: bool  # whether we started it, with an agent inside
    pinned: str = ""  # that we made its executor smaller, and why

    @property
    def unloaded_mean(self) -> float:
        """The mean unloaded latency, in seconds."""
        return self.route.unloaded_mean or 0.0

    @property
    def unloaded(self) -> UnloadedLatency:
        """The same with its interval; of zero width where that is not known."""
        return self.route.unloaded or UnloadedLatency(*[self.unloaded_mean] * 4)

    @property
    def spread(self) -> float:
        """Standard deviation over mean of its latencies, of one user or a few, the larger one."""
        return max(
            level.metrics.latency_cv for users, level in self.levels.items() if users <= FEW_USERS
        )

    @property
    def top(self) -> LevelEvidence | None:
        """The largest of the doctor's own levels; those of gates are not among them."""
        return self.levels.get(MANY_USERS) or self.levels.get(FEW_USERS)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A verdict, its reason, and what would change it.

    `concurrency` is how many are served at once, where a pool is the culprit.
    """

    verdict: Verdict
    reason: str
    would_change_if: str = ""
    concurrency: int | None = None
    is_inferred: bool = False  # from outside: the cause itself was not seen
    is_lower_bound: bool = False  # nothing queued: it serves at least what was served at once


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to write instead, and the effect; `twin` is such a route of `targets.antipatterns`."""

    title: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    expect: str
    twin: str
