"""The moments at which an open model's requests are due, from a seed and not from the answers.

A unit-rate schedule is stretched by the inverse of the planned rate's integral (Cinlar 1975), for
constant rates, ramps and spikes alike. Of several workers each takes every n-th arrival.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from results.schema import ArrivalDistribution

RatePiece = tuple[float, float, float]  # seconds, rate at its start, rate at its end


def arrival_times(
    profile: Sequence[RatePiece],
    distribution: ArrivalDistribution,
    seed: str,
    part: int = 0,
    parts: int = 1,
) -> Iterator[float]:
    """Yield moments in [0, profile length), ascending; those of worker `part` of `parts`."""
    expected = _unit_gaps(distribution, seed)
    due, begun, number = next(expected), 0.0, 0
    for seconds, begin, end in profile:
        mass = seconds * (begin + end) / 2
        while due < mass:
            if number % parts == part:
                yield begun + _invert_rate(due, seconds, begin, end)
            number += 1
            due += next(expected)
        due -= mass
        begun += seconds


def _unit_gaps(distribution: ArrivalDistribution, seed: str) -> Iterator[float]:
    if distribution is ArrivalDistribution.CONSTANT:
        return itertools.chain([0.5], itertools.repeat(1.0))
    gaps = random.Random(seed)  # noqa: S311 - a schedule must be repeatable, not secret
    return (gaps.expovariate(1.0) for _ in itertools.count())


def _invert_rate(expected: float, seconds: float, begin: float, end: float) -> float:
    # the root of begin t + slope t^2/2 = expected
    slope = (end - begin) / seconds
    return 2 * expected / (begin + math.sqrt(begin * begin + 2 * slope * expected))
