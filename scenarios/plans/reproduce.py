"""What `atonce reproduce` adds on demand, and the part of it that single claims need.

`--full` adds the open model and the frozen route on both loops; `--repeat` runs it all again. Each
repeat starts every server anew, and the variants take turns, so that a drift of the machine affects
all of them alike.
"""

from dataclasses import replace
from itertools import product

from results.schema import ConnectionMode, Scenario, Variant, repeat_suffix
from scenarios.plans import model
from scenarios.plans.cells import Times, poisson_arrivals, repeat_cell, variant_target
from scenarios.plans.lesson import LESSON_SESSIONS

_DEFAULT_WAIT = 0.1  # seconds of work unless chosen
_UTILIZATION = 0.7  # of the capacity that a variant should have: a queue, and far from overload
_UNLIMITED_RATE = 50.0  # requests per second where nothing limits
_OPEN_WINDOW = 30.0  # seconds of an open model's window
# arrivals until the empty start has no effect: five correlation lengths at that utilization
_SETTLING_ARRIVALS = 62
_LOOPS = ("asyncio", "uvloop")
_FROZEN_MODES = (ConnectionMode.WARM, ConnectionMode.COLD)
_FROZEN_WAIT = 0.05  # seconds that the frozen route blocks
_FROZEN_USERS = 50
_FROZEN_WINDOW = 17.0  # seven rounds of all users


def expand_plan(plan: model.Plan, repeat: int, *, full: bool) -> model.Plan:
    """Return the quick plan, made full, and repeated `repeat` times."""
    sessions = plan.sessions
    if full:
        basic = map(_add_open_loop, sessions)
        frozen = (_frozen_session(loop, mode) for loop, mode in product(_LOOPS, _FROZEN_MODES))
        sessions = (*basic, *LESSON_SESSIONS, *frozen)
    repeats = product(range(1, repeat + 1), sessions)
    return replace(plan, sessions=tuple(_repeat_session(*pair) for pair in repeats))


def plan_for_claims(needs: set[str]) -> model.Plan:
    """Return the part of the full plan that some claims need.

    Needs are prefixes of cells' names, or `asked/<session>` for its extra requests.
    """
    plan = expand_plan(model.quick_plan(_DEFAULT_WAIT), 1, full=True)
    sessions: list[model.Session] = []
    for session in plan.sessions:
        crowds = [cell for cell in session.cells if cell.scenario is Scenario.CROWD]
        # levels between are for the charts only, except where a pool has room for them
        highest = max((cell.users for cell in crowds), default=0)
        between = [cell for cell in crowds if 1 < cell.users < highest]
        left_out = [] if session.variant == Variant.SYNC else between
        wanted = (cell for cell in session.cells if cell.name.startswith(tuple(needs)))
        cells = tuple(cell for cell in wanted if cell not in left_out)
        if cells or (session.extra_requests and f"asked/{session.name}" in needs):
            sessions.append(replace(session, cells=cells))
    return replace(plan, sessions=tuple(sessions))


def _repeat_session(number: int, session: model.Session) -> model.Session:
    cells = (
        replace(repeat_cell(cell, number), on=cell.on and f"{cell.on}{repeat_suffix(number)}")
        for cell in session.cells
    )
    return replace(session, repeat=number, cells=tuple(cells))


def _add_open_loop(session: model.Session) -> model.Session:
    """Add Poisson arrivals at 70 % of a variant's capacity, after its queue has settled."""
    capacity = model.expected_concurrency(session.variant) / session.seconds
    rate = _UNLIMITED_RATE
    if capacity < model.GENERATOR_MAX_RATE:
        rate = float(f"{min(_UTILIZATION * capacity, model.GENERATOR_MAX_RATE / 2):.3g}")
    warm_up = max(2.0, _SETTLING_ARRIVALS / rate)
    target = variant_target(session.variant, session.seconds)
    times = Times(warm_up, _OPEN_WINDOW, drain=10.0 + 10 * session.seconds)
    arrivals = poisson_arrivals(rate, warm_up + _OPEN_WINDOW, warm=int(rate) + 32)
    cell = target.create_cell(Scenario.STEADY, rate, times, arrivals=arrivals)
    return replace(session, cells=(*session.cells, cell))


def _frozen_session(loop: str, mode: ConnectionMode) -> model.Session:
    """Return the broken route on one loop: one user, then a crowd with warm or cold connections."""
    variant = f"{Variant.BROKEN_ASYNC} {loop} {mode}"
    alone = model.crowd_cell(variant, _FROZEN_WAIT, 1, top=False)
    crowd = model.crowd_cell(variant, _FROZEN_WAIT, _FROZEN_USERS, top=False)
    crowd = replace(crowd, window=_FROZEN_WINDOW, cold=mode is ConnectionMode.COLD)
    return model.Session(variant, _FROZEN_WAIT, (alone, crowd), loop=loop)
