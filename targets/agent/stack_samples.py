"""What a series of looks at the event loop's thread says of who held it, and for how long."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .loop_thread import GilAccess, ThreadTime
from .stack_frames import RawFrame

_MAX_RUN_SHARE = 0.1  # share of its time that a sleeping call may run


class StackSample(NamedTuple):
    """Time that one look stands for; the stack is empty where nobody on the loop is to blame."""

    weight: float
    stack: list[RawFrame]
    access: GilAccess = GilAccess.FREE


@dataclass
class OpenHold:
    """Time that one task, or callback, keeps the loop."""

    holder: Hashable
    start: float
    blind_seconds: float = 0.0
    gc_seconds: float = 0.0
    samples: list[StackSample] = field(default_factory=list)


_WEIGHT_TRANSFERS = ((GilAccess.HANDED_OVER, GilAccess.FORCED), (GilAccess.AWAKE, GilAccess.ASLEEP))


def split_sample(stack: list[RawFrame], access: GilAccess, own: ThreadTime) -> list[StackSample]:
    """One look at a stack, apart for the time that the thread ran and that it slept; what is seen is last."""
    ran, slept = (
        StackSample(own.run_seconds, stack, access),
        StackSample(own.sleep_seconds, stack, GilAccess.AWAKE),
    )
    if access is not GilAccess.FREE or not own.is_asleep:
        return [slept, ran]
    if own.run_seconds < _MAX_RUN_SHARE * (
        own.run_seconds + own.sleep_seconds
    ):  # a call that sleeps does something, too
        return [StackSample(own.run_seconds + own.sleep_seconds, stack, GilAccess.ASLEEP)]
    return [
        StackSample(own.run_seconds, stack, GilAccess.HANDED_OVER),
        StackSample(own.sleep_seconds, stack, GilAccess.ASLEEP),
    ]


def correct_weights(samples: Sequence[StackSample]) -> Iterator[tuple[float, list[RawFrame], bool]]:
    """Weight and stack of each look, and whether its lines are known.

    Where the GIL was handed over, other lines had run: their time goes to those that looks by force
    met in the same hold. And a sleep goes to those calls that were met asleep.
    """
    factors: dict[GilAccess, float] = {}
    for source, target in _WEIGHT_TRANSFERS:
        given, met = (
            sum(sample.weight for sample in samples if sample.stack and sample.access is access)
            for access in (source, target)
        )
        if met:
            factors |= {source: 0.0, target: 1 + given / met}
    for sample in samples:
        weight = sample.weight * factors.get(sample.access, 1.0) if sample.stack else sample.weight
        yield weight, sample.stack, sample.access is not GilAccess.HANDED_OVER
