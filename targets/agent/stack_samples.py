"""Which stacks hold the event loop, and for how long, from samples of its thread."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .loop_thread import GilAccess, ThreadTime
from .stack_frames import RawFrame

_MAX_RUN_SHARE = 0.1  # share of its time that a sleeping call may run


class StackSample(NamedTuple):
    """The time that one sample stands for; the stack is empty where the loop has no culprit."""

    weight: float
    stack: list[RawFrame]
    access: GilAccess = GilAccess.FREE


@dataclass
class OpenHold:
    """A time during which one task, or callback, keeps the loop."""

    holder: Hashable
    start: float
    blind_seconds: float = 0.0
    gc_seconds: float = 0.0
    head: float = 0.0  # seconds that it probably took before `start`
    samples: list[StackSample] = field(default_factory=list)

    def add_head(self, now: float) -> None:
        """Count the time before the first sample's, which no sample stands for, like that time."""
        if not self.head or now <= self.start:
            return
        factor = 1 + self.head / (now - self.start)
        self.samples = [item._replace(weight=factor * item.weight) for item in self.samples]
        self.start, self.head = self.start - self.head, 0.0

    def cut(self, seconds: float) -> None:
        """Take the last seconds away from its samples."""
        self.blind_seconds = max(0.0, self.blind_seconds - seconds)
        while self.samples and seconds > 0:
            last = self.samples.pop()
            if last.weight > seconds:
                self.samples.append(last._replace(weight=last.weight - seconds))
            seconds -= last.weight


_WEIGHT_TRANSFERS = ((GilAccess.HANDED_OVER, GilAccess.FORCED), (GilAccess.AWAKE, GilAccess.ASLEEP))


def split_sample(stack: list[RawFrame], access: GilAccess, own: ThreadTime) -> list[StackSample]:
    """Split a sample into the time that the thread ran and slept; the seen state is last."""
    ran, slept = own.run_seconds, own.sleep_seconds
    if access is not GilAccess.FREE or not own.is_asleep:
        return [StackSample(slept, stack, GilAccess.AWAKE), StackSample(ran, stack, access)]
    # a call that sleeps also runs a little
    if ran < _MAX_RUN_SHARE * (ran + slept):
        return [StackSample(ran + slept, stack, GilAccess.ASLEEP)]
    return [
        StackSample(ran, stack, GilAccess.HANDED_OVER),
        StackSample(slept, stack, GilAccess.ASLEEP),
    ]


def correct_weights(samples: Sequence[StackSample]) -> Iterator[tuple[float, list[RawFrame], bool]]:
    """Yield weight and stack of each sample, and whether its line is known.

    Time before a call goes to the hold's forced samples, an earlier sleep to those asleep.
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
