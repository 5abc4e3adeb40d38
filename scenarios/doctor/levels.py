"""The load levels of one route: one user, a few with both neighbours, many, and follow-ups.

The smoke test's service time sets the durations. Users and requests limit the load, never a rate: a
cap makes a plateau of its own. Where 64 users would send more than one load generator can, they
pause; the closed model's response time law includes such think time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from results.gate_expression import GateLevel
from results.judgement.model import LevelEvidence
from results.judgement.observe import BURST_REPEAT
from results.schema import Cell, Neighbour, Scenario
from results.thresholds import FEW_USERS, MANY_USERS, MIN_WINDOW_SECONDS
from results.unloaded import MAX_RELATIVE_ERROR, UnloadedLatency
from scenarios.plans.cells import Target, Times, poisson_arrivals, repeat_cell

MAX_ROUTE_REQUESTS = 20_000  # requests per route, all its levels together
OWN_LEVELS = 5  # of ours, at most: each gets an equal share of the requests, gates get the rest
MAX_GENERATOR_RATE = 1500.0  # requests per second that one generator sends with ease
_MAX_BYTES_PER_SECOND = 500e6  # bytes per second that it reads with ease: its limit is 1,700 MB/s
_MAX_BYTES_IN_FLIGHT = 512_000_000  # bytes of answers in flight: apps may keep them in memory
_PINGS_PER_LEVEL = 130  # per neighbour of the idle app: above 100, enough for a p90
_LEAST_PINGS = 25  # in the planned window, however long they wait
_MAX_PINGS_IN_FLIGHT, _USUAL_WAIT = 300.0, 2.5  # of a neighbour, and seconds that one may wait
_PING_RATE = 100.0  # pings per second and neighbour: 80 in the shortest window
_MAX_GATE_WINDOW = 60.0  # seconds of one level of a gate, at most
_MAX_SINGLE_WINDOW = 10.0  # seconds of a single user, to get a precise mean
_MAX_CYCLES_WINDOW = 12.0  # seconds of a window, to get whole cycles
MIN_WARM_UP = 0.25  # seconds
_PROFILE_WINDOW = 1.0  # seconds of looks at 20 Hz
_SPARE_DRAIN = 2.0  # seconds of a drain that are rarely needed
# a window may close after so many seconds, of a crowd and of a lone user, once its mean latency is
# known to within this share
_LEAST_CROWD, _LEAST_LONE, _PRECISION = 0.8, 0.4, 0.05
# seconds, and unloaded latencies, without any answer after which a level ends
_PATIENCE_SECONDS, _PATIENCE_RATIO = 2.0, 5.0
_LONGEST_RATIO = 2.5  # times the longest answer so far, for routes whose times differ much
_LONE_PATIENCE = 10.0  # seconds: a lone user shuts no other out
_ROUND_PATIENCE = 1.5  # times a round of all users at the rate of a plateau
_COMPUTING_PATIENCE = 1.5  # times what all its users compute, who may all be answered at once


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
    longest: float = 0.0  # seconds of the longest answer so far
    cpu_time: float = 0.0  # CPU seconds per request of a lone user, as far as known

    def why_too_large(self, *cells: Cell) -> str | None:
        """Return why the answers are too large for these cells; None if they are not."""
        users = max(cell.arrivals.cap if cell.arrivals else cell.users for cell in cells)
        if users * self.answer_bytes <= _MAX_BYTES_IN_FLIGHT:
            return None
        return (
            f"its answer of {self.answer_bytes / 1e6:,.0f} MB is too large to load {users} times at"
            f" once: at most {_MAX_BYTES_IN_FLIGHT // self.answer_bytes}, or"
            f" {_MAX_BYTES_IN_FLIGHT / 1e6:,.0f} MB"
        )

    @property
    def _target(self) -> Target:
        return Target(variant=self.route, route=self.route, path=self.path, server=self.session)

    @property
    def _max_requests(self) -> int:
        """Requests of one level of ours, at most."""
        return self.requests // OWN_LEVELS

    def crowd_cell(self, users: int, window: float, *, with_neighbours: bool = False) -> Cell:
        """Return a closed-model level of that many users, with both neighbours or alone."""
        read_time = users * self.answer_bytes / _MAX_BYTES_PER_SECOND
        think_time = max(0.0, max(users / MAX_GENERATOR_RATE, read_time) - self.service_time)
        cycle = self.service_time + think_time
        # the window then opens in the middle of a round: half a cycle later
        warm_up = max(MIN_WARM_UP, cycle / 2)
        times = Times(warm_up, max(window, 1.9 * cycle), self._drain_time(users))
        cell = self._target.closed_loop_cell(users, times, self.service_time, think_time)
        neighbours = self._neighbours_for(users, window) if with_neighbours else ()
        least = _LEAST_LONE if users == 1 else _LEAST_CROWD
        shortest = _LONE_PATIENCE if users == 1 else _PATIENCE_SECONDS
        usual = max(_PATIENCE_RATIO * self.service_time, _LONGEST_RATIO * self.longest)
        patience = max(shortest, usual) + _COMPUTING_PATIENCE * users * self.cpu_time
        cell = replace(cell, most=self._max_requests, longest=_MAX_CYCLES_WINDOW, least=least)
        return replace(cell, neighbours=neighbours, precision=_PRECISION, patience=patience)

    def _drain_time(self, users: int) -> float:
        return min(10.0, _SPARE_DRAIN + (2 + users) * self.service_time)

    def _neighbours_for(self, users: int, window: float) -> tuple[Neighbour, ...]:
        """Return both neighbours at the rate that a p90 takes.

        Lower if they cost the app much, or wait so long that they take too many connections.
        """
        # a few users may hold the loop for all of their time; many then hold it at most for what
        # they compute. A rare hold may be longer than the usual service time.
        hold_time = self.service_time if users <= FEW_USERS else self.cpu_time
        longest_wait = max(_USUAL_WAIT, 3 * users * hold_time)
        rate = _MAX_PINGS_IN_FLIGHT / (1.2 * longest_wait)
        rate = min(_PING_RATE, max(rate, _LEAST_PINGS / window))
        if self.ping_cost:
            rate = min(rate, max(1.0, 0.05 / self.ping_cost))
        connections = int(min(_MAX_PINGS_IN_FLIGHT, 1.2 * longest_wait * rate + 24))
        return tuple(replace(it, rate=rate, connections=connections) for it in self.neighbours)

    def why_too_few_requests(self, *cells: Cell) -> str | None:
        """Return why the request limit is too low, and which suffices; None if it is enough."""
        needed = max(map(self.requests_needed, cells))
        if needed <= self._max_requests:
            return None
        most_needed = max(needed, self.requests_needed(self.many_users_cell(None)))
        return (
            f"--requests {self.requests:,} allows {self._max_requests:,} for each level, too few"
            f" for one that may need {needed:,.0f} before it shows anything: --requests"
            f" {sufficient_requests(most_needed):,}"
        )

    def requests_needed(self, cell: Cell) -> float:
        """Return the requests until a window is long enough to be useful, if nothing queues."""
        cycle = self.service_time + cell.think
        return cell.users / cycle * (max(MIN_WARM_UP, cycle) + MIN_WINDOW_SECONDS)

    def single_user_cell(self) -> Cell:
        """Return one user: the unloaded service time."""
        return self.crowd_cell(1, _clamp_value(12 * self.service_time, 0.8, 3.0))

    def longer_single_user_cell(self, known: UnloadedLatency, repeat: int) -> Cell:
        """Return one user until its mean should be precise, within a time limit."""
        error = max(known.worst_case - known.mean, known.mean - known.low)
        error_ratio = error / (MAX_RELATIVE_ERROR * known.mean)
        window = _clamp_value(12 * known.mean * error_ratio**2, 1.0, _MAX_SINGLE_WINDOW)
        return repeat_cell(replace(self.crowd_cell(1, window), precision=0.0), repeat)

    def few_users_cell(self) -> Cell:
        """Return a few users: a blocked loop shows here already, and drains soon."""
        window = _clamp_value(2 * FEW_USERS * self.service_time, 1.2, 6.0)
        return self.crowd_cell(FEW_USERS, window, with_neighbours=True)

    def many_users_cell(self, rate: float | None, scatter: float = 0.0) -> Cell:
        """Return many users: every pool of a usual size shows.

        `rate` is the plateau of the few users, if any; `scatter` the spread of their latencies.
        Where a request queues more than once, or a loop answers all at once, answers come in cycles
        of one per user: the window is a little shorter than two cycles and ends with the second.
        """
        # a count's variance grows with the square of the spread
        window = _clamp_value(10 * self.service_time * (1 + scatter**2), 2.0, 8.0)
        cell = self.crowd_cell(MANY_USERS, window, with_neighbours=True)
        if not rate:
            return cell
        cycle = MANY_USERS / rate
        window = _clamp_value(1.9 * cycle, cell.window, _MAX_CYCLES_WINDOW)
        warm_up = _clamp_value(cycle / 2, cell.warm_up, _MAX_CYCLES_WINDOW / 2)
        return _with_round_patience(replace(cell, window=window, warm_up=warm_up), rate)

    def middle_cell(self, users: int, rate: float, scatter: float = 0.0) -> Cell:
        """Return a level in between: it confirms a plateau at `rate` or refutes it."""
        window = 8 * self.service_time * (1 + scatter**2)
        return _with_round_patience(self.crowd_cell(users, _clamp_value(window, 1.2, 6.0)), rate)

    def longer_look_cell(self, seconds: float, repeat: int) -> Cell:
        """Return a few users with both neighbours for so many seconds, warm-up included."""
        cell = self.crowd_cell(FEW_USERS, seconds, with_neighbours=True)
        cell = replace(cell, precision=0.0, window=max(MIN_WINDOW_SECONDS, seconds - cell.warm_up))
        return repeat_cell(cell, repeat)

    def burst_cell(self, rate: float) -> Cell:
        """Return many users who start at one moment: what they need twice, all may lack."""
        cell = self.crowd_cell(MANY_USERS, 1.0, with_neighbours=True)
        return _with_round_patience(replace(repeat_cell(cell, BURST_REPEAT), stagger=0.0), rate)

    def half_capacity_cell(self, rate: float) -> Cell:
        """Return arrivals at half of the capacity `rate`, with both neighbours."""
        window = _clamp_value(16 / rate, 1.5, 3.0)
        neighbours = self._neighbours_for(FEW_USERS, window)
        return replace(self._open_model_cell(rate / 2, window), neighbours=neighbours)

    def _open_model_cell(self, rate: float, window: float) -> Cell:
        """Return open-model Poisson arrivals at a rate, in requests per second."""
        max_in_flight = min(MANY_USERS, max(1, _MAX_BYTES_IN_FLIGHT // max(1, self.answer_bytes)))
        arrivals = poisson_arrivals(rate, window + 0.5, warm=max_in_flight, cap=max_in_flight)
        times = Times(0.5, window, self._drain_time(1))
        cell = self._target.create_cell(Scenario.STEADY, rate, times, arrivals=arrivals)
        return replace(cell, most=self._max_requests, longest=_MAX_CYCLES_WINDOW)

    def watchdog_cell(self, users: int, window: float, repeat: int = 1) -> Cell:
        """Return a level with the watchdog."""
        cell = repeat_cell(self.crowd_cell(users, window), repeat)
        return replace(cell, name=f"{cell.name} watched", watched=True, precision=0.0)

    def profile_cell(self, users: int, *, is_silent: bool) -> Cell:
        """Return a level in which the agent looks where requests wait.

        Only where a level fell silent before, silence ends it.
        """
        cell = replace(self.crowd_cell(users, _PROFILE_WINDOW), precision=0.0, longest=0.0)
        warm_up = _clamp_value(self.service_time, MIN_WARM_UP, _PROFILE_WINDOW)
        cell = replace(cell, warm_up=warm_up, window=_PROFILE_WINDOW, stagger=0.0)
        cell = cell if is_silent else replace(cell, patience=0.0)
        return replace(cell, name=f"{cell.name} profiled", profiled=True)

    def gate_cells(
        self, levels: dict[GateLevel | None, int], measured: dict[int, LevelEvidence]
    ) -> Iterator[Cell]:
        """Yield the levels that gates need, with enough requests for their quantiles."""
        highest, sent = measured[max(measured)], sum(level.sent for level in measured.values())
        most = (self.requests - sent) // len(levels) if levels else 0
        counts_by_users: dict[int, int] = {}
        for level, count in levels.items():
            if level and level.unit == "/s":
                window = _clamp_value(1.2 * count / level.amount, 2.0, _MAX_GATE_WINDOW)
                yield replace(self._open_model_cell(level.amount, window), most=most)
            else:
                users = int(level.amount) if level else highest.users
                counts_by_users[users] = max(count, counts_by_users.get(users, 0))
        for users, count in counts_by_users.items():
            is_repeat = users in measured
            if is_repeat and measured[users].completed >= count:
                continue
            rate = min(
                users / max(self.service_time, users / MAX_GENERATOR_RATE),
                highest.rate * max(1.0, users / highest.users),
            )
            window = _clamp_value(1.2 * count / max(rate, 0.1), 1.0, _MAX_GATE_WINDOW)
            cell = replace(self.crowd_cell(users, window), most=most, precision=0.0)
            yield repeat_cell(cell, 2 if is_repeat else 1)


def _with_round_patience(cell: Cell, rate: float) -> Cell:
    """Return a cell that outlasts a round at a plateau's rate.

    Where a request queues twice for one place, the first answer comes with the last.
    """
    round_time = cell.users / rate if rate else 0.0
    return replace(cell, patience=max(cell.patience, _ROUND_PATIENCE * round_time))


def sufficient_requests(needed: float) -> int:
    """Return the limit of a route whose largest level needs so many requests, in full hundreds."""
    return 100 * math.ceil(needed * OWN_LEVELS / 100)


def _clamp_value(value: float, minimum: float, maximum: float) -> float:
    return min(max(value, minimum), maximum)


def level_duration(cell: Cell) -> float:
    """Return the expected seconds of a level, including connecting and draining."""
    return 0.5 + cell.warm_up + cell.window + max(0.0, cell.drain - _SPARE_DRAIN)


def idle_neighbours_cell(neighbours: tuple[Neighbour, ...], rate: float) -> Cell:
    """Return both neighbours without any other load."""
    window = 1.3 * _PINGS_PER_LEVEL / rate if rate > _PINGS_PER_LEVEL / 10 else 6.0
    target = Target(variant="idle", route="idle", path="", server="idle")
    cell = target.create_cell(Scenario.NEIGHBOURS, 0, Times(0.5, window, 5.0))
    pings = (replace(neighbour, rate=rate, connections=24) for neighbour in neighbours)
    return replace(cell, neighbours=tuple(pings))
