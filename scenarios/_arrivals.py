"""When each request of an open model should leave: Poisson arrivals from a seed, whatever became of the earlier ones."""

import random
from collections.abc import Iterator


def poisson(rate: float, seconds: float, seed: str) -> Iterator[float]:
    """Moments in [0, seconds), with independent exponential gaps of mean 1/`rate`. The same seed, the same moments."""
    gaps = random.Random(seed)  # noqa: S311 - a schedule must be repeatable, not secret
    moment = gaps.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += gaps.expovariate(rate)
