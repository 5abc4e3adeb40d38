"""What `atonce reproduce` is going to do: which cells, how long, and whether they fit the time.

Times follow from the queue that each variant should build: capacity X = c / D, a round of N users
lasts N / X. Warm-up is one round, a window two rounds or more, and a drain may take five. The
predictions steer durations only; nothing measured depends on them.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from results.errors import AtonceError, ExitCode
from results.schema import (
    ArrivalDistribution,
    Arrivals,
    Cell,
    ConnectionMode,
    Neighbour,
    Scenario,
    Variant,
    base_variant,
    repeat_suffix,
)
from results.store import RunWriter

CROWD_LEVELS: dict[str, tuple[int, ...]] = {
    Variant.BROKEN_ASYNC: (1, 8, 16, 32),
    Variant.TO_THREAD: (1, 8, 16, 64),
    Variant.SYNC: (1, 16, 50, 64),
    Variant.ASYNC: (1, 16, 50, 64),
}
# the blocking route with something that suspends in front: an experiment, no variant of its own
BEHIND_AWAIT_VARIANT = f"{Variant.BROKEN_ASYNC} behind-await"
# 60 shows two blocks of the 40 threads; elsewhere 20 do
_BURST_SIZES: dict[str, int] = {Variant.SYNC: 60}
_NEIGHBOUR_RATE = 24.0  # pings per second and neighbour: at least 100 in a top cell of 6 s
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
    """One Locust process and, where we serve the app, one fresh server; what is asked of it."""

    variant: str
    seconds: float  # the wait in each request
    cells: tuple[Cell, ...]
    app: str | None = None  # what to serve, where it is not the bundled app
    loop: str | None = None  # its event loop; None: the loop of the run's settings
    repeat: int = 1
    # paths that the driver asks once before and once after the load; the run keeps the answers
    extra_requests: tuple[str, ...] = ()
    has_lesson_routes: bool = False  # whether the app is to carry the lesson's routes
    is_pinned: bool = True  # whether the app stays on one core

    @property
    def name(self) -> str:
        """Names its server and Locust; the plan lists its extra requests as `asked/<name>`."""
        return f"{self.variant}{repeat_suffix(self.repeat)}"

    def estimate(self) -> float:
        """Seconds that its cells should take."""
        return sum(cell_duration(cell, self.seconds) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Plan:
    """All sessions of a run, in order. `notes` say where a level had to shrink."""

    seconds: float
    sessions: tuple[Session, ...]
    notes: tuple[str, ...]
    # yields what follows; the next session is drawn when the one before was measured
    follow_up: Callable[[RunWriter], Iterator[Session]] | None = None
    follow_up_seconds: float = 0.0  # seconds that it should take

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        return [cell for session in self.sessions for cell in session.cells]

    def estimate(self) -> float:
        """Seconds that the whole run should take, start-up and report included."""
        return (
            sum(STARTUP_TIME + session.estimate() for session in self.sessions)
            + self.follow_up_seconds
            + REPORT_TIME
        )


def expected_concurrency(variant: str) -> int:
    """How many requests a variant should serve at once: what the plan's durations are built on."""
    executor = min(32, (os.cpu_count() or 1) + 4)
    known: dict[str, int] = {Variant.BROKEN_ASYNC: 1, Variant.TO_THREAD: executor, Variant.SYNC: 40}
    return known.get(base_variant(variant), 10_000)


def _cycle_time(cell: Cell, seconds: float) -> float:
    """Seconds in which all N users get one answer each: N / X."""
    return seconds * max(1.0, cell.users / expected_concurrency(cell.variant))


def cell_duration(cell: Cell, seconds: float) -> float:
    """Seconds that a cell should take, connecting and the expected drain included."""
    connecting = 0.6 if cell.neighbours else 0.2
    return connecting + cell.warm_up + cell.window + _cycle_time(cell, seconds)


def _expected_requests(cell: Cell, seconds: float) -> float:
    """How many requests a cell should send, neighbours included; 0 for a crowd of unknown wait."""
    load_seconds = cell.warm_up + cell.window
    if cell.arrivals:
        return cell.arrivals.expected_requests
    crowd = (
        cell.users / _cycle_time(cell, seconds) * load_seconds
        if cell.scenario is Scenario.CROWD and seconds
        else 0
    )
    return (
        crowd
        + (cell.users if cell.scenario is Scenario.BURST else 0)
        + sum(ping.rate * load_seconds for ping in cell.neighbours)
    )


def quick_plan(seconds: float) -> Plan:
    """The quick plan for a wait of `seconds`. Levels shrink until it fits.

    Raises AtonceError when even one user takes too long, or when the wait is so short that the
    machine, not the mechanism, would be measured.
    """
    if not 0 < seconds <= _MAX_WAIT:
        sentence = (
            f"--seconds {seconds:g} is out of range: the bundled routes wait more than 0 and at"
            f" most {_MAX_WAIT:g} seconds."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    if _MIN_THREAD_USERS / seconds > GENERATOR_MAX_RATE:
        shortest = _MIN_THREAD_USERS / GENERATOR_MAX_RATE
        sentence = (
            f"--seconds {seconds:g} is too short: filling the 40 threads would take"
            f" {40 / seconds:,.0f} requests per second, and past {GENERATOR_MAX_RATE:,.0f} the load"
            f" generator is what gets measured. The shortest is --seconds {shortest:.3f}."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    longest_round = max(CROWD_LEVELS[Variant.BROKEN_ASYNC]) * seconds
    while True:
        plan = Plan(
            seconds,
            tuple(_variant_session(variant, seconds, longest_round) for variant in CROWD_LEVELS),
            (),
        )
        if plan.estimate() <= TIME_BUDGET:
            return replace(plan, notes=tuple(_shrink_notes(plan)))
        if longest_round < 2 * seconds:
            sentence = (
                f"--seconds {seconds:g} does not fit: even with the smallest crowds the run would"
                f" take about {plan.estimate():.0f} s, and it is bounded to {TIME_BUDGET:.0f} s."
                " Try --seconds 0.1."
            )
            raise AtonceError(sentence, ExitCode.USAGE)
        longest_round *= 0.8


def outline_plan(plan: Plan) -> Iterator[str]:
    """What the run would do, line by line: cells, users, requests and seconds."""
    wide = max((len(cell.name) for cell in plan.cells), default=4)
    yield f"{'cell':<{wide}} {'users':>5} {'requests':>9} {'seconds':>8}"
    yield from (
        f"asked/{session.name}: {', '.join(session.extra_requests)}"
        for session in plan.sessions
        if not session.cells
    )
    total, first_cells = [], []
    for session in plan.sessions:
        total += [_expected_requests(cell, session.seconds) for cell in session.cells]
        if session.repeat == 1:
            first_cells += [(cell, session.seconds) for cell in session.cells]
    for cell, seconds in first_cells:
        remark = "  with both neighbours" if cell.neighbours else ""
        request_count, seconds_needed = (
            _expected_requests(cell, seconds),
            cell_duration(cell, seconds),
        )
        request_text = f"{request_count:,.0f}" if request_count else "as fast as answered"
        yield (
            f"{cell.name:<{wide}} {cell.users or '-':>5} {request_text:>9}"
            f" {seconds_needed:>8.1f}{remark}"
        )
    if (repeats := max(session.repeat for session in plan.sessions)) > 1:
        yield f"all of it {repeats} times, each time with every server started anew"
    if plan.follow_up:
        yield (
            "then arrivals at shares of the capacity that was measured:"
            f" {plan.follow_up_seconds:.0f} s; where nobody waits, more users before"
        )
    if longest := max((cell.longest for cell in plan.cells), default=0.0):
        yield (
            "a crowd's window begins and ends where a round of all its users does, after"
            f" {longest:.0f} s at the latest"
        )
    about = f"about {sum(total):,.0f} requests" if all(total) else "requests"
    yield (
        f"{about} to the target in {plan.estimate():.0f} s, start-up and report included; nothing"
        " was sent"
    )
    yield from (f"note: {note}" for note in plan.notes)


def _shrink_notes(plan: Plan) -> list[str]:
    """A sentence for each variant whose crowd had to be smaller than usual."""
    notes = []
    for session in plan.sessions:
        top, usual = (
            max(cell.users for cell in session.cells if cell.scenario is Scenario.CROWD),
            CROWD_LEVELS[session.variant][-1],
        )
        if top < usual:
            why = (
                f"the run fits {TIME_BUDGET:.0f} s"
                if top < GENERATOR_MAX_RATE * plan.seconds
                else "the load generator keeps up"
            )
            notes.append(
                f"{session.variant}: {top} users at most instead of {usual}, so that {why}"
            )
    return notes


def _variant_session(variant: str, seconds: float, longest_round: float) -> Session:
    """One variant's cells: idle neighbours (once in a run), a crowd level by level, a burst."""
    max_users = round(longest_round * expected_concurrency(variant) / seconds)
    levels = [1]
    for usual in CROWD_LEVELS[variant][1:]:
        level = min(usual, max_users, int(GENERATOR_MAX_RATE * seconds))
        levels += [level] if level > levels[-1] else []
    crowd = [crowd_cell(variant, seconds, users, top=users == levels[-1]) for users in levels]
    idle = [_idle_cell(seconds)] if variant == Variant.BROKEN_ASYNC else []
    size = min(_BURST_SIZES.get(variant, 20), max(max_users, 2))
    experiments = [_behind_await_cell(seconds, size)] if variant == Variant.BROKEN_ASYNC else []
    floor = [_floor_cell(seconds, levels[-1])] if variant == Variant.ASYNC else []
    return Session(
        variant, seconds, (*idle, *crowd, _burst_cell(variant, seconds, size), *experiments, *floor)
    )


def variant_cell(scenario: Scenario, variant: str, seconds: float, users: int) -> Cell:
    """A cell without its durations."""
    path = f"/{base_variant(variant)}?seconds={seconds:g}"
    return Cell(
        name=f"{scenario}/{variant}/{users}",
        scenario=scenario,
        variant=variant,
        route=f"GET /{base_variant(variant)}",
        path=path,
        expects=f'{{"waited":{float(seconds)!r}}}',
        users=users,
        warm_up=0.0,
        window=0.0,
        drain=0.0,
    )


def crowd_cell(variant: str, seconds: float, users: int, *, top: bool) -> Cell:
    """N users; at the top level both neighbours are asked beside them."""
    cell = variant_cell(Scenario.CROWD, variant, seconds, users)
    cycle = _cycle_time(cell, seconds)
    window = max(2.5, 2 * cycle, 8 * seconds, 6.0 if top else 0.0)
    drain = max(10.0, 5 * cycle)
    neighbours = both_neighbours(cycle if variant == Variant.BROKEN_ASYNC else 0.0) if top else ()
    stagger = seconds * (1 - 1 / users)
    return replace(
        cell,
        warm_up=max(cycle, 0.3),
        window=window,
        drain=drain,
        stagger=stagger,
        neighbours=neighbours,
    )


def _burst_cell(variant: str, seconds: float, users: int) -> Cell:
    """N requests at one instant."""
    cell = variant_cell(Scenario.BURST, variant, seconds, users)
    return replace(cell, drain=max(10.0, 5 * _cycle_time(cell, seconds)))


def _behind_await_cell(seconds: float, users: int) -> Cell:
    """The same burst, with an await between the server's timer and the handler."""
    route = f"/{BEHIND_AWAIT_VARIANT.replace(' ', '/')}"
    return replace(
        _burst_cell(BEHIND_AWAIT_VARIANT, seconds, users),
        route=f"GET {route}",
        path=f"{route}?seconds={seconds:g}",
    )


def _idle_cell(seconds: float) -> Cell:
    """The neighbours alone: their latency without any other load."""
    cell = variant_cell(Scenario.NEIGHBOURS, Variant.BROKEN_ASYNC, seconds, 0)
    return replace(cell, warm_up=0.5, window=7.0, drain=10.0, neighbours=both_neighbours(0.0))


def _floor_cell(seconds: float, users: int) -> Cell:
    """The route that does nothing, at the rate of the largest crowd that never queues."""
    rate = users / seconds
    arrivals = Arrivals(
        law=ArrivalDistribution.POISSON,
        profile=((3.0, rate, rate),),
        pool=ConnectionMode.WARM,
        warm=_FLOOR_CONNECTIONS,
        cap=900,
    )
    path = "/noop/async"
    cell = replace(
        variant_cell(Scenario.FLOOR, Variant.ASYNC, seconds, users),
        route=f"GET {path}",
        path=path,
        expects="null",
        users=0,
    )
    return replace(cell, warm_up=0.4, window=2.6, drain=10.0, arrivals=arrivals)


def both_neighbours(hold_time: float) -> tuple[Neighbour, ...]:
    """The two neighbour routes of the bundled app.

    Connections suffice for what is in flight when the loop is blocked for `hold_time` seconds at a
    time: a `def` route visits it three times (read, hand to a thread, answer), and Poisson arrivals
    scatter.
    """
    waiting = 3 * hold_time * _NEIGHBOUR_RATE
    return tuple(
        Neighbour(
            kind=kind,
            route=f"GET /neighbour/{kind}",
            path=f"/neighbour/{kind}",
            expects=f'{{"neighbour":"{kind}"}}',
            rate=_NEIGHBOUR_RATE,
            connections=int(1.2 * waiting) + 24,
        )
        for kind in ("async", "def")
    )
