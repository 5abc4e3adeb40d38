"""The numbers of a run: per route its levels, burst and neighbours. No judgement yet, and no picture.

Everything later - trust, findings, claims, charts, page, summary - reads a `Study` and nothing else.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.capacity import served_at_once
from reports.percentiles import Estimate
from reports.windows import Little

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the requests of a cell: all that were planned, none left out."""

    cell: str
    planned: int
    sent: int
    unfinished: int
    errors: int
    little: Little | None
    has_window: bool  # a burst has none, so Little's law is not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One crowd in its window. Latencies in seconds, from the planned moment; `cpu` is the server's share of one core."""

    cell: str
    users: int
    seconds: float
    count: int
    rate: float
    completed: int
    unfinished: int
    errors: int
    mean: Estimate
    quantiles: dict[str, Estimate | None]
    longest: Estimate
    starved: int  # users who got fewer than half as many answers as the median user
    little: Little | None
    predicted_mean: float | None
    cpu: float | None
    threads_waiting: float | None
    executor_queue: float | None
    inside: dict[str, float]  # quantiles of what a timer inside the app saw


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: per request the moments since the cue, ordered by the handler's begin. NaN where no probe knew."""

    cell: str
    size: int
    sent: list[float]
    begin: list[float]
    end: list[float]
    done: list[float]

    @property
    def has_handler_moments(self) -> bool:
        """Whether the probe saw every handler begin and end."""
        return bool(self.size) and bool(np.isfinite([*self.begin, *self.end]).all())


@dataclass(frozen=True, slots=True)
class Bystander:
    """One innocent route: p90 alone and beside the loaded route, with the number of pings; None when not supported."""

    kind: str
    idle: Estimate | None
    loaded: Estimate | None
    idle_pings: int
    loaded_pings: int

    @property
    def ratio(self) -> float | None:
        """How many times longer p90 is under load, at least."""
        return self.loaded.low / self.idle.low if self.loaded and self.idle else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One variant's numbers."""

    route: str
    variant: str
    service: float | None
    places: float | None  # how many its mechanism should serve at once; None for no limit
    mechanism: str | None
    executor: float | None  # threads of the loop's default executor, as the app's probe saw them
    levels: tuple[Level, ...]
    burst: Burst | None
    bystanders: dict[str, Bystander]

    @property
    def top(self) -> Level | None:
        """The largest crowd that was measured."""
        return self.levels[-1] if self.levels else None

    @property
    def waiting(self) -> float | None:
        """Share of the top level's mean latency that a request did not spend being served."""
        if not self.top or self.service is None or self.top.mean.low <= 0:
            return None
        return max(0.0, 1 - self.service / self.top.mean.low)

    @property
    def served(self) -> float | None:
        """Requests served at once, measured at the top level."""
        return served_at_once(self.top.rate, self.service) if self.top and self.service else None


@dataclass(frozen=True, slots=True)
class Study:
    """All numbers of a run. `missing` names the cells that were planned and not measured to their end."""

    run: dict[str, Any]
    routes: tuple[Route, ...]
    tallies: tuple[Tally, ...]
    missing: tuple[str, ...]

    def route(self, variant: str) -> Route | None:
        """The route of a variant, if any of it was measured."""
        return next((one for one in self.routes if one.variant == variant), None)
