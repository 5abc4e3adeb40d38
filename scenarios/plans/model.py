"""What `atonce reproduce` is going to do: which cells, how long, and whether they fit the time.

Times follow from the queue that each variant should build: capacity X = c / D, a round of N users lasts N / X. Warm-up
is one round, a window two rounds or more, and a drain may take five. The predictions steer durations only; nothing
measured depends on them.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from results.errors import Exit, Trouble
from results.schema import Arrivals, Cell, Law, Neighbour, Pool, Scenario, Variant, suffix, written
from results.store import RunFolder

LEVELS: dict[str, tuple[int, ...]] = {
    Variant.BROKEN_ASYNC: (1, 8, 16, 32),
    Variant.TO_THREAD: (1, 8, 16, 64),
    Variant.SYNC: (1, 16, 50, 64),
    Variant.ASYNC: (1, 16, 50, 64),
}
BEHIND_AWAIT = f"{Variant.BROKEN_ASYNC} behind-await"  # the blocking route with something that suspends in front: an experiment, no variant of its own
BURSTS: dict[str, int] = {Variant.SYNC: 60}  # 60 shows two blocks of the 40 threads; elsewhere 20 do
NEIGHBOUR_RATE = 24.0  # pings per second and neighbour: at least 100 in a top cell of 6 s
FLOOR_CONNECTIONS = 64  # more than what takes a few milliseconds has in flight at 1,000 requests per second
START_UP = 3.0  # seconds for a server and a Locust process, started side by side
REPORT = 6.0  # seconds to seal the run and render the page
BUDGET = 120.0  # seconds that the quick plan may take in all
TOP_RATE = 1000.0  # requests per second that one Locust process and one server core carry with room to spare
LONGEST = 5.0  # seconds that the bundled routes wait at most
ROOM_FOR_THREADS = 48  # users without whom a pool of 40 cannot be seen


@dataclass(frozen=True, slots=True)
class Act:
    """One Locust process and, where we serve the app, one fresh server process. What is asked of it."""

    variant: str
    seconds: float  # the wait in each request
    cells: tuple[Cell, ...]
    app: str | None = None  # what to serve, where it is not the bundled app
    loop: str | None = None  # the event loop that this one is about; None: the one that was chosen
    repeat: int = 1
    asks: tuple[str, ...] = ()  # what the driver asks once before the load and once after it, and keeps the answers of
    lab: bool = False  # whether the app is to carry the lab's routes
    pinned: bool = True  # whether the app stays on one core

    @property
    def name(self) -> str:
        """What its server and its Locust process are called; its questions, in the list of what is planned, `asked/<name>`."""
        return f"{self.variant}{suffix(self.repeat)}"

    def estimate(self) -> float:
        """Seconds that its cells should take."""
        return sum(duration(cell, self.seconds) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Plan:
    """All acts of a run, in order. `notes` say where a level had to shrink."""

    seconds: float
    acts: tuple[Act, ...]
    notes: tuple[str, ...]
    then: Callable[[RunFolder], Iterator[Act]] | None = None  # what follows; each act is asked for when the one before was measured
    afterwards: float = 0.0  # seconds that it should take

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        return [cell for act in self.acts for cell in act.cells]

    def estimate(self) -> float:
        """Seconds that the whole run should take, start-up and report included."""
        return sum(START_UP + act.estimate() for act in self.acts) + self.afterwards + REPORT


def places(variant: str) -> int:
    """How many requests a variant should serve at once: what the plan's durations are built on."""
    executor = min(32, (os.cpu_count() or 1) + 4)
    known: dict[str, int] = {Variant.BROKEN_ASYNC: 1, Variant.TO_THREAD: executor, Variant.SYNC: 40}
    return known.get(written(variant), 10_000)


def round_of(cell: Cell, seconds: float) -> float:
    """Seconds in which all N users get one answer each: N / X."""
    return seconds * max(1.0, cell.users / places(cell.variant))


def duration(cell: Cell, seconds: float) -> float:
    """Seconds that a cell should take, connecting and the expected drain included."""
    connecting = 0.6 if cell.neighbours else 0.2
    return connecting + cell.warm_up + cell.window + round_of(cell, seconds)


def requests(cell: Cell, seconds: float) -> float:
    """How many requests a cell should send, neighbours included; a crowd's depend on `seconds`, 0 where that is unknown."""
    lasts = cell.warm_up + cell.window
    if cell.arrivals:
        return cell.arrivals.planned
    crowd = cell.users / round_of(cell, seconds) * lasts if cell.scenario is Scenario.CROWD and seconds else 0
    return crowd + (cell.users if cell.scenario is Scenario.BURST else 0) + sum(ping.rate * lasts for ping in cell.neighbours)


def reproduction(seconds: float) -> Plan:
    """The quick plan for a wait of `seconds`. Levels shrink until it fits.

    Raises Trouble when even one user takes too long, or when the wait is so short that the machine, not the mechanism,
    would be measured.
    """
    if not 0 < seconds <= LONGEST:
        sentence = f"--seconds {seconds:g} is out of range: the bundled routes wait more than 0 and at most {LONGEST:g} seconds."
        raise Trouble(sentence, Exit.USAGE)
    if ROOM_FOR_THREADS / seconds > TOP_RATE:
        shortest = ROOM_FOR_THREADS / TOP_RATE
        sentence = (
            f"--seconds {seconds:g} is too short: filling the 40 threads would take {40 / seconds:,.0f} requests per second, "
            f"and past {TOP_RATE:,.0f} the load generator is what gets measured. The shortest is --seconds {shortest:.3f}."
        )
        raise Trouble(sentence, Exit.USAGE)
    longest_round = max(LEVELS[Variant.BROKEN_ASYNC]) * seconds
    while True:
        plan = Plan(seconds, tuple(act_of(variant, seconds, longest_round) for variant in LEVELS), ())
        if plan.estimate() <= BUDGET:
            return replace(plan, notes=tuple(shrunk(plan)))
        if longest_round < 2 * seconds:
            sentence = (
                f"--seconds {seconds:g} does not fit: even with the smallest crowds the run would take about "
                f"{plan.estimate():.0f} s, and it is bounded to {BUDGET:.0f} s. Try --seconds 0.1."
            )
            raise Trouble(sentence, Exit.USAGE)
        longest_round *= 0.8


def outline(plan: Plan) -> Iterator[str]:
    """What the run would do, line by line: cells, users, requests and seconds."""
    wide = max((len(cell.name) for cell in plan.cells), default=4)
    yield f"{'cell':<{wide}} {'users':>5} {'requests':>9} {'seconds':>8}"
    yield from (f"asked/{act.name}: {', '.join(act.asks)}" for act in plan.acts if not act.cells)
    total = [requests(cell, act.seconds) for act in plan.acts for cell in act.cells]
    once = [(cell, act.seconds) for act in plan.acts if act.repeat == 1 for cell in act.cells]
    for cell, seconds in once:
        beside = "  with both neighbours" if cell.neighbours else ""
        many, took = requests(cell, seconds), duration(cell, seconds)
        told = f"{many:,.0f}" if many else "as fast as answered"
        yield f"{cell.name:<{wide}} {cell.users or '-':>5} {told:>9} {took:>8.1f}{beside}"
    if (repeats := max(act.repeat for act in plan.acts)) > 1:
        yield f"all of it {repeats} times, each time with every server started anew"
    if plan.then:
        yield f"then arrivals at shares of the capacity that was measured: {plan.afterwards:.0f} s; where nobody waits, more users before"
    if longest := max((cell.longest for cell in plan.cells), default=0.0):
        yield f"a crowd's window begins and ends where a round of all its users does, after {longest:.0f} s at the latest"
    about = f"about {sum(total):,.0f} requests" if all(total) else "requests"
    yield f"{about} to the target in {plan.estimate():.0f} s, start-up and report included; nothing was sent"
    yield from (f"note: {note}" for note in plan.notes)


def shrunk(plan: Plan) -> list[str]:
    """A sentence for each variant whose crowd had to be smaller than usual."""
    notes = []
    for act in plan.acts:
        top, usual = max(cell.users for cell in act.cells if cell.scenario is Scenario.CROWD), LEVELS[act.variant][-1]
        if top < usual:
            why = f"the run fits {BUDGET:.0f} s" if top < TOP_RATE * plan.seconds else "the load generator keeps up"
            notes.append(f"{act.variant}: {top} users at most instead of {usual}, so that {why}")
    return notes


def act_of(variant: str, seconds: float, longest_round: float) -> Act:
    """One variant's cells: the idle neighbours once in the whole run, a crowd level by level, a burst."""
    most = round(longest_round * places(variant) / seconds)
    levels = [1]
    for usual in LEVELS[variant][1:]:
        level = min(usual, most, int(TOP_RATE * seconds))
        levels += [level] if level > levels[-1] else []
    crowd = [crowd_cell(variant, seconds, users, top=users == levels[-1]) for users in levels]
    idle = [idle_cell(seconds)] if variant == Variant.BROKEN_ASYNC else []
    size = min(BURSTS.get(variant, 20), max(most, 2))
    experiments = [behind_await_cell(seconds, size)] if variant == Variant.BROKEN_ASYNC else []
    floor = [floor_cell(seconds, levels[-1])] if variant == Variant.ASYNC else []
    return Act(variant, seconds, (*idle, *crowd, burst_cell(variant, seconds, size), *experiments, *floor))


def cell_of(scenario: Scenario, variant: str, seconds: float, users: int) -> Cell:
    """A cell without its durations."""
    path = f"/{written(variant)}?seconds={seconds:g}"
    return Cell(
        name=f"{scenario}/{variant}/{users}",
        scenario=scenario,
        variant=variant,
        route=f"GET /{written(variant)}",
        path=path,
        expects=f'{{"waited":{float(seconds)!r}}}',
        users=users,
        warm_up=0.0,
        window=0.0,
        drain=0.0,
    )


def crowd_cell(variant: str, seconds: float, users: int, *, top: bool) -> Cell:
    """N users; at the top level both neighbours are asked meanwhile."""
    cell = cell_of(Scenario.CROWD, variant, seconds, users)
    lap = round_of(cell, seconds)
    window = max(2.5, 2 * lap, 8 * seconds, 6.0 if top else 0.0)
    drain = max(10.0, 5 * lap)
    neighbours = both_neighbours(lap if variant == Variant.BROKEN_ASYNC else 0.0) if top else ()
    stagger = seconds * (1 - 1 / users)
    return replace(cell, warm_up=max(lap, 0.3), window=window, drain=drain, stagger=stagger, neighbours=neighbours)


def burst_cell(variant: str, seconds: float, users: int) -> Cell:
    """N requests at one instant."""
    cell = cell_of(Scenario.BURST, variant, seconds, users)
    return replace(cell, drain=max(10.0, 5 * round_of(cell, seconds)))


def behind_await_cell(seconds: float, users: int) -> Cell:
    """The same burst, with an await between the server's timer and the handler."""
    route = f"/{BEHIND_AWAIT.replace(' ', '/')}"
    return replace(burst_cell(BEHIND_AWAIT, seconds, users), route=f"GET {route}", path=f"{route}?seconds={seconds:g}")


def idle_cell(seconds: float) -> Cell:
    """The neighbours alone: what they feel when nobody presses anything."""
    cell = cell_of(Scenario.NEIGHBOURS, Variant.BROKEN_ASYNC, seconds, 0)
    return replace(cell, warm_up=0.5, window=7.0, drain=10.0, neighbours=both_neighbours(0.0))


def floor_cell(seconds: float, users: int) -> Cell:
    """The route that does nothing, at the rate of the largest crowd of those that wait for nobody."""
    rate = users / seconds
    arrivals = Arrivals(law=Law.POISSON, profile=((3.0, rate, rate),), pool=Pool.WARM, warm=FLOOR_CONNECTIONS, cap=900)
    path = "/noop/async"
    cell = replace(cell_of(Scenario.FLOOR, Variant.ASYNC, seconds, users), route=f"GET {path}", path=path, expects="null", users=0)
    return replace(cell, warm_up=0.4, window=2.6, drain=10.0, arrivals=arrivals)


def both_neighbours(turn: float) -> tuple[Neighbour, ...]:
    """The two innocent routes of the bundled app.

    Connections suffice for what is in flight when the loop is held for `turn` seconds at a time: a `def` route visits
    it three times (read, hand to a thread, answer), and Poisson arrivals scatter.
    """
    waiting = 3 * turn * NEIGHBOUR_RATE
    return tuple(
        Neighbour(
            kind=kind,
            route=f"GET /neighbour/{kind}",
            path=f"/neighbour/{kind}",
            expects=f'{{"neighbour":"{kind}"}}',
            rate=NEIGHBOUR_RATE,
            connections=int(1.2 * waiting) + 24,
        )
        for kind in ("async", "def")
    )
