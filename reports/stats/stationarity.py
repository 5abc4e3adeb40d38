"""Did a run stay one run? Warm-up, drift and steps of a series of latencies, judged by their size.

Queues wander by themselves: half of the steady minutes at rho .8 "drift" by a quarter or more. So
these functions need a series without this chance, in planned order: measured over replayed latency.
(The difference gives several times as many alarms.) See docs/method.md, Replay and theory.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reports.stats.quantiles import Array

_BATCH_SIZE = 5  # latencies per mean in MSER-5 (Spratt 1998)
_DRIFT_BINS = 20  # medians that a drift is drawn through
_MIN_VALUES = 25 * _DRIFT_BINS  # values; a median of fewer says little
_MAX_MEDIANS = 300  # medians, at most, in which steps are searched
_STEP_PENALTY = 15.0  # what a step must gain, in units of ln(number of medians)
_MIN_SEGMENT_SHARE = 0.1  # of the series: a shorter piece is one busy period, no new level
_MIN_LEVEL_CHANGE = 0.25  # relative difference from which two levels count as two


@dataclass(frozen=True, slots=True)
class Stationarity:
    """A load's warm-up share, relative drift, and the position (share) of its last level step."""

    warm_up_share: float
    drift: float
    last_step: float

    @classmethod
    def from_values(cls, values: Array) -> "Stationarity | None":
        """Return None with fewer than 25 values for each median."""
        if len(values) < _MIN_VALUES:
            return None
        last_step = max(detect_steps(values), default=0.0)
        return cls(detect_warm_up(values), relative_drift(values), last_step)


def detect_warm_up(values: Array) -> float:
    """Return the share to drop so that the rest is steadiest (MSER-5); beyond 0.5 it never settled.

    The smallest sum of squares about the mean of the rest, over the square of its length. MSER
    alone drops half of one steady run in ten, so both medians must differ by a quarter.
    """
    count = len(values) // _BATCH_SIZE
    if count <= _BATCH_SIZE:
        return 0.0
    means = np.array([batch.mean() for batch in np.array_split(values, count)])
    left, centred = np.arange(count, 0, -1), means - means.mean()
    total, squares = (np.cumsum(series[::-1])[::-1] for series in (centred, centred**2))
    spread = (squares - total**2 / left) / left.astype(float) ** 2
    # The last few batches are too few to be called steady.
    best = int(np.argmin(spread[: count - _BATCH_SIZE]))
    early, late = np.median(means[: max(best, 1)]), np.median(means[best:])
    return best / count if abs(early / late - 1) > _MIN_LEVEL_CHANGE else 0.0


def _batch_medians(values: Array, count: int) -> Array:
    return np.array([np.median(batch) for batch in np.array_split(values, count)])


def relative_drift(values: Array) -> float:
    """Return the relative change from start to end: Theil and Sen's slope through 20 medians."""
    if len(values) < _DRIFT_BINS:
        return 0.0
    medians = _batch_medians(values, _DRIFT_BINS)
    i, j = np.triu_indices(_DRIFT_BINS, 1)
    slope = np.median((medians[j] - medians[i]) / (j - i))
    return float(_DRIFT_BINS * slope / np.median(medians))


def detect_steps(values: Array) -> list[float]:
    """Return where the level jumps by a quarter: the cheapest partition of at most 300 medians.

    A piece of m medians costs m (ln(2 pi var) + 1), and each piece 15 ln n more (Jackson 2005:
    optimal partition). O(n^2).
    """
    n = min(_MAX_MEDIANS, len(values) // _BATCH_SIZE)
    shortest = max(3, round(_MIN_SEGMENT_SHARE * n))
    if n < 2 * shortest:
        return []
    medians = _batch_medians(values, n)
    centred = medians - medians.mean()
    total, squares = (np.append(0.0, np.cumsum(series)) for series in (centred, centred**2))
    floor = (1e-3 * abs(np.median(medians))) ** 2  # scatter below a thousandth does not count
    best, cut = np.full(n + 1, np.inf), np.zeros(n + 1, int)
    best[0] = 0.0
    for end in range(shortest, n + 1):
        begins = np.arange(end - shortest + 1)
        m = end - begins
        variance = (squares[end] - squares[begins]) / m - ((total[end] - total[begins]) / m) ** 2
        pieces = m * (np.log(2 * np.pi * np.maximum(variance, floor)) + 1)
        costs = best[begins] + pieces + _STEP_PENALTY * np.log(n)
        cut[end] = int(np.argmin(costs))
        best[end] = costs[cut[end]]
    cuts = [n]
    while cuts[0]:
        cuts.insert(0, int(cut[cuts[0]]))
    levels = [np.median(medians[begin:end]) for begin, end in pairwise(cuts)]
    return [
        at / n
        for at, (before, after) in zip(cuts[1:], pairwise(levels), strict=False)
        if abs(after / before - 1) > _MIN_LEVEL_CHANGE
    ]
