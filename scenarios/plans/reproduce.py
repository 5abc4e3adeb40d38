"""What `atonce reproduce` does on demand: `--full` adds loads of the open model and the frozen route on both loops; `--repeat` plays it all again.

Each repeat starts every server anew, and the variants take turns, so that what drifts on the machine meets all of them alike.
"""

from dataclasses import replace

from results.schema import Arrivals, Cell, Law, Pool, Scenario, Variant, suffix
from scenarios.plans.lesson import LAB
from scenarios.plans.model import TOP_RATE, Act, Plan, cell_of, crowd_cell, places, reproduction

WAIT = 0.1  # seconds of work where nobody says
UTILIZATION = 0.7  # of the capacity that a variant should have: a queue, and far from overload
FREE_RATE = 50.0  # requests per second where nothing limits
OPEN = 30.0  # seconds of an open model's window
SETTLED = 62  # arrivals until its queue has forgotten the empty start: five correlation lengths at that utilization
LOOPS = ("asyncio", "uvloop")
FROZEN = 0.05  # seconds that the frozen route blocks, and its users; science: T10
FROZEN_USERS = 50
FROZEN_WINDOW = 17.0  # seven rounds of all users


def extended(plan: Plan, repeat: int, *, full: bool) -> Plan:
    """The quick plan, made full, and played `repeat` times."""
    acts = plan.acts
    if full:
        acts = tuple(replace(act, cells=(*act.cells, open_cell(act))) for act in acts)
        acts += LAB + tuple(frozen(loop, cold=cold) for loop in LOOPS for cold in (False, True))
    return replace(plan, acts=tuple(again(act, number) for number in range(1, repeat + 1) for act in acts))


def chosen(needs: set[str]) -> Plan:
    """As much of the full plan as some claims need: beginnings of cells' names, `asked/<act>` for questions."""
    plan, acts = extended(reproduction(WAIT), 1, full=True), list[Act]()
    for act in plan.acts:
        top = max((cell.users for cell in act.cells if cell.scenario is Scenario.CROWD), default=0)
        between = range(0) if act.variant == Variant.SYNC else range(2, top)  # for the charts, but where a pool has room for it
        kept = [one for one in act.cells if one.scenario is not Scenario.CROWD or one.users not in between]
        cells = tuple(one for one in kept if any(one.name.startswith(need) for need in needs))
        if cells or (act.asks and f"asked/{act.name}" in needs):
            acts.append(replace(act, cells=cells))
    return replace(plan, acts=tuple(acts))


def again(act: Act, number: int) -> Act:
    """Repeat `number` of an act, with a server and cells of its own."""
    after = suffix(number)
    cells = (replace(one, name=one.name + after, repeat=number, on=one.on and one.on + after) for one in act.cells)
    return replace(act, repeat=number, cells=tuple(cells))


def open_cell(act: Act) -> Cell:
    """Poisson arrivals at seven tenths of what the variant should bear; the queue settles before the window."""
    bears = places(act.variant) / act.seconds
    rate = float(f"{min(UTILIZATION * bears, TOP_RATE / 2):.3g}") if bears < TOP_RATE else FREE_RATE
    warm_up = max(2.0, SETTLED / rate)
    profile = ((warm_up + OPEN, rate, rate),)
    arrivals = Arrivals(law=Law.POISSON, profile=profile, pool=Pool.WARM, warm=int(rate) + 32, cap=900)
    cell = cell_of(Scenario.STEADY, act.variant, act.seconds, 0)
    name = f"{Scenario.STEADY}/{act.variant}/{rate:g}"
    return replace(cell, name=name, warm_up=warm_up, window=OPEN, drain=10.0 + 10 * act.seconds, arrivals=arrivals)


def frozen(loop: str, *, cold: bool) -> Act:
    """The broken route on one loop: alone, then a crowd whose connections are opened before the load, or by its first requests."""
    variant = f"{Variant.BROKEN_ASYNC} {loop} {Pool.COLD if cold else Pool.WARM}"
    crowd = replace(crowd_cell(variant, FROZEN, FROZEN_USERS, top=False), window=FROZEN_WINDOW, cold=cold)
    return Act(variant, FROZEN, (crowd_cell(variant, FROZEN, 1, top=False), crowd), loop=loop)
