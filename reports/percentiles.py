"""Quantiles from raw samples, with the unanswered ones counted as what they are: lower bounds.

No interpolation, no histogram: the order statistic of rank ceil(n q), equal to numpy's `inverted_cdf`. A quantile that
the sample cannot support is not printed at all.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
BEYOND = 10  # samples that must lie beyond a quantile before it is printed: p99 needs 1,000
BOUND_BEYOND = 2  # enough for a lower bound, which claims less: p99 of 300 requests may be printed as ">= ..."


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sample quantile in seconds, or what is known of it: the truth lies in [low, high]; high may be infinite."""

    low: float
    high: float

    @property
    def exact(self) -> float | None:
        """The value, when no unanswered request leaves it open."""
        return self.low if self.low == self.high else None


def quantile(values: Array, q: float) -> float:
    """The order statistic of rank ceil(n q) of a non-empty sample. O(n log n)."""
    return float(np.sort(values)[max(math.ceil(len(values) * q - 1e-9), 1) - 1])


def is_supported(count: int, q: float, beyond: int = BEYOND) -> bool:
    """Whether `count` samples say enough about quantile `q`: at least ten (or `beyond`) lie beyond it."""
    return count * (1 - q) >= beyond - 1e-9


def needed(q: float) -> int:
    """How many samples quantile `q` asks for."""
    return math.ceil(BEYOND / (1 - q) - 1e-9)


def estimate(latencies: Array, finished: npt.NDArray[np.bool_], q: float) -> Estimate | None:
    """Quantile `q` without any assumption about the unanswered ones: they took at least as long as they were waited for.

    Low takes every bound for the truth, high takes every unanswered request for endless. None when not supported.
    """
    if not is_supported(len(latencies), q, BOUND_BEYOND):
        return None
    found = Estimate(quantile(latencies, q), quantile(np.where(finished, latencies, np.inf), q))
    return found if found.exact is None or is_supported(len(latencies), q) else None


@dataclass(frozen=True, slots=True)
class Latency:
    """How long some requests took, in seconds from the planned moment."""

    count: int
    mean: Estimate
    quantiles: dict[str, Estimate | None]
    longest: Estimate

    @classmethod
    def of(cls, latencies: Array, finished: npt.NDArray[np.bool_]) -> "Latency | None":
        """Mean, quantiles and longest; bounds where some were not answered. None of no request."""
        if not len(latencies):
            return None
        mean, longest = (
            Estimate(float(one), float(one) if finished.all() else np.inf) for one in (latencies.mean(), latencies.max())
        )
        return cls(len(latencies), mean, {name: estimate(latencies, finished, q) for name, q in QUANTILES.items()}, longest)
