"""The numbers of a run: per route its levels, burst and neighbours. No judgement yet, and no picture.

Everything later - trust, findings, claims, charts, page, summary - reads a `Study` and nothing else.
"""

import math
from dataclasses import dataclass
from typing import Any

from reports.metrics.breakdown import Split
from reports.metrics.burst import Burst
from reports.metrics.fairness import Turns
from reports.metrics.run_health import Health
from reports.metrics.steady_state import Little
from reports.stats.intervals import Interval, Restarts, product
from reports.stats.model import Places, Replayed, Spectrum
from reports.stats.quantiles import Estimate, Latency
from reports.stats.queueing import saturated, served_at_once
from reports.stats.stationarity import Steadiness
from results.unloaded import Quartiles, Unloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the requests of a cell: all that were planned, none left out."""

    cell: str
    planned: int
    silent: int  # of them, those that left not even a row
    sent: int
    unfinished: int
    errors: int
    little: Little | None
    has_window: bool  # a burst has none, so Little's law is not asked
    is_aside: bool  # the neighbours beside a load: their generator and their machine are that load's
    health: Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One crowd in its window. Latencies in seconds, from the planned moment; `cpu` is the server's share of one core."""

    cell: str
    users: int
    repeat: int
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
    steadiness: Steadiness | None
    inside: dict[str, float]  # quantiles of what a timer inside the app saw
    split: Split | None  # where the mean latency was spent; None where no probe saw it
    turns: Turns | None = None  # of the whole cell, where an experiment is about the order of service
    rates: Interval | None = None  # 95 % interval of the rate
    cost: Interval | None = None  # and of the CPU seconds per right answer; what the neighbours cost is in it
    quartiles: Quartiles | None = None  # of the latencies that were answered
    spread: float = 0.0  # of the same: standard deviation over mean
    lull: float = 0.0  # seconds of the window without an answer, at most; 0 where none came any more
    think: float = 0.0  # seconds that each user pauses between an answer and its next request

    @property
    def edge(self) -> float:
        """Up to which share of the users Little's residual says nothing: what lies across the window's edges anyway."""
        return max(0.03, self.mean.low / self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One load of the open model: requests that left at a rate, whatever became of the earlier ones."""

    cell: str
    nominal: float  # requests per second that were asked for, on average
    peak: float  # and at most
    law: str
    share: float | None  # of the capacity measured before, as the plan asked for it
    repeat: int
    seconds: float  # from the first moment of the schedule to the close of the window
    planned: int
    sent: int
    refused: int  # planned and never sent: the cap on requests in flight was reached
    rate: float  # sent per second, realised
    completed: int  # right answers until the close
    throughput: float  # right answers per second, inside the window
    backlog: int  # in flight at the close
    unfinished: int
    errors: int
    latency: Latency | None  # of what was planned inside the window
    floor: float | None  # latency without a queue: in place and on the way, else of the quickest twentieth of the right answers
    lateness: float | None  # p99 of sent - intended
    arrivals: tuple[tuple[int, float, float], ...]  # of the schedule and of the sends: gaps, their CV, p of the KS test
    growth: float  # requests in flight, per second of window
    capacity: float | None  # of the route's largest crowd in this run, where that was saturated
    overloaded: bool
    places: int | None  # how many are served at once, where that is known and explains the load
    busy: float | None  # and how long each takes in place
    steadiness: Steadiness | None  # of measured over replayed, where a replay explains the load
    served: Places  # how that is known, or what is known instead
    replayed: Replayed | None
    starved: float | None  # share of the connections
    spectrum: Spectrum | None

    @property
    def predicted_growth(self) -> float | None:
        """What requests in flight should grow by, per second of overload: arrivals minus c / D."""
        return self.rate - self.places / self.busy if self.overloaded and self.places and self.busy else None


@dataclass(frozen=True, slots=True)
class Missing:
    """A cell that was planned and not measured to its end, as far as it came."""

    cell: str
    planned: int
    sent: int
    answered: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bystander:
    """One innocent route: p90 alone and beside the loaded route, with the number of pings; None when not supported."""

    kind: str
    idle: Estimate | None
    loaded: Estimate | None
    idle_pings: int
    loaded_pings: int
    predicted: float | None  # seconds: its p90 behind a replay of the crowd, where the crowd holds the loop

    @property
    def ratio(self) -> float | None:
        """How many times longer p90 is under load, at least."""
        return self.loaded.low / self.idle.low if self.loaded and self.idle else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One variant's numbers."""

    route: str
    variant: str
    service: float | None  # mean latency of a lone user
    services: Interval | None  # 95 % interval of it
    places: float | None  # how many its mechanism should serve at once; None for no limit
    mechanism: str | None
    executor: float | None  # threads of the loop's default executor, as the app's probe saw them
    pinned: str = ""  # that we made it smaller, and why
    levels: tuple[Level, ...]
    offered: tuple[Offered, ...]
    bursts: tuple[Burst, ...]
    bystanders: dict[str, Bystander]
    restarts: dict[str, Restarts]  # the top level's numbers, by their name in the summary, where its server was restarted
    unloaded: Unloaded | None = None  # the same mean, with the slow requests that a lone user did not meet

    @property
    def burst(self) -> Burst | None:
        """The first burst, if there was one."""
        return self.bursts[0] if self.bursts else None

    @property
    def top(self) -> Level | None:
        """The largest crowd that was measured; of its repeats the one in the middle, by throughput."""
        return self.steps[-1] if self.steps else None

    @property
    def steps(self) -> tuple[Level, ...]:
        """One level for each size of a crowd: of its repeats the one in the middle, by throughput."""
        alike = [[one for one in self.levels if one.users == users] for users in dict.fromkeys(one.users for one in self.levels)]
        return tuple(sorted(group, key=lambda one: one.rate)[(len(group) - 1) // 2] for group in alike)

    @property
    def alone(self) -> float | None:
        """Mean seconds inside the handler with one user: what the work itself takes."""
        found = [level.split.served for level in self.levels if level.users == 1 and level.split]
        return sum(found) / len(found) if found else None

    @property
    def capacity(self) -> float | None:
        """Requests per second that the route can answer; None when no crowd was large enough to show it.

        A crowd that the longest unloaded time explains, of those that the lone requests allow, has shown nothing.
        """
        longest = self.unloaded.most if self.unloaded else self.service
        return saturated(self.top.users, self.top.rate, longest, self.top.think) if self.top else None

    @property
    def waiting(self) -> float | None:
        """Share of the top level's mean latency that a request did not spend being served; 0 where chance explains it."""
        if not self.top or self.service is None or self.top.mean.low <= 0:
            return None
        if self.unloaded and self.top.mean.low <= self.unloaded.most:
            return 0.0
        return max(0.0, 1 - self.service / self.top.mean.low)

    @property
    def served(self) -> float | None:
        """Requests served at once, measured at the top level: at least so many where no capacity was seen."""
        return self.served_at(self.top) if self.top and self.service else None

    def served_at(self, level: Level) -> float:
        """The same at one level, in places."""
        return served_at_once(level.rate, self.service or 0.0, level.users, level.think)

    @property
    def served_between(self) -> Interval | None:
        """95 % interval of served at once; None where the window is too short to tell."""
        if not self.top or not self.service:
            return None
        found = product(self.top.rate, self.top.rates, self.service, self.services)
        if not found or not self.services:
            return None
        most = served_at_once(math.inf, self.services[1], self.top.users, self.top.think)
        return min(found[0], most), min(found[1], most)


@dataclass(frozen=True, slots=True)
class Study:
    """All numbers of a run. `missing` holds the cells that were planned and not measured to their end.

    `experiments` are what a reproduction asks beside its variants, to judge single claims.
    """

    run: dict[str, Any]
    routes: tuple[Route, ...]
    tallies: tuple[Tally, ...]
    missing: tuple[Missing, ...]
    experiments: tuple[Route, ...] = ()  # variants under conditions of their own, such as `broken-async uvloop cold`
    floor: float | None = None  # seconds: p99 of a route that does nothing, asked at the rate of the busiest cell

    @property
    def everything(self) -> tuple[Route, ...]:
        """All routes that were measured."""
        return (*self.routes, *self.experiments)

    @property
    def reproduces(self) -> bool:
        """Whether this is about the lesson: our own target, known variants, claims to judge."""
        return self.run["command"] in {"reproduce", "claims"}

    def is_planned(self, needs: tuple[str, ...]) -> bool:
        """Whether the run was to measure all of this: beginnings of cells' names, and `asked/<act>` for questions."""
        planned = [cell["name"] for cell in self.run["plan"]["cells"]] + [f"asked/{act}" for act in self.run.get("asks", {})]
        planned += [cell for one in self.run.get("skipped", {}).values() for cell in one["cells"]]
        return all(any(name.startswith(need) for name in planned) for need in needs)

    def absent(self, needs: tuple[str, ...]) -> str | None:
        """What the target itself said of a part that it lacks, if one of these needs it."""
        for act, one in self.run.get("skipped", {}).items():
            if any(name.startswith(need) for name in (*one["cells"], f"asked/{act}") for need in needs):
                return str(one["why"])
        return None

    def told(self, act: str, path: str) -> list[dict[str, Any]]:
        """What the target answered to a question of an act, before the load and after it: status and body."""
        return [one[path] for one in self.run.get("told", {}).get(act, {}).get("answers", []) if path in one]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was sent at all."""
        return not self.tallies and not any(one.planned for one in self.missing)

    def route(self, variant: str) -> Route | None:
        """The route of a variant, or of an experiment with one, if any of it was measured."""
        return next((one for one in (*self.routes, *self.experiments) if one.variant == variant), None)
