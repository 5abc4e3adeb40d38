"""What was seen of a route, in numbers, and what the rules say of it. Times in seconds."""

import math
from dataclasses import dataclass
from enum import StrEnum

from results.judgement.culprit import Culprit, LoopHolds
from results.judgement.waits import WaitProfile
from results.run_info import RouteRecord
from results.thresholds import FEW_USERS, MANY_USERS
from results.unloaded import Quartiles, UnloadedLatency, served_at_once
from results.verdicts import Verdict


class Measurement(StrEnum):
    """What a rule may need in addition. The value completes the sentence "... is missing"."""

    LONE = "one user"
    FEW = f"{FEW_USERS} users"
    MANY = f"{MANY_USERS} users"
    HALF = "half of its capacity"
    BURST = f"{MANY_USERS} users at one moment"
    MIDDLE = "a level between two others"
    LONGER_LONE = "one user for longer"
    WATCH = "the watchdog"
    WAITS = "where its requests wait"
    LONGER_LOOK = "a longer look"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats:
    """The app's processes in one level, summed; CPU in cores; None where it was not seen."""

    cpu: float | None = None
    loop_cpu: float | None = None  # of it, what the event loops' own threads used
    children_cpu: float | None = None  # of the processes it started
    lag: float | None = None  # p99 of how late the loop called back
    longest_lag: float | None = None
    threads: float | None = None  # AnyIO's, busy
    threads_waiting: float | None = None
    executor_waiting: float | None = None
    pool_threads: float | None = None  # of another executor, where calls wait for it
    pool_waiting: float | None = None
    blind: float = 0.0  # seconds in which the agent's own thread could not look

    @property
    def total_cpu(self) -> float:
        """CPU of the app and of the processes it started, in cores."""
        return (self.cpu or 0.0) + (self.children_cpu or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourEffect:
    """A neighbour's p90 at rest and under a load; None where too few pings show it."""

    idle: float | None
    loaded: float | None
    longest: float = 0.0  # under the load, warm-up and drain included


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEvidence:
    """One level with all that happened during it."""

    users: int
    seconds: float  # of the window
    rate: float  # right answers per second
    think_time: float = 0.0
    completed: int  # right answers in the window
    latencies: tuple[float, ...]  # of right answers to requests planned in the window, sorted
    mean: float  # of the same, the unanswered included as long as they waited
    longest: float
    cv: float  # standard deviation over mean
    quartiles: Quartiles | None
    app_time: float | None = None  # mean, inside the app
    total_time: float | None = None  # mean, of the same requests
    neighbours: dict[str, NeighbourEffect]
    server_stats: ServerStats
    other_cpu: float = 0.0  # share of all cores that neither app nor generator used
    is_silent: bool = False  # it ended because nothing was answered any more
    sent: int = 0  # requests, in all phases
    unanswered: int = 0  # of them, those in flight at the end
    odd_answers: int = 0  # right answers of another kind, or size, than a lone user's


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEvidence:
    """One route. `entry` is its part of run.json; `levels` go by the number of users."""

    entry: RouteRecord
    levels: dict[int, LevelEvidence]
    unloaded: UnloadedLatency
    repeats: tuple[LevelEvidence, ...] = ()  # further levels of as many users
    seconds: float = math.inf  # from the first level's start to the last one's end
    lone_tries: int = 1  # levels of a lone user
    faults: dict[int, tuple[int, int, str]]  # by users: wrong answers, of how many, commonest fault
    half_neighbours: dict[str, NeighbourEffect] | None = None  # at half of the capacity
    half_rate: float | None = None  # requests per second at that half
    burst: LevelEvidence | None = None  # many users who start at one moment
    loop_holds: LoopHolds | None = None  # what holds the loop while the watchdog samples
    idle_hold_places: frozenset[tuple[str, int]] = frozenset()  # that hold it in an idle app
    cpu_while_late: float | None = None  # CPU seconds per second of a late loop, whatever the line
    watched_seconds: float = 0.0  # seconds that the watchdog sampled
    watched_requests: int = 0  # requests answered in that time
    waits: WaitProfile | None = None  # where its requests wait at its largest level
    workers: int = 1
    thread_tokens: float | None = None
    executor_size: int | None = None
    has_agent: bool = True  # whether we started it, with an agent inside
    pinned: str = ""  # that we made its executor smaller, and why
    few_users: int = FEW_USERS
    many_users: int = MANY_USERS
    is_final: bool = False  # a lesson's: nothing can be added, so what there is decides

    @property
    def crowds(self) -> list[LevelEvidence]:
        """The levels of the few and the many, as far as they were measured."""
        sizes = sorted({self.few_users, self.many_users} & self.levels.keys())
        return [self.levels[users] for users in sizes]

    @property
    def few(self) -> LevelEvidence:
        """The level of the few."""
        return self.levels[self.few_users]

    @property
    def many(self) -> LevelEvidence:
        """The level of the many."""
        return self.levels[self.many_users]

    @property
    def caught(self) -> tuple[Culprit, ...]:
        """The lines that the watchdog saw hold the loop, for this route or not."""
        return self.loop_holds.culprits if self.loop_holds else ()

    @property
    def spread(self) -> float:
        """Standard deviation over mean of its latencies, of one user or a few, the larger one."""
        return max(level.cv for users, level in self.levels.items() if users <= self.few_users)

    @property
    def top(self) -> LevelEvidence | None:
        """The largest of the doctor's own levels; those of gates are not among them."""
        return self.crowds[-1] if self.crowds else None

    def served_at(self, level: LevelEvidence) -> float:
        """Return the requests served at once at a level: rate x mean unloaded latency."""
        return served_at_once(level.rate, self.unloaded.mean, level.users, level.think_time)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A verdict, its reason, what would change it, and which measurement would make it surer."""

    verdict: Verdict
    reason: str
    would_change_if: str = ""
    concurrency: int | None = None  # served at once, where a pool is the culprit
    is_inferred: bool = False  # from outside: the cause itself was not seen
    is_lower_bound: bool = False  # nothing queued: it serves at least what was served at once
    has_figure: bool = True  # whether served at once means anything
    needs: Measurement | None = None  # could change the verdict, or adds its line or a figure
