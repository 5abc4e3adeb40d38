"""A route's unloaded latency: the mean for a lone user, and how certain few requests are.

The mean's interval is Student's t for what the sample shows, and the rule of three for what it does
not (Hanley and Lippman-Hand 1983: of n requests none of which was slow, up to 3 / n may be); how
slow those may be follows from the requests of a few users. For simulated laws with a long tail, 8
to 40 lone requests leave the true mean above `worst_case` in 0 to 8 of 100 runs (nominally 2.5).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_STUDENT_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093),
)
# over n: the upper 95 % limit of a share that n independent requests did not meet
_RULE_OF_THREE = 3.0
MAX_RELATIVE_ERROR = 0.15  # of the mean: an interval of at most this on either side decides

Quartiles = tuple[float, float, float]


def student_t(freedom: float) -> float:
    """Return half a 95 % interval in standard errors, at `freedom` (>= 1) degrees of freedom."""
    if freedom >= len(_STUDENT_T):
        return 1.96 + 2.5 / freedom
    below = max(int(freedom), 1)
    low, high = _STUDENT_T[below - 1], _STUDENT_T[min(below, len(_STUDENT_T) - 1)]
    return low + (max(freedom, 1.0) - below) * (high - low)


@dataclass(frozen=True, slots=True)
class UnloadedLatency:
    """A mean latency in seconds and its 95 % interval; `worst_case` adds unseen slow requests."""

    mean: float
    low: float
    high: float
    worst_case: float

    @property
    def is_precise(self) -> bool:
        """Whether the mean is known to within 15 % upwards and downwards."""
        return (
            max(self.worst_case - self.mean, self.mean - self.low) <= MAX_RELATIVE_ERROR * self.mean
        )


def estimate_unloaded(
    alone: Sequence[float], few: Sequence[float] = (), size: float | None = None
) -> UnloadedLatency | None:
    """Return the unloaded latency from those of a lone and a few users, or None without data."""
    if not alone:
        return None
    # `size` is how many independent requests `alone` is worth
    count, mean = size or len(alone), statistics.fmean(alone)
    half = student_t(count - 1) * relative_deviation(alone) * mean / math.sqrt(count)
    worst_case = mean + half
    if few:
        unseen = min(1.0, _RULE_OF_THREE / count)
        slow = statistics.median(alone) + max(few) - statistics.median(few)
        worst_case = max(worst_case, (1 - unseen) * mean + unseen * slow)
    return UnloadedLatency(mean, max(0.0, mean - half), mean + half, worst_case)


def relative_deviation(latencies: Sequence[float]) -> float:
    """Return standard deviation (n - 1) over mean; 0 for fewer than two latencies."""
    count, mean = len(latencies), statistics.fmean(latencies) if latencies else 0.0
    if count < 2 or not mean:  # noqa: PLR2004 - one latency has no deviation
        return 0.0
    return math.sqrt(math.fsum((latency - mean) ** 2 for latency in latencies) / (count - 1)) / mean


def latency_quartiles(latencies: Sequence[float]) -> Quartiles | None:
    """Return the order statistics of rank ceil(n q); None for fewer than eight latencies."""
    ordered = sorted(latencies)
    if len(ordered) < 8:  # noqa: PLR2004 - two on either side of each
        return None
    low, middle, high = (ordered[math.ceil(len(ordered) * q) - 1] for q in (0.25, 0.5, 0.75))
    return low, middle, high


def added_wait(few: Quartiles, many: Quartiles) -> float:
    """Return the seconds that most requests take longer among many users, by their quartiles."""
    # a queue makes nearly all requests wait; a single slow request moves no quartile
    return statistics.median(later - sooner for sooner, later in zip(few, many, strict=True))


def served_at_once(
    rate: float, service: float, users: float = math.inf, think_time: float = 0.0
) -> float:
    """Return the requests served at once: throughput (requests/s) times unloaded latency (s).

    More than N / (D + Z), which the users send without any wait, is chance.
    """
    sendable = users / (service + think_time) if service + think_time else math.inf
    return min(rate, sendable) * service
