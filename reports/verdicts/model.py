"""What a verdict is made of: its codes, the evidence of one examined route, the rule that held, and the finding."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reports.metrics.model import Bystander, Level, Route
from reports.verdicts.culprit import Held
from results.thresholds import FEW, MANY
from results.unloaded import Unloaded


class Verdict(StrEnum):
    """What limits a route."""

    SCALES = "scales"  # serves as many as ask, until the CPU is full
    LOOP_BLOCKED = "loop-blocked"  # holds the event loop while it waits
    LOOP_BUSY = "loop-busy"  # holds the event loop while it computes
    GIL_BOUND = "gil-bound"  # computes in threads, of which one runs at a time; the loop lives, slowed
    THREAD_POOL = "thread-pool"  # queues for one of AnyIO's worker threads
    EXECUTOR_POOL = "executor-pool"  # queues for a thread of the loop's default executor
    POOL_LIMITED = "pool-limited"  # queues for some other pool, semaphore or lock; the loop is free
    WRONG_ANSWER = "wrong-answer"  # answers errors, or something else than it should
    UNKNOWN = "unknown"  # not enough evidence
    UNTRUSTED = "untrusted"  # the run cannot be trusted, so nothing is said


WORST_FIRST = (
    *(Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY, Verdict.WRONG_ANSWER, Verdict.GIL_BOUND, Verdict.EXECUTOR_POOL),
    *(Verdict.THREAD_POOL, Verdict.POOL_LIMITED, Verdict.UNKNOWN, Verdict.UNTRUSTED, Verdict.SCALES),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one route is found to be."""

    route: Route
    verdict: Verdict
    sentence: str
    remedy: str
    case: Any = None  # what the doctor knows of it, `doctor.diagnosis.Case`


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The app's processes during one level, summed over them; None where nobody saw it. CPU in cores, lags in seconds."""

    cpu: float | None
    loop_cpu: float | None  # of it, what the event loops' own threads used
    kin_cpu: float | None  # of the processes it started
    lag: float | None  # p99 of how late the loop called back
    longest_lag: float | None
    threads: float | None  # AnyIO's, busy
    threads_waiting: float | None
    executor_waiting: float | None
    pool_threads: float | None  # of another executor, where calls wait for it
    pool_waiting: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One level with all that happened meanwhile."""

    level: Level
    think: float
    beside: dict[str, Bystander]
    inside: Inside
    others: float  # share of all cores that neither app nor generator used


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One route. `entry` is what run.json says of it; `looks` go by the number of users."""

    entry: dict[str, Any]
    route: Route
    looks: dict[int, Look]
    faults: dict[int, tuple[int, int, str]]  # by users: wrong answers, of how many, and the commonest fault
    half: dict[str, Bystander] | None  # the neighbours at half of the capacity, where that was asked
    half_rate: float | None = None  # requests per second that it was
    held: Held | None  # who held the loop while the watchdog looked
    restless: frozenset[tuple[str, int]]  # files and lines that hold it while nobody asks
    computing: float | None  # CPU seconds per second in which the loop was late, whoever was to blame
    watched: float  # seconds that the watchdog looked
    requests: int  # that were answered meanwhile
    workers: int
    tokens: int | None
    executor: int | None
    is_guarded: bool  # whether we started it, with a guest inside
    pinned: str = ""  # that we made its executor smaller, and why

    @property
    def service(self) -> float:
        """The mean unloaded latency, in seconds."""
        return self.route.service or 0.0

    @property
    def unloaded(self) -> Unloaded:
        """The same with its interval; none where it is not known."""
        return self.route.unloaded or Unloaded(*[self.service] * 4)

    @property
    def spread(self) -> float:
        """Standard deviation over mean of its latencies, of one user's or of a few users', whichever scatter more."""
        return max(look.level.spread for users, look in self.looks.items() if users <= FEW)

    @property
    def top(self) -> Look | None:
        """The largest of the doctor's own levels; those of gates are not among them."""
        return self.looks.get(MANY) or self.looks.get(FEW)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, what it rests on, and what would change it. `places` is how many are served at once, where a pool is to blame."""

    verdict: Verdict
    seen: str
    change: str = ""
    places: int | None = None
    is_inferred: bool = False  # from the outside of things: nobody saw what is to blame
    is_bound: bool = False  # nothing queued: what was served at once is the least that it can serve


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to write, instead of what, and what comes of it; the twin is a route of `targets.antipatterns` that is written so."""

    title: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    expect: str
    twin: str


def worst_last(found: Iterable[Finding]) -> list[Finding]:
    """The findings, the worst last; of those alike, the one that serves fewest last."""
    return sorted(found, key=lambda one: (-WORST_FIRST.index(one.verdict), -(one.route.served or 0.0)))


def is_unreached(entry: dict[str, Any]) -> bool:
    """Whether nobody came to a route at all, for want of time or because the run ended before."""
    return bool(entry.get("unfit")) and entry.get("act") is None
