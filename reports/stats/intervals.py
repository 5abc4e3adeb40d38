"""Confidence intervals from one run: a crowd's throughput, and how many were served at once.

A crowd's window is cut into batches with equally many answers, and the batches are compared (batch
means, Student's t). Answers of c places may come in clumps of c, so a batch must hold several
clumps, or the cut itself would look like chance.
"""

import math
from dataclasses import dataclass

import numpy as np

from reports.stats.quantiles import Array, mean_margin, restart_interval
from results.unloaded import student_t

_BATCHES = 8
_CLUMPS_PER_BATCH = 5  # clumps in a batch, at least
Interval = tuple[float, float]


def throughput_interval(done: Array, clump: float) -> Interval | None:
    """95 % interval of the answers per second.

    `done` holds their times. None when the batches would be too small.
    """
    size = (len(done) - 1) // _BATCHES
    if size < _CLUMPS_PER_BATCH * max(clump, 1.0):
        return None
    took = np.diff(np.sort(done)[: _BATCHES * size + 1 : size])
    mean, half = mean_margin(took)
    return (size / (mean + half), size / (mean - half)) if half < mean else None


def cost_interval(timestamps: Array, total: Array, done: Array) -> Interval | None:
    """95 % interval of the cost of an answer, from samples of a running total and answer times.

    Uses the ratio of sums, since a batch may hold many answers or none. None when there are too few
    samples to cut.
    """
    size = (len(timestamps) - 1) // _BATCHES
    if size < 1:
        return None
    edges = np.arange(_BATCHES + 1) * size
    costs, answers = (
        np.diff(total[edges]),
        np.diff(np.searchsorted(np.sort(done), timestamps[edges])),
    )
    if not answers.any():
        return None
    ratio = float(costs.sum() / answers.sum())
    spread = float(np.sum((costs - ratio * answers) ** 2)) / (_BATCHES * (_BATCHES - 1))
    half = student_t(_BATCHES - 1) * math.sqrt(spread) / float(answers.mean())
    return max(0.0, ratio - half), ratio + half


def product_interval(
    rate: float, rates: Interval | None, service: float, services: Interval | None
) -> Interval | None:
    """Interval of served at once from two independent measurements.

    None when either has no interval.

    A lower end at or below 0, as few lone requests may have, makes the product's lower end 0.
    """
    if rates is None or services is None:
        return None
    if min(rate, service, rates[1], services[1]) <= 0:
        return None
    up = math.hypot(math.log(rates[1] / rate), math.log(services[1] / service))
    if min(rates[0], services[0]) <= 0:
        return 0.0, rate * service * math.exp(up)
    down = math.hypot(math.log(rates[0] / rate), math.log(services[0] / service))
    return rate * service * math.exp(-down), rate * service * math.exp(up)


@dataclass(frozen=True, slots=True)
class RepeatedValue:
    """One number of a route per restart; all positive, in the order of the repeats."""

    values: tuple[float, ...]
    # independent requests beyond the quantile, run by run, where requests queue
    beyond: tuple[float, ...] | None = None

    @property
    def estimate(self) -> float:
        """The geometric mean."""
        return math.exp(float(np.mean(np.log(self.values))))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval; None with fewer than five runs."""
        return restart_interval(self.values, None if self.beyond is None else np.array(self.beyond))

    @property
    def variation(self) -> float:
        """Coefficient of variation between runs."""
        return float(np.std(self.values, ddof=1) / np.mean(self.values))
