"""Whether a neighbour suffers from a load, and what it waits for."""

import math
from enum import StrEnum

from reports.metrics.model import Bystander
from results.thresholds import SUFFERS, SUFFERS_FROM

FULL_CORE = 0.8  # share of one core at which the server computes rather than waits


ONE = 1.5  # served at once below which one place is the only reading


SWITCH = 0.005  # seconds: sys.getswitchinterval(); who computes must offer the GIL only then


VISITS = 2  # times that an `async` route asks for the GIL until its answer is out: on waking, and after reading


NINE_TENTHS = 0.9  # the p90 of a moment that lies anywhere in a round


def suffers(neighbour: Bystander) -> bool:
    """Whether an innocent route is clearly harmed."""
    if not neighbour.loaded or neighbour.ratio is None:
        return False
    return neighbour.ratio >= SUFFERS and neighbour.loaded.low >= SUFFERS_FROM


class Wait(StrEnum):
    """What the `async` neighbour of a crowd waits for."""

    NOTHING = "nothing"  # neither of the two: at most for the core
    TURNS = "turns"  # the threads' turns with the GIL
    REQUESTS = "requests"  # whole requests, which hold the loop


def delays(users: int, service: float) -> dict[Wait, float]:
    """Its p90 in seconds, as theory has it: each of so many threads computes for a turn, or each request for a whole service time."""
    return {Wait.TURNS: VISITS * users * SWITCH, Wait.REQUESTS: NINE_TENTHS * users * service}


def waits_for(neighbour: Bystander, users: int, service: float) -> Wait | None:
    """The prediction that comes nearest, as a ratio; less than half of the turns is none of them: a shared core alone costs that.

    None where it felt nothing that can be told, or they cannot be told apart.
    """
    expected = delays(users, service)
    if not neighbour.loaded or not neighbour.idle or expected[Wait.REQUESTS] <= expected[Wait.TURNS]:
        return None
    felt = neighbour.loaded.low
    if felt < expected[Wait.TURNS] / 2:
        return Wait.NOTHING
    return min(expected, key=lambda one: abs(math.log(felt / expected[one])))
