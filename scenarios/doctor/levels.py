"""What one route is asked, step by step: by one user, by a few beside both neighbours, by many; and what follows from that.

Nobody knows beforehand how long a route takes, so the polite requests set the durations. Load is bounded by users and by
requests, never by a rate: a cap makes a plateau of its own. Where even 64 users without a pause would ask more of one load
generator than it can do, they pause; a pause is think time, which the closed loop's law reckons with.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from results.gate_expression import Level
from results.schema import Arrivals, Cell, Law, Neighbour, Pool, Scenario
from results.thresholds import FEW, LEAST_WINDOW, MANY
from results.unloaded import SURE, Unloaded
from scenarios.doctor.interim import Seen

CEILING = 20_000  # requests per route, all its levels together
LEVELS = 5  # of our own, at most: each may have its part of them, and gates have what is left
FASTEST = 1500.0  # requests per second that one generator sends with room to spare
WIDEST = 500e6  # bytes per second that it reads with room to spare: it can take 1,700 MB/s
MOST_AT_ONCE = 512_000_000  # bytes of answers in flight: apps may hold them in memory
PINGS = 130  # per neighbour and level: 100 and some, so that there is a p90
WATCHERS = 8  # users while the watchdog looks: what is held for 2 ms each time is seen when eight follow one another
LONGEST = 60.0  # seconds that one level of a gate may take
LONGEST_LONE = 10.0  # seconds that a lone user may ask for the sake of a mean
LONGEST_LAPS = 12.0  # seconds that a window may take for the sake of whole rounds
SHORTEST_WARM_UP = 0.25  # seconds
SPARE = 2.0  # seconds of a drain that should not be needed
HALF = 0.5  # of the capacity, at which a held loop is told from a busy one


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedside:
    """How a route is asked: its name, its path, what its neighbours are, and how long it takes when asked politely."""

    act: str  # the server that answers
    route: str
    path: str
    service: float  # seconds
    neighbours: tuple[Neighbour, ...]  # their rates are set level by level
    patience: float  # seconds that one ping costs the app, at most; 0 where it costs nothing
    requests: int = CEILING
    size: int = 0  # bytes of one answer

    def too_large(self, *cells: Cell) -> str | None:
        """Why a level must not be asked for answers of that size; None where it may."""
        users = max(cell.arrivals.cap if cell.arrivals else cell.users for cell in cells)
        if users * self.size <= MOST_AT_ONCE:
            return None
        size, most, few = self.size / 1e6, MOST_AT_ONCE / 1e6, int(MOST_AT_ONCE / self.size)
        return f"its answer of {size:,.0f} MB is too large to load {users} times at once: at most {few} are, {most:,.0f} MB in all"

    def cell(self, users: int, window: float, *, beside: bool = False) -> Cell:
        """One level of a crowd; with both neighbours, or alone."""
        think = max(0.0, users / FASTEST - self.service, users * self.size / WIDEST - self.service)
        lap = self.service + think
        return Cell(
            name=f"{Scenario.CROWD}/{self.route}/{users}",
            scenario=Scenario.CROWD,
            variant=self.route,
            route=self.route,
            path=self.path,
            expects="",
            users=users,
            warm_up=max(SHORTEST_WARM_UP, lap),
            window=max(window, 2.2 * lap),
            drain=min(10.0, SPARE + 2 * self.service + users * self.service),
            stagger=lap * (1 - 1 / users),
            think=think,
            neighbours=self.pinged(window, users) if beside else (),
            on=self.act,
            most=self.requests // LEVELS,
            longest=LONGEST_LAPS,
        )

    def pinged(self, window: float, users: int) -> tuple[Neighbour, ...]:
        """Both neighbours, as often as a p90 takes; seldom where they cost the app a lot.

        Connections suffice for what is in flight when the loop is held by one request after another.
        """
        often = PINGS / window
        rate = min(often, max(1.0, 0.05 / self.patience)) if self.patience else often
        waiting = max(3.0, 3 * users * self.service) * rate  # a hold now and then may be longer than what the route usually takes
        return tuple(replace(one, rate=rate, connections=int(min(300.0, 1.2 * waiting + 24))) for one in self.neighbours)

    def too_few(self, *cells: Cell) -> str | None:
        """Why a ceiling would end levels before they tell anything, and how many requests would do; None where they suffice."""
        asked, fullest = max(map(self.asked, cells)), max(map(self.asked, (*cells, self.many(None))))
        if asked <= self.requests // LEVELS:
            return None
        allowed = f"--requests {self.requests:,} allows {self.requests // LEVELS:,} for each level, too few for one that may ask"
        return f"{allowed} {asked:,.0f} before it tells anything: --requests {enough(fullest):,}"

    def asked(self, cell: Cell) -> float:
        """Requests of a level until its window is long enough to tell anything, where nobody waits."""
        lap = self.service + cell.think
        return cell.users / lap * (max(SHORTEST_WARM_UP, lap) + LEAST_WINDOW)

    def alone(self) -> Cell:
        """One user: the unloaded service time."""
        return self.cell(1, bounded(12 * self.service, 0.8, 3.0))

    def alone_again(self, known: Unloaded) -> Cell:
        """The lone user for longer: until the mean should be known well enough, as far as anybody would wait for that."""
        reaches = max(known.most - known.mean, known.mean - known.low) / (SURE * known.mean)
        cell = self.cell(1, bounded(12 * known.mean * reaches**2, 2.0, LONGEST_LONE))
        return replace(cell, repeat=3, name=f"{cell.name}~3")  # the second of any level is a gate's

    def few(self) -> Cell:
        """A few users: a held loop shows here already, and drains soon."""
        return self.cell(FEW, bounded(2 * FEW * self.service, 1.6, 6.0), beside=True)

    def many(self, rate: float | None, scatter: float = 0.0) -> Cell:
        """Many users: every pool of a usual size shows. `rate` is the plateau that the few have shown already, if they have.

        `scatter` is the spread of the latencies: where it is large, a mean takes more of them.
        Where a request queues more than once, or a loop answers all at once, answers come in rounds of as many as there are
        users: the window is planned a little shorter than two, and ends with the second.
        """
        cell = self.cell(MANY, bounded(longer(10 * self.service, scatter), 2.0, 8.0), beside=True)
        if not rate:
            return cell
        lap = MANY / rate
        window = bounded(1.9 * lap, cell.window, LONGEST_LAPS)
        return replace(
            cell, window=window, warm_up=bounded(lap, cell.warm_up, LONGEST_LAPS / 2), neighbours=self.pinged(window, MANY)
        )

    def between(self, users: int, scatter: float = 0.0) -> Cell:
        """A level in the middle: a plateau is one only if it is there too."""
        return self.cell(users, bounded(longer(8 * self.service, scatter), 1.2, 6.0))

    def half(self, rate: float) -> Cell:
        """Arrivals at half of a capacity in requests per second, with both neighbours: whom it harms while there is room."""
        return replace(self.arriving(rate, 3.0), neighbours=self.pinged(3.0, FEW))

    def arriving(self, rate: float, window: float) -> Cell:
        """Arrivals at a rate."""
        most = min(MANY, max(1, MOST_AT_ONCE // max(1, self.size)))  # in flight at once
        arrivals = Arrivals(law=Law.POISSON, profile=((window + 0.5, rate, rate),), pool=Pool.WARM, warm=most, cap=most)
        still = replace(self.cell(1, window), stagger=0.0, think=0.0, users=0, warm_up=0.5, window=window)
        return replace(still, name=f"{Scenario.STEADY}/{self.route}/{rate:g}", scenario=Scenario.STEADY, arrivals=arrivals)

    def watched(self, hold: float) -> Cell:
        """A second look with a watchdog inside: `hold` is how long the loop seems to be held per request."""
        cell = self.cell(WATCHERS, bounded(25 * hold, 1.5, 5.0))
        return replace(cell, name=f"{cell.name} watched", watched=True)

    def demanded(self, levels: dict[Level | None, int], looks: dict[int, Seen], *, held: bool) -> Iterator[Cell]:
        """The levels of somebody's gates, each with as many requests as its quantile takes, as long as anybody would wait."""
        highest = looks[max(looks)]
        left = self.requests - sum(one.sent for one in looks.values()) - (2 * (self.requests // LEVELS) if held else 0)
        wanted: dict[int, int] = {}
        for level, count in levels.items():
            if level and level.unit == "/s":
                yield replace(
                    self.arriving(level.amount, bounded(1.2 * count / level.amount, 2.0, LONGEST)), most=left // len(levels)
                )
            else:
                users = highest.users if level is None else int(level.amount)
                wanted[users] = max(count, wanted.get(users, 0))
        for users, count in wanted.items():
            if users not in looks or looks[users].right < count:
                rate = min(users / max(self.service, users / FASTEST), highest.rate * max(1.0, users / highest.users))
                cell = replace(self.cell(users, bounded(1.2 * count / max(rate, 0.1), 1.0, LONGEST)), most=left // len(levels))
                yield replace(cell, repeat=2, name=f"{cell.name}~2") if users in looks else cell


def enough(asked: float) -> int:
    """Requests of a route whose fullest level asks so many, in hundreds."""
    return 100 * math.ceil(asked * LEVELS / 100)


def bounded(value: float, least: float, most: float) -> float:
    """A value, kept between two others."""
    return min(max(value, least), most)


def longer(seconds: float, scatter: float) -> float:
    """A window for latencies of that spread: the variance of a count grows with its square."""
    return seconds * (1 + scatter**2)


def lasting(cell: Cell) -> float:
    """Seconds that a level should take, connecting and draining included."""
    return 0.5 + cell.warm_up + cell.window + max(0.0, cell.drain - SPARE)


def idle(neighbours: tuple[Neighbour, ...], rate: float) -> Cell:
    """Both neighbours while nobody asks anything else."""
    window = 1.3 * PINGS / rate if rate > PINGS / 10 else 6.0
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
        neighbours=tuple(replace(one, rate=rate, connections=24) for one in neighbours),
        on="idle",
    )
