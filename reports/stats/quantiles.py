"""Quantiles from raw samples, with their uncertainty. See docs/method.md, Percentiles.

No interpolation, no histogram: the order statistic of rank ceil(n q). Unanswered requests are lower
bounds. Requests in a queue depend on each other: n of them are worth far fewer independent ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from results.unloaded import student_t

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
# in the summary, by which gates are judged
SUMMARY_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
MIN_BEYOND = 10  # samples beyond a quantile before it is printed in black: p99 needs 1,000
MIN_BEYOND_GREY = 2  # enough for a lower bound, which claims less, and for a grey value
# of the effective size, found by simulation: it is too high when the sample lacks long queues. With
# it, .91 to .98 of the printed intervals contain the truth (M/D/c, c = 1, 6; rho .5, .7, .8; 300 to
# 40,000 requests); Wilson's plain interval does so in .88 to .93 for p95, .64 to .90 for p99. See
# `tests/reports/test_quantiles.py`.
_SIZE_DISCOUNT = 0.8
# restarts for an interval, and independent samples beyond the quantile of the median run
MIN_RUNS, _MIN_BEYOND_PER_RUN = 5, 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sample quantile (or mean) in seconds, or its bounds [low, high]; high may be infinite."""

    low: float
    high: float
    interval: tuple[float, float] | None = None  # 95 %
    beyond: float | None = None  # independent samples beyond it, where samples depend on each other

    @property
    def exact(self) -> float | None:
        """The value, unless unanswered requests leave it open."""
        return self.low if self.low == self.high else None

    @property
    def is_grey(self) -> bool:
        """Whether fewer than ten independent samples lie beyond: another run may differ."""
        return self.beyond is not None and self.beyond < MIN_BEYOND


def quantile_rank(count: int, q: float) -> int:
    """Return which of `count` ordered samples is quantile `q`: the ceil(n q)th."""
    return max(math.ceil(count * q - 1e-9), 1)


def quantile(values: Array, q: float) -> float:
    """Return the order statistic of rank ceil(n q) of a non-empty sample. O(n log n)."""
    return float(np.sort(values)[quantile_rank(len(values), q) - 1])


def is_supported(count: float, q: float, beyond: float = MIN_BEYOND) -> bool:
    """Return whether `beyond` of `count` independent samples lie beyond quantile `q`."""
    return count * (1 - q) >= beyond - 1e-9


def effective_sample_size(series: Array) -> float:
    """Return how many independent samples give as precise a mean as this series.

    n / (1 + 2 sum of autocorrelations), summed in pairs until a pair is not positive (Geyer 1992).
    O(n log n).
    """
    x, n = np.asarray(series, float) - np.mean(series), len(series)
    if n < 4 or not x.any():  # noqa: PLR2004 - one pair of autocorrelations takes four
        return float(n)
    f = np.fft.rfft(x, 1 << (2 * n - 1).bit_length())
    a = np.fft.irfft(f * f.conj())[:n]
    half = (n - 1) // 2
    pairs = (a[1 : 2 * half + 1] / a[0]).reshape(half, 2).sum(axis=1)
    ends = np.argmax(pairs <= 0) if (pairs <= 0).any() else half
    return float(min(n / (1 + 2 * pairs[:ends].sum()), n))


def wilson_ranks(count: int, q: float, size: float, z: float = 1.96) -> tuple[int, int]:
    """Return Wilson's interval for share `q` of `size` samples, as ranks 0 to n + 1 of `count`."""
    middle, scale = q + z * z / 2 / size, 1 + z * z / size
    half = z * math.sqrt(q * (1 - q) / size + z * z / 4 / size**2)
    low = math.floor(count * (middle - half) / scale)
    high = math.ceil(count * (middle + half) / scale) + 1
    return max(low, 0), min(high, count + 1)


def quantile_interval(latencies: Array, finished: Flags, q: float) -> tuple[float, float]:
    """Return the 95 % interval of quantile `q` of latencies in planned order; ends may be infinite.

    Wilson's interval with Student's t, on 0.8 of the effective size of the quantile's indicator.
    """
    low, high = np.sort(latencies), np.sort(np.where(finished, latencies, np.inf))
    n = len(low)
    worth = effective_sample_size((latencies >= low[quantile_rank(n, q) - 1]).astype(float))
    if q > 0.5:  # noqa: PLR2004 - a tail has too few visits to rely on alone
        worth = min(worth, effective_sample_size(latencies))
    size = max(_SIZE_DISCOUNT * worth, 1.0)
    i, j = wilson_ranks(n, q, size, student_t(max(size * min(q, 1 - q), 1)))
    return float(low[i - 1]) if i else -math.inf, float(high[j - 1]) if j <= n else math.inf


def estimate_quantile(
    latencies: Array, finished: Flags, q: float, effective_count: float | None = None
) -> Estimate | None:
    """Return quantile `q`, with unanswered requests as waited and as infinite; None if unsupported.

    `effective_count` is the effective size of the ranks, where samples (in planned order) depend on
    each other: one long queue has the least effect on ranks.
    """
    if not is_supported(len(latencies), q, MIN_BEYOND_GREY):
        return None
    low, high = quantile(latencies, q), quantile(np.where(finished, latencies, np.inf), q)
    if effective_count is None:
        return Estimate(low, high) if low < high or is_supported(len(latencies), q) else None
    if low == high and not is_supported(effective_count, q, MIN_BEYOND_GREY):
        return None
    has_interval = low == high and is_supported(effective_count, q)
    interval = quantile_interval(latencies, finished, q) if has_interval else None
    return Estimate(low, high, interval, effective_count * (1 - q))


def mean_margin(values: Array) -> tuple[float, float]:
    """Return the mean of independent values, and half the width of its 95 % interval."""
    half = student_t(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()), half


def restart_interval(
    values: Array | Sequence[float], beyond: Array | Sequence[float] | None = None
) -> tuple[float, float] | None:
    """Return the 95 % interval of a positive number over restarts: exp(mean ln +- t s / sqrt k).

    None with fewer than five runs, or where the median run has fewer than four independent samples
    `beyond` its quantile: such runs are all biased alike, and more of them do not help.
    """
    if len(values) < MIN_RUNS or (beyond is not None and np.median(beyond) < _MIN_BEYOND_PER_RUN):
        return None
    middle, half = mean_margin(np.log(values))
    return math.exp(middle - half), math.exp(middle + half)


def _fill_lower_bounds(estimates: dict[str, Estimate | None]) -> dict[str, Estimate | None]:
    """Give an unsupported quantile the lower bound of a lower quantile that is left open."""
    low, filled = None, {}
    for name, entry in estimates.items():
        filled[name] = Estimate(low, math.inf) if entry is None and low is not None else entry
        low = entry.low if entry and entry.exact is None else low
    return filled


@dataclass(frozen=True, slots=True)
class LatencyStats:
    """How long some requests took, in seconds from the planned time."""

    count: int
    mean: Estimate
    quantiles: dict[str, Estimate | None]
    longest: Estimate
    effective_count: float | None = None  # independent requests that they are worth, in one queue

    @classmethod
    def from_samples(
        cls, latencies: Array, finished: Flags, *, correlated: bool = False, tau: float = 1.0
    ) -> "LatencyStats | None":
        """Return mean, quantiles and longest, with bounds where answers lack. None if empty.

        `correlated`: an open load in planned order. `tau` requests are worth one independent one,
        by theory: near saturation a run without long queues cannot show that they are missing.
        """
        if not len(latencies):
            return None
        ends = (float(latencies.mean()), float(latencies.max()))
        mean, longest = (Estimate(end, end if finished.all() else np.inf) for end in ends)
        effective_count = None
        if correlated:
            # These decide what may be printed; ties share a rank.
            ranks = np.searchsorted(np.sort(latencies), latencies).astype(float)
            effective_count = min(effective_sample_size(ranks), len(latencies) / max(tau, 1.0))
            mean = replace(mean, beyond=effective_count / 2)
            if finished.all() and is_supported(effective_count, 0.5):  # as many as for the median
                size = _SIZE_DISCOUNT * effective_sample_size(latencies)
                # few degrees of freedom, as a tail makes the variance uncertain
                half = student_t(max(size / 10, 1)) * float(latencies.std(ddof=1)) / math.sqrt(size)
                mean = replace(mean, interval=(mean.low - half, mean.low + half))
        estimates = {
            name: estimate_quantile(latencies, finished, q, effective_count)
            for name, q in SUMMARY_QUANTILES.items()
        }
        return cls(len(latencies), mean, _fill_lower_bounds(estimates), longest, effective_count)
