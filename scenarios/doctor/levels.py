"""The load levels of one route: one user, a few beside both neighbours, many, and follow-ups.

The service time is unknown beforehand, so the smoke test sets the durations. Load is bounded by
users and by requests, never by a rate: a cap makes a plateau of its own. Where even 64 users
without a pause would ask more of one load generator than it can do, they pause; a pause is think
time, which the closed model's response time law includes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from results.gate_expression import GateLevel
from results.schema import ArrivalDistribution, Arrivals, Cell, ConnectionMode, Neighbour, Scenario
from results.thresholds import FEW_USERS, MANY_USERS, MIN_WINDOW_SECONDS
from results.unloaded import MAX_RELATIVE_ERROR, UnloadedLatency
from scenarios.doctor.interim import InterimStats

MAX_ROUTE_REQUESTS = 20_000  # requests per route, all its levels together
OWN_LEVELS = 5  # of ours, at most: each gets an equal share of the requests, gates get the rest
MAX_GENERATOR_RATE = 1500.0  # requests per second that one generator sends with ease
_MAX_BYTES_PER_SECOND = 500e6  # bytes per second that it reads with ease: its limit is 1,700 MB/s
_MAX_BYTES_IN_FLIGHT = 512_000_000  # bytes of answers in flight: apps may hold them in memory
_PINGS_PER_LEVEL = 130  # per neighbour and level: above 100, enough for a p90
# Users while the watchdog samples: it sees holds of 2 ms each when eight follow one another
_WATCHDOG_USERS = 8
_MAX_GATE_WINDOW = 60.0  # seconds of one level of a gate, at most
_MAX_SINGLE_WINDOW = 10.0  # seconds of a single user, to get a precise mean
_MAX_CYCLES_WINDOW = 12.0  # seconds of a window, to get whole cycles
MIN_WARM_UP = 0.25  # seconds
_SPARE_DRAIN = 2.0  # seconds of a drain that are rarely needed
HALF_CAPACITY = 0.5  # of the capacity: tells a blocked loop from a busy one


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPlanner:
    """Plans the cells of one route from its smoke test's service time and its neighbours."""

    session: str  # whose server answers
    route: str
    path: str
    service_time: float  # seconds
    neighbours: tuple[Neighbour, ...]  # each level sets their rates
    ping_cost: float  # seconds of app time per ping, at most; 0 where it costs nothing
    requests: int = MAX_ROUTE_REQUESTS
    answer_bytes: int = 0  # per answer

    def why_too_large(self, *cells: Cell) -> str | None:
        """Why the answers are too large for these cells; None if they are not."""
        users = max(cell.arrivals.cap if cell.arrivals else cell.users for cell in cells)
        if users * self.answer_bytes <= _MAX_BYTES_IN_FLIGHT:
            return None
        megabytes, max_megabytes, max_users = (
            self.answer_bytes / 1e6,
            _MAX_BYTES_IN_FLIGHT / 1e6,
            int(_MAX_BYTES_IN_FLIGHT / self.answer_bytes),
        )
        return (
            f"its answer of {megabytes:,.0f} MB is too large to load {users} times at once: at most"
            f" {max_users} are, {max_megabytes:,.0f} MB in all"
        )

    def crowd_cell(self, users: int, window: float, *, with_neighbours: bool = False) -> Cell:
        """A closed-model level of that many users, with both neighbours or alone."""
        think_time = max(
            0.0,
            users / MAX_GENERATOR_RATE - self.service_time,
            users * self.answer_bytes / _MAX_BYTES_PER_SECOND - self.service_time,
        )
        cycle = self.service_time + think_time
        return Cell(
            name=f"{Scenario.CROWD}/{self.route}/{users}",
            scenario=Scenario.CROWD,
            variant=self.route,
            route=self.route,
            path=self.path,
            expects="",
            users=users,
            warm_up=max(MIN_WARM_UP, cycle),
            window=max(window, 2.2 * cycle),
            drain=min(10.0, _SPARE_DRAIN + 2 * self.service_time + users * self.service_time),
            stagger=cycle * (1 - 1 / users),
            think=think_time,
            neighbours=self.neighbours_for(window, users) if with_neighbours else (),
            on=self.session,
            most=self.requests // OWN_LEVELS,
            longest=_MAX_CYCLES_WINDOW,
        )

    def neighbours_for(self, window: float, users: int) -> tuple[Neighbour, ...]:
        """Both neighbours, at the rate that a p90 takes; seldom if they cost the app a lot.

        The connections suffice for the pings in flight while request after request blocks the loop.
        """
        ping_rate = _PINGS_PER_LEVEL / window
        rate = min(ping_rate, max(1.0, 0.05 / self.ping_cost)) if self.ping_cost else ping_rate
        # A rare hold may be longer than the usual service time
        in_flight = max(3.0, 3 * users * self.service_time) * rate
        return tuple(
            replace(neighbour, rate=rate, connections=int(min(300.0, 1.2 * in_flight + 24)))
            for neighbour in self.neighbours
        )

    def why_too_few_requests(self, *cells: Cell) -> str | None:
        """Why the request limit ends these cells too early, and which limit suffices.

        None if the limit is high enough.
        """
        needed, most_needed = (
            max(map(self.requests_needed, cells)),
            max(map(self.requests_needed, (*cells, self.many_users_cell(None)))),
        )
        if needed <= self.requests // OWN_LEVELS:
            return None
        allowed = (
            f"--requests {self.requests:,} allows {self.requests // OWN_LEVELS:,} for each level,"
            " too few for one that may ask"
        )
        return (
            f"{allowed} {needed:,.0f} before it tells anything: --requests"
            f" {sufficient_requests(most_needed):,}"
        )

    def requests_needed(self, cell: Cell) -> float:
        """Requests until the window of a level is long enough to be useful, if nothing queues."""
        cycle = self.service_time + cell.think
        return cell.users / cycle * (max(MIN_WARM_UP, cycle) + MIN_WINDOW_SECONDS)

    def single_user_cell(self) -> Cell:
        """One user: the unloaded service time."""
        return self.crowd_cell(1, _clamp_value(12 * self.service_time, 0.8, 3.0))

    def longer_single_user_cell(self, known: UnloadedLatency) -> Cell:
        """The single user for longer: until its mean should be precise, within a time limit."""
        error_ratio = max(known.worst_case - known.mean, known.mean - known.low) / (
            MAX_RELATIVE_ERROR * known.mean
        )
        cell = self.crowd_cell(
            1, _clamp_value(12 * known.mean * error_ratio**2, 2.0, _MAX_SINGLE_WINDOW)
        )
        return replace(cell, repeat=3, name=f"{cell.name}~3")  # repeat 2 of any level is a gate's

    def few_users_cell(self) -> Cell:
        """A few users: a blocked loop shows here already, and drains soon."""
        return self.crowd_cell(
            FEW_USERS,
            _clamp_value(2 * FEW_USERS * self.service_time, 1.6, 6.0),
            with_neighbours=True,
        )

    def many_users_cell(self, rate: float | None, scatter: float = 0.0) -> Cell:
        """Many users: every pool of a usual size shows.

        `rate` is the plateau that the few users have shown, if any. `scatter` is the spread of the
        latencies: the larger it is, the more of them a mean takes. Where a request queues more than
        once, or a loop answers all at once, answers come in cycles of one per user: the window is
        planned a little shorter than two cycles and ends with the second.
        """
        cell = self.crowd_cell(
            MANY_USERS,
            _clamp_value(_widen_window(10 * self.service_time, scatter), 2.0, 8.0),
            with_neighbours=True,
        )
        if not rate:
            return cell
        cycle = MANY_USERS / rate
        window = _clamp_value(1.9 * cycle, cell.window, _MAX_CYCLES_WINDOW)
        return replace(
            cell,
            window=window,
            warm_up=_clamp_value(cycle, cell.warm_up, _MAX_CYCLES_WINDOW / 2),
            neighbours=self.neighbours_for(window, MANY_USERS),
        )

    def middle_cell(self, users: int, scatter: float = 0.0) -> Cell:
        """A level in between: it confirms a plateau or refutes it."""
        return self.crowd_cell(
            users, _clamp_value(_widen_window(8 * self.service_time, scatter), 1.2, 6.0)
        )

    def half_capacity_cell(self, rate: float) -> Cell:
        """Arrivals at half of a capacity (requests per second), with both neighbours."""
        return replace(
            self.open_model_cell(rate, 3.0), neighbours=self.neighbours_for(3.0, FEW_USERS)
        )

    def open_model_cell(self, rate: float, window: float) -> Cell:
        """Open-model Poisson arrivals at a rate, in requests per second."""
        max_in_flight = min(MANY_USERS, max(1, _MAX_BYTES_IN_FLIGHT // max(1, self.answer_bytes)))
        arrivals = Arrivals(
            law=ArrivalDistribution.POISSON,
            profile=((window + 0.5, rate, rate),),
            pool=ConnectionMode.WARM,
            warm=max_in_flight,
            cap=max_in_flight,
        )
        base_cell = replace(
            self.crowd_cell(1, window), stagger=0.0, think=0.0, users=0, warm_up=0.5, window=window
        )
        return replace(
            base_cell,
            name=f"{Scenario.STEADY}/{self.route}/{rate:g}",
            scenario=Scenario.STEADY,
            arrivals=arrivals,
        )

    def watchdog_cell(self, hold_time: float) -> Cell:
        """A level with the watchdog; `hold_time` is how long a request seems to block the loop."""
        cell = self.crowd_cell(_WATCHDOG_USERS, _clamp_value(25 * hold_time, 1.5, 5.0))
        return replace(cell, name=f"{cell.name} watched", watched=True)

    def gate_cells(
        self,
        levels: dict[GateLevel | None, int],
        stats_by_users: dict[int, InterimStats],
        *,
        is_blocked: bool,
    ) -> Iterator[Cell]:
        """The levels that gates need, with enough requests for their quantiles, limited in time."""
        highest_stats = stats_by_users[max(stats_by_users)]
        remaining = (
            self.requests
            - sum(stats.requests_sent for stats in stats_by_users.values())
            - (2 * (self.requests // OWN_LEVELS) if is_blocked else 0)
        )
        counts_by_users: dict[int, int] = {}
        for level, count in levels.items():
            if level and level.unit == "/s":
                yield replace(
                    self.open_model_cell(
                        level.amount,
                        _clamp_value(1.2 * count / level.amount, 2.0, _MAX_GATE_WINDOW),
                    ),
                    most=remaining // len(levels),
                )
            else:
                users = highest_stats.users if level is None else int(level.amount)
                counts_by_users[users] = max(count, counts_by_users.get(users, 0))
        for users, count in counts_by_users.items():
            if users not in stats_by_users or stats_by_users[users].successes < count:
                rate = min(
                    users / max(self.service_time, users / MAX_GENERATOR_RATE),
                    highest_stats.rate * max(1.0, users / highest_stats.users),
                )
                cell = replace(
                    self.crowd_cell(
                        users, _clamp_value(1.2 * count / max(rate, 0.1), 1.0, _MAX_GATE_WINDOW)
                    ),
                    most=remaining // len(levels),
                )
                yield (
                    replace(cell, repeat=2, name=f"{cell.name}~2")
                    if users in stats_by_users
                    else cell
                )


def sufficient_requests(needed: float) -> int:
    """The limit of a route whose largest level needs so many requests, in full hundreds."""
    return 100 * math.ceil(needed * OWN_LEVELS / 100)


def _clamp_value(value: float, minimum: float, maximum: float) -> float:
    return min(max(value, minimum), maximum)


def _widen_window(seconds: float, scatter: float) -> float:
    """A window for latencies of that spread: the variance of a count grows with its square."""
    return seconds * (1 + scatter**2)


def level_duration(cell: Cell) -> float:
    """Expected seconds of a level, including connecting and draining."""
    return 0.5 + cell.warm_up + cell.window + max(0.0, cell.drain - _SPARE_DRAIN)


def idle_neighbours_cell(neighbours: tuple[Neighbour, ...], rate: float) -> Cell:
    """Both neighbours without any other load."""
    window = 1.3 * _PINGS_PER_LEVEL / rate if rate > _PINGS_PER_LEVEL / 10 else 6.0
    return Cell(
        name=f"{Scenario.NEIGHBOURS}/idle/0",
        scenario=Scenario.NEIGHBOURS,
        variant="idle",
        route="idle",
        path="",
        expects="",
        users=0,
        warm_up=0.5,
        window=window,
        drain=5.0,
        neighbours=tuple(replace(neighbour, rate=rate, connections=24) for neighbour in neighbours),
        on="idle",
    )
