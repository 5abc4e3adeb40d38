"""What to ask next, given what was seen: clear cases end early, and nothing is asked twice."""

from collections.abc import Callable, Iterator
from pathlib import Path

from results.gate import AT_A_LEVEL, Gate, asks
from results.limits import ALIKE, FEW, HOLD, MANY
from results.schema import Cell
from scenarios._doctor.look import Seen, look
from scenarios._doctor.steps import HALF, Bedside

Cells = tuple[Cell, ...]
MISTAKES = 0.01  # share of wrong answers that a plateau may have


def steps(  # noqa: PLR0913, PLR0917 - what is known, and what is wanted
    folder: Path,
    bedside: Bedside,
    idle: dict[str, float],
    gates: tuple[Gate, ...],
    holding: list[float],
    fits: Callable[[Cell], bool],
) -> Iterator[Cells]:
    """The cells of one route, a few at a time. Puts into `holding` the seconds that it seems to hold the loop, if it does.

    1. One user, then a few beside both neighbours.
    2. The loop is held: enough - but where somebody computes there, half of that load tells a held loop from a busy one.
    3. Else many users: some hold it by less at a time, or seldom.
    4. A plateau that neither the CPU nor a queue explains is looked at once more, in between.
    """
    act, service, few = bedside.act, bedside.alone(), bedside.few()
    yield service, few
    alone, seen = look(folder, act, service), look(folder, act, few)
    if not alone or not seen or seen.wrong > seen.right:
        return
    looks = {1: alone, FEW: seen}
    held = next((one for one in (seen,) if holds(one, idle, alone.median)), None)
    if not held and fits(many := bedside.many(None if seen.grows(alone.median) else seen.rate)):
        yield (many,)
        if top := look(folder, act, many):
            looks[MANY] = top
            held = top if holds(top, idle, alone.median) else None
            between = bedside.between(halfway(top.rate * alone.median))
            if not held and is_plateau(top, seen, alone.median) and fits(between):
                yield (between,)
                if found := look(folder, act, between):
                    looks[between.users] = found
    if held and held.computes and held.rate and fits(half := bedside.half(HALF * held.rate)):
        yield (half,)
    if held or any(suspicious(one, alone, idle) for one in looks.values()):
        holding.append(1 / held.rate if held and held.rate else alone.median)
    demands = asks([one for one in gates if one.metric in AT_A_LEVEL], bedside.route)  # all else is there already
    if wanted := tuple(bedside.demanded(demands, looks, held=bool(holding))):
        yield wanted


def holds(seen: Seen, idle: dict[str, float], unloaded: float) -> bool:
    """Whether the loop seems to be held: by whoever waits there, or by one who computes for as long as counts."""
    return seen.suffers("async", idle) and (not seen.computes or min(unloaded, seen.takes) >= HOLD)


def suspicious(seen: Seen, alone: Seen, idle: dict[str, float]) -> bool:
    """Whether a second look is worth its time: somebody waited long now and then, or all of them while requests wait one at a time."""
    startled = seen.is_startled and (seen.users <= FEW or not seen.computes)
    return startled or (seen.suffers("async", idle) and seen.waits_alone(alone))


def is_plateau(top: Seen, few: Seen, unloaded: float) -> bool:
    """Whether many users are served at a rate that neither they nor the CPU explain, and that the few did not show already.

    Whom nobody waited for any longer would still be in the way of another level.
    """
    shown = not few.grows(unloaded) and top.rate <= (1 + ALIKE) * few.rate
    sound = top.wrong <= MISTAKES * top.right and not top.left
    return sound and not top.grows(unloaded) and not top.computes and not shown


def halfway(places: float) -> int:
    """A number of users that fills a pool of so many places and is far from the top level."""
    return int(min(max(places * (1 + ALIKE) * 1.3, 2.0 * FEW), 0.85 * MANY))
