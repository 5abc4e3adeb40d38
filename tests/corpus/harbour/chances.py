"""How long things take in a harbour, in seconds: hardly ever as long as the time before."""

import math
import random

DICE = random.Random()  # noqa: S311 - weather, not secrets


def stormy() -> float:
    """80 ms; 1.2 s in 3 of 100."""
    return 1.2 if DICE.random() < 0.03 else 0.08


def mixed() -> float:
    """80 ms; 400 ms in one of ten."""
    return 0.4 if DICE.random() < 0.1 else 0.08


def breezy(median: float = 0.08) -> float:
    """Lognormal, with a sigma of 0.5."""
    return DICE.lognormvariate(math.log(median), 0.5)


def gusty(median: float = 0.08) -> float:
    """Lognormal, with a sigma of 1."""
    return DICE.lognormvariate(math.log(median), 1.0)


def memoryless(mean: float = 0.1) -> float:
    """Exponential."""
    return DICE.expovariate(1 / mean)


def rarely_slow() -> float:
    """50 ms; 2 s in one of a hundred."""
    return 2.0 if DICE.random() < 0.01 else 0.05
