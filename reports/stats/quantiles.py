"""Quantiles from raw samples, with their doubt: unanswered requests are lower bounds, requests in a queue are relatives.

No interpolation, no histogram: the order statistic of rank ceil(n q), equal to numpy's
`inverted_cdf`. A quantile that the sample cannot support is not printed at all.

Requests in a queue share its luck, so n of them are worth far fewer. How few is itself an estimate,
and a run that was spared the rare long queue overrates it: printing by such a number favours lucky
runs, whose intervals are wrong. So
- what may be printed is decided by the effective size of the *ranks*, which one long queue moves
  least;
- an interval is printed only where ten of those lie beyond (no interval: grey), on the effective
  size of the quantile's own indicator (in the tail no more than the latencies themselves are
  worth), taken at 0.8 of its value, with Student's t. Of the intervals printed for M/D/c queues (c
  = 1, 6; rho .5, .7, .8; 300 to 40,000 requests) .91 to .98 hold the truth, and more only where a
  quantile sits on the atom R = D and cannot be missed. Wilson's plain interval, printed where ten
  of its own effective samples lie beyond, holds it in .88 to .93 for p95, .64 to .90 for p99. See
  `tests/reports/test_quantiles.py`.
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
SUMMARY_QUANTILES = {
    "p50": 0.50,
    "p90": 0.90,
    "p95": 0.95,
    "p99": 0.99,
    "p99.9": 0.999,
}  # in the summary, which gates are judged by
MIN_BEYOND = (
    10  # samples that must lie beyond a quantile before it is printed in black: p99 needs 1,000
)
MIN_BEYOND_GREY = (
    2  # enough for a lower bound, which claims less, and for a grey value of an open load
)
# of the effective size, found by simulation: it comes out high when the sample was spared long
# queues
_SIZE_DISCOUNT = 0.8
MIN_RUNS, _MIN_BEYOND_PER_RUN = (
    5,
    4,
)  # restarts for an interval over them, and what the median run must have beyond its quantile


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sample quantile (or mean) in seconds, or what is known of it: the truth lies in [low, high]; high may be infinite.

    `interval` is what chance leaves open at 95 %, where that can be promised; `beyond` how many
    independent samples lie beyond the quantile, where samples depend on each other.
    """

    low: float
    high: float
    interval: tuple[float, float] | None = None
    beyond: float | None = None

    @property
    def exact(self) -> float | None:
        """The value, when no unanswered request leaves it open."""
        return self.low if self.low == self.high else None

    @property
    def is_grey(self) -> bool:
        """Whether fewer than ten independent samples lie beyond it: another run may tell something else."""
        return self.beyond is not None and self.beyond < MIN_BEYOND


def quantile_rank(count: int, q: float) -> int:
    """Which of `count` ordered samples is quantile `q`: the ceil(n q)th."""
    return max(math.ceil(count * q - 1e-9), 1)


def quantile(values: Array, q: float) -> float:
    """The order statistic of rank ceil(n q) of a non-empty sample. O(n log n)."""
    return float(np.sort(values)[quantile_rank(len(values), q) - 1])


def is_supported(count: float, q: float, beyond: float = MIN_BEYOND) -> bool:
    """Whether `count` independent samples say enough about quantile `q`: at least ten (or `beyond`) lie beyond it."""
    return count * (1 - q) >= beyond - 1e-9


def effective_sample_size(series: Array) -> float:
    """How many independent samples are worth as much as this series, for its mean: n / (1 + 2 sum of autocorrelations).

    Summed in pairs until a pair is not positive (Geyer 1992). O(n log n).
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
    """Wilson's interval for a share `q` seen in `size` independent samples, as two ranks of `count`; 0 and n + 1 lie outside."""
    middle, scale = q + z * z / 2 / size, 1 + z * z / size
    half = z * math.sqrt(q * (1 - q) / size + z * z / 4 / size**2)
    low, high = (
        math.floor(count * (middle - half) / scale),
        math.ceil(count * (middle + half) / scale) + 1,
    )
    return max(low, 0), min(high, count + 1)


def quantile_interval(latencies: Array, finished: Flags, q: float) -> tuple[float, float]:
    """What chance leaves of quantile `q`; `latencies` in the order of the planned moments. An end may be infinite."""
    low, high = np.sort(latencies), np.sort(np.where(finished, latencies, np.inf))
    n, worth = (
        len(low),
        effective_sample_size((latencies >= low[quantile_rank(len(low), q) - 1]).astype(float)),
    )
    if q > 0.5:  # noqa: PLR2004 - a tail is visited too seldom to be believed alone
        worth = min(worth, effective_sample_size(latencies))
    size = max(_SIZE_DISCOUNT * worth, 1.0)
    i, j = wilson_ranks(n, q, size, student_t(max(size * min(q, 1 - q), 1)))
    return float(low[i - 1]) if i else -math.inf, float(high[j - 1]) if j <= n else math.inf


def _mean_interval(latencies: Array) -> tuple[float, float]:
    """What chance leaves of the mean; a queue's tail makes its variance uncertain, so few degrees of freedom are granted."""
    size, mean = _SIZE_DISCOUNT * effective_sample_size(latencies), float(latencies.mean())
    half = student_t(max(size / 10, 1)) * float(latencies.std(ddof=1)) / math.sqrt(size)
    return mean - half, mean + half


def estimate_quantile(
    latencies: Array, finished: Flags, q: float, effective_count: float | None = None
) -> Estimate | None:
    """Quantile `q` without any assumption about the unanswered ones: they took at least as long as they were waited for.

    Low takes every bound for the truth, high takes every unanswered request for endless. None when
    not supported. `independent` is the effective size of the ranks, where samples (in planned
    order) depend on each other.
    """
    if not is_supported(len(latencies), q, MIN_BEYOND_GREY):
        return None
    low, high = quantile(latencies, q), quantile(np.where(finished, latencies, np.inf), q)
    if effective_count is None:
        return Estimate(low, high) if low < high or is_supported(len(latencies), q) else None
    if low == high and not is_supported(effective_count, q, MIN_BEYOND_GREY):
        return None
    has_interval = low == high and is_supported(effective_count, q)
    return Estimate(
        low,
        high,
        quantile_interval(latencies, finished, q) if has_interval else None,
        effective_count * (1 - q),
    )


def restart_interval(
    values: Array | Sequence[float], beyond: Array | None = None
) -> tuple[float, float] | None:
    """95 % interval of a positive number from restarted runs: exp(mean ln +- t s / sqrt k). None of fewer than five.

    `beyond` says how many independent samples each run had beyond its quantile. None where the
    median run had fewer than four (n (1 - q) / tau = 2 in a queue): such runs are all biased alike,
    and more of them do not heal it.
    """
    if len(values) < MIN_RUNS or (beyond is not None and np.median(beyond) < _MIN_BEYOND_PER_RUN):
        return None
    logs = np.log(values)
    middle, half = (
        float(logs.mean()),
        student_t(len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs)),
    )
    return math.exp(middle - half), math.exp(middle + half)


def _fill_lower_bounds(estimates: dict[str, Estimate | None]) -> dict[str, Estimate | None]:
    """A quantile that so few samples cannot support is still at least what a lower one is that was left open."""
    low = None
    for name, entry in estimates.items():
        if entry is None and low is not None:
            estimates[name] = Estimate(low, math.inf)
        low = entry.low if entry and entry.exact is None else low
    return estimates


@dataclass(frozen=True, slots=True)
class LatencyStats:
    """How long some requests took, in seconds from the planned moment.

    `independent` says how many independent ones they are worth, where they queued with each other.
    """

    count: int
    mean: Estimate
    quantiles: dict[str, Estimate | None]
    longest: Estimate
    effective_count: float | None = None

    @classmethod
    def from_samples(
        cls, latencies: Array, finished: Flags, *, correlated: bool = False, tau: float = 1.0
    ) -> "LatencyStats | None":
        """Mean, quantiles and longest; bounds where some were not answered. None of no request.

        `correlated` for open loads: latencies in the order of the planned moments. `tau` of them
        are worth one where theory knows it: near saturation a run that was spared the long queues
        cannot know what it was spared.
        """
        if not len(latencies):
            return None
        ranks = np.searchsorted(np.sort(latencies), latencies).astype(
            float
        )  # what may be printed depends on these; ties share one
        effective_count = (
            min(effective_sample_size(ranks), len(latencies) / max(tau, 1.0))
            if correlated
            else None
        )
        ends = (float(latencies.mean()), float(latencies.max()))
        mean, longest = (Estimate(end, end if finished.all() else np.inf) for end in ends)
        if effective_count is not None:  # the mean asks for as many as the median
            has_interval = finished.all() and is_supported(effective_count, 0.5)
            mean = replace(
                mean,
                interval=_mean_interval(latencies) if has_interval else None,
                beyond=effective_count / 2,
            )
        estimates = {
            name: estimate_quantile(latencies, finished, q, effective_count)
            for name, q in SUMMARY_QUANTILES.items()
        }
        return cls(len(latencies), mean, _fill_lower_bounds(estimates), longest, effective_count)
