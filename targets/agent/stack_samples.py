"""What a series of looks at the event loop's thread says of who held it, and for how long."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .loop_thread import Access, Own
from .stack_frames import Raw

SELDOM = 0.1  # share of its time that a sleeping call may run


class Look(NamedTuple):
    """Time that one look stands for; the stack is empty where nobody on the loop is to blame."""

    weight: float
    stack: list[Raw]
    access: Access = Access.FREE


@dataclass
class Hold:
    """Time that one task, or callback, keeps the loop."""

    who: Hashable
    start: float
    blind: float = 0.0
    collected: float = 0.0
    looks: list[Look] = field(default_factory=list)


SHARED = ((Access.HANDED_OVER, Access.FORCED), (Access.AWAKE, Access.ASLEEP))


def looks_of(stack: list[Raw], access: Access, own: Own) -> list[Look]:
    """One look at a stack, apart for the time that the thread ran and that it slept; what is seen is last."""
    ran, slept = Look(own.ran, stack, access), Look(own.slept, stack, Access.AWAKE)
    if access is not Access.FREE or not own.is_asleep:
        return [slept, ran]
    if own.ran < SELDOM * (own.ran + own.slept):  # a call that sleeps does something, too
        return [Look(own.ran + own.slept, stack, Access.ASLEEP)]
    return [Look(own.ran, stack, Access.HANDED_OVER), Look(own.slept, stack, Access.ASLEEP)]


def true_weights(looks: Sequence[Look]) -> Iterator[tuple[float, list[Raw], bool]]:
    """Weight and stack of each look, and whether its lines are known.

    Where the GIL was handed over, other lines had run: their time goes to those that looks by force
    met in the same hold. And a sleep goes to those calls that were met asleep.
    """
    factors: dict[Access, float] = {}
    for source, target in SHARED:
        given, met = (sum(one.weight for one in looks if one.stack and one.access is how) for how in (source, target))
        if met:
            factors |= {source: 0.0, target: 1 + given / met}
    for one in looks:
        weight = one.weight * factors.get(one.access, 1.0) if one.stack else one.weight
        yield weight, one.stack, one.access is not Access.HANDED_OVER
