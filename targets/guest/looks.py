"""What a series of looks at the event loop's thread says of who held it, and for how long."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .frames import Raw
from .loop_thread import Access


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


def true_weights(looks: Sequence[Look]) -> Iterator[tuple[float, list[Raw], bool]]:
    """Weight and stack of each look, and whether its lines are known.

    Where the GIL was handed over, other lines had run: their time goes to those that looks by force
    met in the same hold.
    """
    handed, forced = (
        sum(one.weight for one in looks if one.stack and one.access is access) for access in (Access.HANDED_OVER, Access.FORCED)
    )
    factors = {Access.HANDED_OVER: 0.0, Access.FORCED: 1 + handed / forced} if forced else {}
    for one in looks:
        weight = one.weight * factors.get(one.access, 1.0) if one.stack else one.weight
        yield weight, one.stack, one.access is not Access.HANDED_OVER
