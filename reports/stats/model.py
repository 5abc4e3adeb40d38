"""What the statistics of an open load give: its sends, a replay of them, and whole curves of percentiles; seconds everywhere."""

from dataclasses import dataclass
from enum import StrEnum

from reports.stats.quantiles import (
    MIN_BEYOND,
    MIN_BEYOND_GREY,
    QUANTILES,
    Array,
    Flags,
    LatencyStats,
    is_supported,
)

FIT_TOLERANCE, MISFIT_ERROR, UNFAIR_RATIO = (
    0.03,
    0.10,
    1.10,
)  # of the mean; and of p99, from which the order is unfair


@dataclass(frozen=True, slots=True)
class SendLog:
    """All requests of one cell that were sent, in that order. `done` of the unfinished: when waiting for them stopped."""

    planned: Array
    sent: Array
    done: Array
    finished: Flags
    in_window: Flags  # planned in the window, and not answered with an error


class EstimateSource(StrEnum):
    """How the number of places is known."""

    CROWD = "crowd"  # a saturated crowd of this run showed it
    # this load's completions identify it, or lie nearest to it where no number of places explains
    # them
    FIT = "fit"
    AT_LEAST = "at least"  # this load bounds it from below; more of them would explain it as well
    IDLE = "nothing queued"  # there were always enough
    UNKNOWN = "unknown"  # too few answers, or too many in service to count


@dataclass(frozen=True, slots=True)
class ConcurrencyEstimate:
    """How many a route serves at once, and the seconds `d` that each takes in place, as far as one load tells."""

    source: EstimateSource
    count: int | None = None
    service_time: float | None = None
    # seconds that an unloaded answer takes beyond that: HTTP, to and fro, which holds no place
    http_overhead: float = 0.0
    at_least: int | None = None


class ReplayFit(StrEnum):
    """What the replay says about a route."""

    HOLDS = "fixed-service queue"  # mean and completions are those of c places that take D each
    UNDECIDED = "undecided"  # too far off to confirm, too near to refute; or answers are missing
    BROKEN = (  # service varies, something else is shared, or it stood still
        "not a fixed-service queue"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """Latencies `done - sent` of the window's right answers, measured and replayed: mean, p50, p95, p99, max (seconds)."""

    places: int
    service_time: float
    http_overhead: float  # seconds beyond its place that every replayed answer takes
    count: int  # requests compared
    drained: bool  # whether every request of the cell was answered
    measured: dict[str, float]
    replayed: dict[str, float]
    # U_mean, over the whole cell: only that is the same in any order of service; says nothing
    # unless drained
    mean_ratio: float
    # median distance between the two sorted completions, as a share of D; any order of service
    completion_error: float
    # of any one connection, over the whole cell; a lower bound where it was never answered
    longest_wait: float

    @property
    def is_close_fit(self) -> bool:
        """Whether completions keep to c places of D seconds most of the time, whatever happened in between."""
        return self.completion_error <= MISFIT_ERROR

    @property
    def model(self) -> ReplayFit:
        """Whether c places of D seconds are what this route is; judged by what no order of service can change."""
        off = abs(self.mean_ratio - 1) if self.drained else 0.0
        if off > MISFIT_ERROR or not self.is_close_fit:
            return ReplayFit.BROKEN
        return ReplayFit.HOLDS if self.drained and off <= FIT_TOLERANCE else ReplayFit.UNDECIDED

    def has_support(self, name: str, beyond: int = MIN_BEYOND) -> bool:
        """Whether enough requests lie beyond a quantile to print it."""
        return name not in QUANTILES or is_supported(self.count, QUANTILES[name], beyond)

    def unfairness(self, name: str) -> float | None:
        """U: measured / replayed. None if some were never answered, the model is broken, or under two lie beyond the quantile."""
        if (
            not self.has_support(name, MIN_BEYOND_GREY)
            or not self.drained
            or self.model is ReplayFit.BROKEN
        ):
            return None
        return self.mean_ratio if name == "mean" else self.measured[name] / self.replayed[name]

    @property
    def is_unfair(self) -> bool:
        """Whether somebody is overtaken: the capacity is right, and the tail is longer than in the order of arrival."""
        return self.model is ReplayFit.HOLDS and (self.unfairness("p99") or 1.0) > UNFAIR_RATIO


Curve = tuple[tuple[float, float], ...]  # 1 / (1 - q), and the quantile q in seconds


@dataclass(frozen=True, slots=True)
class PercentileCurves:
    """Every percentile of one load's window that its requests support, told in three ways; from the planned moment."""

    measured: Curve  # as low as the truth may be where requests were never answered
    upper_bound: Curve  # and as high; ends where they leave it open upwards
    replayed: Curve  # empty where no replay explains the load
    # as `users` in a closed loop would have told it: what they would have sent, and heard of
    closed_loop: Curve
    users: int
    closed_loop_latency: LatencyStats | None  # what those heard, in numbers
    window_latency: (
        LatencyStats | None
    )  # and what the window holds: facts of this run, whatever another one would tell
