"""Confidence intervals from one run: a crowd's throughput, and how many were served at once.

They compare batches of a crowd's window with equally many answers (batch means, Student's t). See
docs/method.md, Percentiles and their intervals.
"""

import math
from dataclasses import dataclass

import numpy as np

from reports.stats.quantiles import Array, mean_margin, restart_interval
from results.unloaded import student_t

_BATCHES = 8
# at least: answers of c places may come in clumps of c, and the cut would look like chance
_CLUMPS_PER_BATCH = 5
Interval = tuple[float, float]


def throughput_interval(done: Array, clump: float) -> Interval | None:
    """Return the 95 % interval of answers/s, from times `done` in clumps; None if they are few."""
    size = (len(done) - 1) // _BATCHES
    if size < _CLUMPS_PER_BATCH * max(clump, 1.0):
        return None
    mean, half = mean_margin(np.diff(np.sort(done)[: _BATCHES * size + 1 : size]))
    return (size / (mean + half), size / (mean - half)) if half < mean else None


def cost_interval(timestamps: Array, total: Array, done: Array) -> Interval | None:
    """Return the 95 % interval of the cost of an answer; None when there are too few samples.

    `total` is a running total at `timestamps`.
    """
    size = (len(timestamps) - 1) // _BATCHES
    if size < 1:
        return None
    edges = np.arange(_BATCHES + 1) * size
    costs = np.diff(total[edges])
    answers = np.diff(np.searchsorted(np.sort(done), timestamps[edges]))
    if not answers.any():
        return None
    ratio = float(costs.sum() / answers.sum())  # of sums: a batch may have no answer at all
    spread = float(np.sum((costs - ratio * answers) ** 2)) / (_BATCHES * (_BATCHES - 1))
    half = student_t(_BATCHES - 1) * math.sqrt(spread) / float(answers.mean())
    return max(0.0, ratio - half), ratio + half


def product_interval(
    rate: float, rates: Interval | None, service: float, services: Interval | None
) -> Interval | None:
    """Return the interval of served at once; None when one of both measurements has none."""
    if not rates or not services or min(rate, service, rates[1], services[1]) <= 0:
        return None
    low = 0.0
    if min(rates[0], services[0]) > 0:  # few lone requests may have a lower end below 0
        low = math.exp(-math.hypot(math.log(rates[0] / rate), math.log(services[0] / service)))
    high = math.exp(math.hypot(math.log(rates[1] / rate), math.log(services[1] / service)))
    return rate * service * low, rate * service * high


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
    def interval(self) -> Interval | None:
        """95 % interval; None with fewer than five runs."""
        return restart_interval(self.values, self.beyond)

    @property
    def variation(self) -> float:
        """Coefficient of variation between runs."""
        return float(np.std(self.values, ddof=1) / np.mean(self.values))
