"""What `atonce reproduce` adds on demand.

`--full` adds the open model and the frozen route on both loops; `--repeat` runs it all again. Each
repeat starts every server anew, and the variants take turns, so that what drifts on the machine
meets all of them alike.
"""

from dataclasses import replace

from results.schema import (
    ArrivalDistribution,
    Arrivals,
    Cell,
    ConnectionMode,
    Scenario,
    Variant,
    repeat_suffix,
)
from scenarios.plans.lesson import LESSON_SESSIONS
from scenarios.plans.model import (
    GENERATOR_MAX_RATE,
    Plan,
    Session,
    crowd_cell,
    expected_concurrency,
    quick_plan,
    variant_cell,
)

_DEFAULT_WAIT = 0.1  # seconds of work unless chosen
_UTILIZATION = 0.7  # of the capacity that a variant should have: a queue, and far from overload
_UNLIMITED_RATE = 50.0  # requests per second where nothing limits
_OPEN_WINDOW = 30.0  # seconds of an open model's window
# arrivals until its queue has forgotten the empty start: five correlation lengths at that
# utilization
_SETTLING_ARRIVALS = 62
_LOOPS = ("asyncio", "uvloop")
_FROZEN_WAIT = 0.05  # seconds that the frozen route blocks, and its users; science: T10
_FROZEN_USERS = 50
_FROZEN_WINDOW = 17.0  # seven rounds of all users


def expand_plan(plan: Plan, repeat: int, *, full: bool) -> Plan:
    """The quick plan, made full, and repeated `repeat` times."""
    sessions = plan.sessions
    if full:
        sessions = tuple(
            replace(session, cells=(*session.cells, _open_loop_cell(session)))
            for session in sessions
        )
        sessions += LESSON_SESSIONS + tuple(
            _frozen_session(loop, cold=cold) for loop in _LOOPS for cold in (False, True)
        )
    return replace(
        plan,
        sessions=tuple(
            _repeat_session(session, number)
            for number in range(1, repeat + 1)
            for session in sessions
        ),
    )


def plan_for_claims(needs: set[str]) -> Plan:
    """The part of the full plan that some claims need.

    Needs are prefixes of cells' names, or `asked/<session>` for its extra requests.
    """
    plan, sessions = expand_plan(quick_plan(_DEFAULT_WAIT), 1, full=True), list[Session]()
    for session in plan.sessions:
        top = max(
            (cell.users for cell in session.cells if cell.scenario is Scenario.CROWD), default=0
        )
        # levels for the charts only, except where a pool has room for them
        between = range(0) if session.variant == Variant.SYNC else range(2, top)
        candidates = [
            candidate
            for candidate in session.cells
            if candidate.scenario is not Scenario.CROWD or candidate.users not in between
        ]
        cells = tuple(
            candidate
            for candidate in candidates
            if any(candidate.name.startswith(need) for need in needs)
        )
        if cells or (session.extra_requests and f"asked/{session.name}" in needs):
            sessions.append(replace(session, cells=cells))
    return replace(plan, sessions=tuple(sessions))


def _repeat_session(session: Session, number: int) -> Session:
    """Repeat `number` of a session, with its own server and cells."""
    after = repeat_suffix(number)
    cells = (
        replace(cell, name=cell.name + after, repeat=number, on=cell.on and cell.on + after)
        for cell in session.cells
    )
    return replace(session, repeat=number, cells=tuple(cells))


def _open_loop_cell(session: Session) -> Cell:
    """Poisson arrivals at 70 % of the variant's capacity; the queue settles before the window."""
    capacity = expected_concurrency(session.variant) / session.seconds
    rate = (
        float(f"{min(_UTILIZATION * capacity, GENERATOR_MAX_RATE / 2):.3g}")
        if capacity < GENERATOR_MAX_RATE
        else _UNLIMITED_RATE
    )
    warm_up = max(2.0, _SETTLING_ARRIVALS / rate)
    profile = ((warm_up + _OPEN_WINDOW, rate, rate),)
    arrivals = Arrivals(
        law=ArrivalDistribution.POISSON,
        profile=profile,
        pool=ConnectionMode.WARM,
        warm=int(rate) + 32,
        cap=900,
    )
    cell = variant_cell(Scenario.STEADY, session.variant, session.seconds, 0)
    name = f"{Scenario.STEADY}/{session.variant}/{rate:g}"
    return replace(
        cell,
        name=name,
        warm_up=warm_up,
        window=_OPEN_WINDOW,
        drain=10.0 + 10 * session.seconds,
        arrivals=arrivals,
    )


def _frozen_session(loop: str, *, cold: bool) -> Session:
    """The broken route on one loop: one user, then a crowd.

    The crowd's connections are opened before the load, or (`cold`) by its first requests.
    """
    variant = (
        f"{Variant.BROKEN_ASYNC} {loop} {ConnectionMode.COLD if cold else ConnectionMode.WARM}"
    )
    crowd = replace(
        crowd_cell(variant, _FROZEN_WAIT, _FROZEN_USERS, top=False),
        window=_FROZEN_WINDOW,
        cold=cold,
    )
    return Session(
        variant, _FROZEN_WAIT, (crowd_cell(variant, _FROZEN_WAIT, 1, top=False), crowd), loop=loop
    )
