"""Results of the statistics of an open load: sends, replay, percentile curves; times in seconds."""

from dataclasses import dataclass
from enum import StrEnum

from reports.stats import quantiles
from reports.stats.quantiles import MIN_BEYOND, QUANTILES, Array, Flags, LatencyStats

# Shares of the mean; and the ratio of p99s from which the order of service is unfair.
FIT_TOLERANCE, MISFIT_ERROR, UNFAIR_RATIO = 0.03, 0.10, 1.10


@dataclass(frozen=True, slots=True)
class SendLog:
    """All sent requests of one cell, in the order of sending."""

    planned: Array
    sent: Array
    done: Array  # of an unfinished request: when waiting for it stopped
    finished: Flags
    in_window: Flags  # planned in the window, and not answered with an error


class EstimateSource(StrEnum):
    """How the number of places is known."""

    CROWD = "crowd"  # a saturated crowd of this run showed it
    FIT = "fit"  # it fits this load's completions best, even where no number fits well
    AT_LEAST = "at least"  # this load gives a lower bound; more places would fit as well
    IDLE = "nothing queued"  # there were always enough
    UNKNOWN = "unknown"  # too few answers, or too many in service to count


@dataclass(frozen=True, slots=True)
class ConcurrencyEstimate:
    """How many requests a route serves at once, and `d`, the seconds of each, from one load."""

    source: EstimateSource
    count: int | None = None
    service_time: float | None = None
    # seconds that an unloaded answer takes beyond that: HTTP both ways, which holds no place
    http_overhead: float = 0.0
    at_least: int | None = None


class ReplayFit(StrEnum):
    """What the replay says about a route."""

    HOLDS = "fixed-service queue"  # mean and completions fit c places of D seconds each
    UNDECIDED = "undecided"  # too far off to confirm, too near to refute; or answers are missing
    # service varies, something else is shared, or the server stood still
    BROKEN = "not a fixed-service queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """Mean, quantiles and max of `done - sent` of a window's right answers, also replayed."""

    places: int
    service_time: float
    http_overhead: float  # seconds beyond its place that every replayed answer takes
    count: int  # requests compared
    drained: bool  # whether every request of the cell was answered
    measured: dict[str, float]
    replayed: dict[str, float]
    # U_mean over the whole drained cell: only that is the same in any order of service
    mean_ratio: float
    # median distance between the two sorted completions, as a share of D; any order of service
    completion_error: float
    longest_wait: float  # of any request of the cell; a lower bound where it was never answered

    @property
    def is_close_fit(self) -> bool:
        """Whether completions follow c places of D seconds most of the time."""
        return self.completion_error <= MISFIT_ERROR

    @property
    def model(self) -> ReplayFit:
        """Whether the route is c places of D seconds; the order of service cannot change it."""
        off = abs(self.mean_ratio - 1) if self.drained else 0.0
        if off > MISFIT_ERROR or not self.is_close_fit:
            return ReplayFit.BROKEN
        return ReplayFit.HOLDS if self.drained and off <= FIT_TOLERANCE else ReplayFit.UNDECIDED

    def has_support(self, name: str, beyond: int = MIN_BEYOND) -> bool:
        """Whether enough requests lie beyond a quantile to print it."""
        return name not in QUANTILES or quantiles.is_supported(self.count, QUANTILES[name], beyond)

    def unfairness(self, name: str) -> float | None:
        """Return U, measured / replayed; None if a broken model or few samples do not show it."""
        has_support = self.has_support(name, quantiles.MIN_BEYOND_GREY)
        if not has_support or not self.drained or self.model is ReplayFit.BROKEN:
            return None
        return self.mean_ratio if name == "mean" else self.measured[name] / self.replayed[name]

    @property
    def is_unfair(self) -> bool:
        """Whether requests are overtaken: the capacity fits, but the tail exceeds the replay's."""
        return self.model is ReplayFit.HOLDS and (self.unfairness("p99") or 1.0) > UNFAIR_RATIO


Curve = tuple[tuple[float, float], ...]  # 1 / (1 - q), and the quantile q in seconds


@dataclass(frozen=True, slots=True)
class PercentileCurves:
    """All percentiles that a load's window supports, in three curves, from the planned time."""

    measured: Curve  # the lower bound where requests were never answered
    upper_bound: Curve  # and the upper bound; ends where it is infinite
    replayed: Curve  # empty where no replay explains the load
    closed_loop: Curve  # as `users` in a closed loop would have measured it
    users: int
    closed_loop_latency: LatencyStats | None  # what those users would have seen
    window_latency: LatencyStats | None  # of this run, whatever another run would show
