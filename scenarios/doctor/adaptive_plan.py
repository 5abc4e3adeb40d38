"""What to ask next, given what was seen: clear cases end early, and nothing is asked twice."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from results.gate_expression import AT_A_LEVEL, NEIGHBOURS, Gate, asks
from results.schema import Cell
from results.thresholds import ALIKE, FEW, FULL, HOLD, MANY
from results.unloaded import Unloaded, spread, unloaded
from scenarios.doctor.interim import Seen, look
from scenarios.doctor.levels import HALF, Bedside

Cells = tuple[Cell, ...]
Fits = Callable[[Cell, bool], bool]  # whether there is time for a cell; and whether there can be no verdict without it
MISTAKES = 0.01  # share of wrong answers that a plateau may have


def steps(  # noqa: PLR0913, PLR0917 - what is known, and what is wanted
    folder: Path,
    bedside: Bedside,
    idle: dict[str, float],
    gates: tuple[Gate, ...],
    holding: list[float],
    fits: Fits,
) -> Iterator[Cells]:
    """The cells of one route, a few at a time. Puts into `holding` the seconds that it seems to hold the loop, if it does.

    1. One user, then a few beside both neighbours.
    2. The loop is held: enough - but where somebody computes there, half of that load tells a held loop from a busy one.
    3. Else many users: some hold it by less at a time, or seldom.
    4. Where the lone requests are too few to say what the rate means, the lone user asks for longer.
    5. A plateau that neither the CPU nor a queue explains is looked at once more, in between.
    6. Where the core is full and a gate asks for the neighbours: half of that load as well.
    """
    act, service = bedside.act, bedside.alone()
    yield (service,)
    if not (alone := look(folder, act, service)):
        return
    if alone.latencies:  # one generator may ask so often by what a request takes here, not by what a polite one took
        bedside = replace(bedside, service=min(bedside.service, alone.mean))
    few = bedside.few()
    yield (few,)
    seen = look(folder, act, few)
    if not seen or seen.wrong > seen.right:
        return
    looks = {1: alone, FEW: seen}
    yield from unless_held(folder, bedside, idle, looks, fits)
    held = next((one for users in (FEW, MANY) if (one := looks.get(users)) and holds(one, idle, alone.mean)), None)
    yield from until_known(folder, bedside, looks, fits, is_held=held is not None)
    busiest = held or looks[max(looks)]
    if (held.computes if held else fills_core(busiest, gates, bedside.route)) and busiest.rate:
        half = bedside.half(HALF * busiest.rate)
        if fits(half, held is not None):
            yield (half,)
    if held or any(suspicious(one, alone, idle) for one in looks.values()):
        holding.append(1 / held.rate if held and held.rate else alone.mean)
    demands = asks([one for one in gates if one.metric in AT_A_LEVEL], bedside.route)  # all else is there already
    if wanted := tuple(one for one in bedside.demanded(demands, looks, held=bool(holding)) if not bedside.too_large(one)):
        yield wanted


def unless_held(folder: Path, bedside: Bedside, idle: dict[str, float], looks: dict[int, Seen], fits: Fits) -> Iterator[Cells]:
    """Many users, where the few do not show a held loop already. Adds what was seen to `looks`."""
    alone, few = looks[1], looks[FEW]
    if holds(few, idle, alone.mean):
        return
    rate = None if few.grows(alone.mean) else few.rate
    many = bedside.many(rate, max(spread(alone.latencies), spread(few.latencies)))
    if fits(many, True):
        yield (many,)
        if top := look(folder, bedside.act, many):
            looks[MANY] = top


def until_known(folder: Path, bedside: Bedside, looks: dict[int, Seen], fits: Fits, *, is_held: bool) -> Iterator[Cells]:
    """The lone user for longer, where its mean decides and is not known; then a level in between, where there is a plateau."""
    alone, few = looks[1], looks[FEW]
    top, known = looks.get(MANY, few), unloaded(alone.latencies, few.latencies) or unloaded(few.latencies, few.latencies)
    is_enough = bool(alone.latencies) and known is not None and (known.is_sure or is_told(known, top, few))
    if known and not is_enough and fits(again := bedside.alone_again(known), False):
        yield (again,)
        if found := look(folder, bedside.act, again):
            known = unloaded([*alone.latencies, *found.latencies], few.latencies) or known
    if is_held or not known or top is few or not is_plateau(top, few, known):
        return
    scatter = max(spread(alone.latencies), spread(few.latencies))
    between = bedside.between(halfway(top.rate * known.most), scatter)
    if fits(between, True):
        yield (between,)
        if found := look(folder, bedside.act, between):
            looks[between.users] = found


def holds(seen: Seen, idle: dict[str, float], unloaded: float) -> bool:
    """Whether the loop seems to be held: by whoever waits there, or by one who computes for as long as counts."""
    return seen.suffers("async", idle) and (not seen.computes or min(unloaded, seen.takes) >= HOLD)


def fills_core(seen: Seen, gates: tuple[Gate, ...], route: str) -> bool:
    """Whether neighbours that a gate asks for wait for the core only: what the route does to them shows where it leaves room."""
    is_asked = any(gate.metric in NEIGHBOURS and gate.matches(route) for gate in gates)
    return is_asked and (seen.cpu or 0.0) >= FULL


def suspicious(seen: Seen, alone: Seen, idle: dict[str, float]) -> bool:
    """Whether a second look is worth its time: somebody waited long now and then, or all of them while requests wait one at a time."""
    startled = seen.is_startled and (seen.users <= FEW or not seen.computes)
    return startled or (seen.suffers("async", idle) and seen.waits_alone(alone))


def is_told(known: Unloaded, top: Seen, few: Seen) -> bool:
    """Whether nothing queues, however long the lone requests take: most of many take as long as most of a few."""
    return (known.is_sure and top.grows(known.mean)) or (top.users > few.users and top.is_unmoved(few))


def is_plateau(top: Seen, few: Seen, known: Unloaded) -> bool:
    """Whether many users are served at a rate that neither they nor the CPU explain, and that the few did not show already.

    Whom nobody waited for any longer would still be in the way of another level.
    """
    shown = not few.grows(known.most) and top.rate <= (1 + ALIKE) * few.rate
    sound = top.wrong <= MISTAKES * top.right and not top.left
    return sound and not is_told(known, top, few) and not top.computes and not shown


def halfway(places: float) -> int:
    """A number of users that fills a pool of so many places and is far from the top level."""
    return int(min(max(places * (1 + ALIKE) * 1.3, 2.0 * FEW), 0.85 * MANY))
