"""One burst of requests at one instant: when each was sent, worked on and answered."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reports.stats.quantiles import LatencyStats


@dataclass(frozen=True, slots=True)
class BurstMetrics:
    """One burst: times since its start, ordered by the handler's start. NaN without a probe."""

    cell: str
    size: int
    sent: list[float]
    handler_start: list[float]
    handler_end: list[float]
    done: list[float]
    timer: list[float]  # of a timer inside the app, seconds
    latency: LatencyStats | None

    @property
    def has_handler_times(self) -> bool:
        """Whether the probe saw every handler begin and end."""
        return bool(self.size) and bool(np.isfinite([*self.handler_start, *self.handler_end]).all())

    def count_answer_steps(self, service: float | None) -> int:
        """Count the distinct times of answers: half an unloaded, or the first, latency apart."""
        answer_times = sorted(filter(math.isfinite, self.done))
        if not answer_times:
            return 0
        min_gap = min(service or math.inf, answer_times[0]) / 2
        return 1 + sum(later - earlier > min_gap for earlier, later in pairwise(answer_times))
