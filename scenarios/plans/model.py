"""The plan of a run: sessions of cells, how long they take, and the quick plan of `reproduce`.

Times follow from the queue that each variant should build: capacity X = c / D, a round of N users
lasts N / X. Warm-up is one round, a window two rounds or more, and a drain may take five. The
predictions steer durations only; nothing measured depends on them.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from results.errors import UsageError
from results.schema import Cell, Scenario, Variant, base_variant, repeat_suffix
from results.store import RunWriter
from scenarios.plans.cells import (
    Target,
    Times,
    both_neighbours,
    cycle_time,
    poisson_arrivals,
    variant_target,
)

CROWD_LEVELS: dict[str, tuple[int, ...]] = {
    Variant.BROKEN_ASYNC: (1, 8, 16, 32),
    Variant.TO_THREAD: (1, 8, 16, 64),
    Variant.SYNC: (1, 16, 50, 64),
    Variant.ASYNC: (1, 16, 50, 64),
}
# the blocking route with something that suspends in front: an experiment, no variant of its own
BEHIND_AWAIT_VARIANT = f"{Variant.BROKEN_ASYNC} behind-await"
_BURST_SIZES: dict[str, int] = {Variant.SYNC: 60}  # two blocks of the 40 threads; else 20
# more than requests of a few milliseconds have in flight at 1,000 per second
_FLOOR_CONNECTIONS = 64
STARTUP_TIME = 3.0  # seconds for a server and a Locust process, started side by side
REPORT_TIME = 6.0  # seconds to seal the run and render the page
TIME_BUDGET = 120.0  # seconds that the quick plan may take in all
# requests per second that one Locust process and one server core carry with room to spare
GENERATOR_MAX_RATE = 1000.0
_MAX_WAIT = 5.0  # seconds that the bundled routes wait at most
_MIN_THREAD_USERS = 48  # users it takes to see a pool of 40


@dataclass(frozen=True, slots=True)
class Session:
    """One Locust process and, where we serve the app, one fresh server; what is sent to it."""

    variant: str
    seconds: float  # the wait in each request
    cells: tuple[Cell, ...]
    app: str | None = None  # what to serve, where it is not the bundled app
    loop: str | None = None  # its event loop; None: the loop of the run's settings
    repeat: int = 1
    # paths that the driver requests once before and once after the load; the run keeps the answers
    extra_requests: tuple[str, ...] = ()
    has_lesson_routes: bool = False  # whether the app is to carry the lesson's routes
    is_pinned: bool = True  # whether the app stays on one core

    @property
    def name(self) -> str:
        """The name of its server and Locust, and of its extra requests in the plan."""
        return f"{self.variant}{repeat_suffix(self.repeat)}"

    def estimate(self) -> float:
        """Return the seconds that its cells should take."""
        return sum(cell_duration(cell, self.seconds) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Plan:
    """All sessions of a run, in order. `notes` say which levels are smaller than usual."""

    seconds: float
    sessions: tuple[Session, ...]
    notes: tuple[str, ...] = ()
    # yields what follows; the next session is drawn when the one before was measured
    follow_up: Callable[[RunWriter], Iterator[Session]] | None = None
    follow_up_seconds: float = 0.0  # seconds that it should take

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        return [cell for session in self.sessions for cell in session.cells]

    def estimate(self) -> float:
        """Return the seconds that the whole run should take, start-up and report included."""
        seconds = sum(STARTUP_TIME + session.estimate() for session in self.sessions)
        return seconds + self.follow_up_seconds + REPORT_TIME


def expected_concurrency(variant: str) -> int:
    """Return how many requests a variant should serve at once; the plan's durations follow."""
    executor = min(32, (os.cpu_count() or 1) + 4)
    known: dict[str, int] = {Variant.BROKEN_ASYNC: 1, Variant.TO_THREAD: executor, Variant.SYNC: 40}
    return known.get(base_variant(variant), 10_000)


def _expected_cycle(variant: str, seconds: float, users: int) -> float:
    return cycle_time(seconds, users, expected_concurrency(variant))


def cell_duration(cell: Cell, seconds: float) -> float:
    """Return the seconds that a cell should take, connecting and the expected drain included."""
    connecting = 0.6 if cell.neighbours else 0.2
    drain = _expected_cycle(cell.variant, seconds, cell.users)
    return connecting + cell.warm_up + cell.window + drain


def _expected_requests(cell: Cell, seconds: float) -> float:
    """Return the requests of a cell, neighbours included; 0 for a crowd of unknown wait."""
    if cell.arrivals:
        return cell.arrivals.expected_requests
    load_seconds, count = cell.warm_up + cell.window, 0.0
    if cell.scenario is Scenario.BURST:
        count = cell.users
    elif cell.scenario is Scenario.CROWD and seconds:
        count = cell.users / _expected_cycle(cell.variant, seconds, cell.users) * load_seconds
    return count + sum(ping.rate * load_seconds for ping in cell.neighbours)


def outline_plan(plan: Plan) -> Iterator[str]:
    """Describe line by line what the run would do: cells, users, requests and seconds."""
    wide = max((len(cell.name) for cell in plan.cells), default=4)
    yield f"{'cell':<{wide}} {'users':>5} {'requests':>9} {'seconds':>8}"
    for session in plan.sessions:
        if not session.cells:
            yield f"requests of {session.name}: {', '.join(session.extra_requests)}"
    counts = []
    for session in plan.sessions:
        for cell in session.cells:
            counts.append(count := _expected_requests(cell, session.seconds))
            if session.repeat == 1:
                requests = f"{count:,.0f}" if count else "as fast as answered"
                duration = cell_duration(cell, session.seconds)
                load = f"{cell.users or '-':>5} {requests:>9} {duration:>8.1f}"
                others = "  with both neighbours" if cell.neighbours else ""
                yield f"{cell.name:<{wide}} {load}{others}"
    if (repeats := max(session.repeat for session in plan.sessions)) > 1:
        yield f"all of it {repeats} times; each time every server starts anew"
    if plan.follow_up:
        yield (
            f"then arrivals at shares of the measured capacity: {plan.follow_up_seconds:.0f} s;"
            " more users before that, if no request waits"
        )
    if longest := max((cell.longest for cell in plan.cells), default=0.0):
        window = "a crowd's window begins and ends with a round of all its users"
        yield f"{window}, after {longest:.0f} s at the latest"
    about = f"about {sum(counts):,.0f} requests" if all(counts) else "requests"
    about = f"{about} to the target in {plan.estimate():.0f} s"
    yield f"{about}, start-up and report included; nothing was sent"
    yield from (f"note: {note}" for note in plan.notes)


def quick_plan(seconds: float) -> Plan:
    """Return the quick plan for a wait of `seconds`; levels shrink until it fits.

    Raises AtonceError for a wait that is too long, or too short to measure more than the machine.
    """
    if not 0 < seconds <= _MAX_WAIT:
        why = f"is out of range: the bundled routes wait more than 0 and at most {_MAX_WAIT:g} s."
        raise UsageError(f"--seconds {seconds:g} {why}")
    if _MIN_THREAD_USERS / seconds > GENERATOR_MAX_RATE:
        raise UsageError(
            f"--seconds {seconds:g} is too short: only {40 / seconds:,.0f} requests per second fill"
            f" the 40 threads, and above {GENERATOR_MAX_RATE:,.0f} the load generator is the limit."
            f" The shortest is --seconds {_MIN_THREAD_USERS / GENERATOR_MAX_RATE:.3f}"
        )
    longest_round = max(CROWD_LEVELS[Variant.BROKEN_ASYNC]) * seconds
    while True:
        sessions = (_variant_session(variant, seconds, longest_round) for variant in CROWD_LEVELS)
        plan = Plan(seconds, tuple(sessions))
        if plan.estimate() <= TIME_BUDGET:
            return replace(plan, notes=tuple(_shrink_notes(plan)))
        if longest_round < 2 * seconds:
            raise UsageError(
                f"--seconds {seconds:g} does not fit: even the smallest crowds take about"
                f" {plan.estimate():.0f} s, and the limit is {TIME_BUDGET:.0f} s. Try:"
                " --seconds 0.1"
            )
        longest_round *= 0.8


def _shrink_notes(plan: Plan) -> Iterator[str]:
    for session in plan.sessions:
        top = max(cell.users for cell in session.cells if cell.scenario is Scenario.CROWD)
        if top < (usual := CROWD_LEVELS[session.variant][-1]):
            is_slow = top < GENERATOR_MAX_RATE * plan.seconds
            why = f"the run fits {TIME_BUDGET:.0f} s" if is_slow else "the load generator keeps up"
            yield f"{session.variant}: {top} users at most instead of {usual}, so that {why}"


def _variant_session(variant: str, seconds: float, longest_round: float) -> Session:
    """Return a variant's cells: idle neighbours (once in a run), crowds level by level, a burst."""
    max_users = round(longest_round * expected_concurrency(variant) / seconds)
    levels = [1]
    for usual in CROWD_LEVELS[variant][1:]:
        level = min(usual, max_users, int(GENERATOR_MAX_RATE * seconds))
        levels += [level] if level > levels[-1] else []
    crowds = [crowd_cell(variant, seconds, users, top=users == levels[-1]) for users in levels]
    size = min(_BURST_SIZES.get(variant, 20), max(max_users, 2))
    target = variant_target(variant, seconds)
    cells = [*crowds, _variant_burst(target, seconds, size)]
    if variant == Variant.BROKEN_ASYNC:
        # the same burst, with an await between the server's timer and the handler
        name, path = BEHIND_AWAIT_VARIANT, f"/{BEHIND_AWAIT_VARIANT.replace(' ', '/')}"
        full_path = f"{path}?seconds={seconds:g}"
        behind_await = replace(target, variant=name, route=f"GET {path}", path=full_path)
        neighbours, times = both_neighbours(0.0), Times(0.5, 7.0)
        idle = target.create_cell(Scenario.NEIGHBOURS, 0, times, neighbours=neighbours)
        cells = [idle, *cells, _variant_burst(behind_await, seconds, size)]
    if variant == Variant.ASYNC:
        cells.append(_floor_cell(seconds, levels[-1]))
    return Session(variant, seconds, tuple(cells))


def crowd_cell(variant: str, seconds: float, users: int, *, top: bool) -> Cell:
    """Return N users on a variant; at the top level the neighbours get requests as well."""
    cycle = _expected_cycle(variant, seconds, users)
    hold_time = cycle if variant == Variant.BROKEN_ASYNC else 0.0
    window = max(2.5, 2 * cycle, 8 * seconds, 6.0 if top else 0.0)
    times = Times(max(cycle, 0.3), window, drain=max(10.0, 5 * cycle))
    cell = variant_target(variant, seconds).closed_loop_cell(users, times, seconds)
    return replace(cell, neighbours=both_neighbours(hold_time)) if top else cell


def _variant_burst(target: Target, seconds: float, users: int) -> Cell:
    drain = max(10.0, 5 * _expected_cycle(target.variant, seconds, users))
    return target.create_cell(Scenario.BURST, users, Times(drain=drain))


def _floor_cell(seconds: float, users: int) -> Cell:
    """Return the route that does nothing, at the rate of the largest crowd that never queues."""
    path = "/noop/async"
    target = Target(variant=Variant.ASYNC, route=f"GET {path}", path=path, expects="null")
    arrivals = poisson_arrivals(users / seconds, 3.0, warm=_FLOOR_CONNECTIONS)
    return target.create_cell(Scenario.FLOOR, users, Times(0.4, 2.6), arrivals=arrivals)
