"""What to ask next, given what was seen: clear cases end early, and nothing is asked twice."""

from collections.abc import Iterator
from pathlib import Path

from results.gate import AT_A_LEVEL, Gate, asks
from results.schema import Cell
from scenarios._doctor.look import ALIKE, HOLD, Seen, look
from scenarios._doctor.steps import FEW, HALF, MANY, Bedside

Cells = tuple[Cell, ...]


def steps(folder: Path, bedside: Bedside, idle: dict[str, float], gates: tuple[Gate, ...], holding: list[float]) -> Iterator[Cells]:
    """The cells of one route, a few at a time. Puts into `holding` the seconds that it seems to hold the loop, if it does.

    1. One user, then a few beside both neighbours.
    2. The loop is held: if somebody computes there, half of that load tells a held loop from a busy one. Enough.
    3. Else many users. Where the loop is held after all, by less at a time, and nobody computes: enough.
    4. A plateau that neither the CPU nor a queue explains is looked at once more, in between.
    """
    act, service, few = bedside.act, bedside.alone(), bedside.few()
    yield service, few
    alone, seen = look(folder, act, service), look(folder, act, few)
    if not alone or not seen or seen.wrong > seen.right:
        return
    unloaded, looks = alone.median, {1: alone, FEW: seen}
    held = seen.suffers("async", idle)
    if held and (unloaded >= HOLD or not seen.computes):
        if seen.computes and seen.rate:
            yield (bedside.half(HALF * seen.rate),)
        holding.append(1 / seen.rate if seen.rate else unloaded)
    else:
        yield (bedside.many(),)
        top = look(folder, act, bedside.many())
        looks |= {MANY: top} if top else {}
        if top and top.suffers("async", idle) and not top.computes:
            holding.append(1 / top.rate if top.rate else unloaded)
        elif seen.is_startled or (top and top.is_startled and not top.computes):
            holding.append(unloaded)
        elif top and is_plateau(top, seen, unloaded):
            yield (bedside.between(halfway(top.rate * unloaded)),)
    demands = asks([one for one in gates if one.metric in AT_A_LEVEL], bedside.route)  # all else is there already
    if wanted := tuple(bedside.demanded(demands, looks)):
        yield wanted


def is_plateau(top: Seen, few: Seen, unloaded: float) -> bool:
    """Whether many users are served at a rate that neither they nor the CPU explain, and that the few did not show already."""
    shown = not few.grows(unloaded) and top.rate <= ALIKE * few.rate
    return not top.grows(unloaded) and not top.computes and top.wrong == 0 and not shown


def halfway(places: float) -> int:
    """A number of users that fills a pool of so many places and is far from the top level."""
    between = max(places * ALIKE * 1.3, 2.0)
    return int(min(between if between > FEW * 1.5 else FEW * 2, 0.85 * MANY))
