"""Test whether planned or real send times are those of independent users: Poisson arrivals.

For a given number, Poisson arrivals are uniform over the test (Kolmogorov and Smirnov's distance,
with Stephens' correction for finite n), and their gaps have a coefficient of variation of 1.
"""

import math

import numpy as np

from reports.stats.quantiles import Array

# below this scaled distance the sum no longer converges, and p is 1 anyway
_MIN_SCALED_DISTANCE = 0.2


def arrival_stats(timestamps: Array, seconds: float) -> tuple[int, float, float]:
    """Return count and coefficient of variation of the gaps, and the p of uniform times."""
    gaps = np.diff(timestamps)
    variation = float(gaps.std() / gaps.mean()) if gaps.any() else 0.0
    return len(gaps), variation, _ks_p_value(timestamps / seconds)


def _ks_p_value(shares: Array) -> float:
    n = len(shares)
    ranks = np.arange(1, n + 1)
    distance = float(max((ranks / n - shares).max(), (shares - (ranks - 1) / n).max()))
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    k = np.arange(1, 101)
    p = float(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * (k * scaled) ** 2)))
    return min(1.0, max(0.0, p)) if scaled > _MIN_SCALED_DISTANCE else 1.0
