"""One burst of requests at one instant: when each was sent, worked on and answered."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reports.stats.quantiles import Latency


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: per request the moments since the cue, ordered by the handler's begin. NaN where no probe knew."""

    cell: str
    size: int
    sent: list[float]
    begin: list[float]
    end: list[float]
    done: list[float]
    timer: list[float]  # what a timer inside the app saw, seconds
    latency: Latency | None

    @property
    def has_handler_moments(self) -> bool:
        """Whether the probe saw every handler begin and end."""
        return bool(self.size) and bool(np.isfinite([*self.begin, *self.end]).all())

    def steps(self, service: float | None) -> int:
        """At how many moments the answers came, told apart by half of the unloaded time; where that is unknown, of the first answer's."""
        moments = sorted(moment for moment in self.done if math.isfinite(moment))
        if not moments:
            return 0
        least = min(service or math.inf, moments[0]) / 2
        return 1 + sum(later - earlier > least for earlier, later in pairwise(moments))
