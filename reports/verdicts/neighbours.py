"""What a neighbour waits for that a load slows, and by how much, in words."""

import math
from enum import StrEnum

from reports.metrics.model import NeighbourMetrics, RouteMetrics
from results.formatting import format_count, format_ratio, format_seconds
from results.judgement.predicates import is_neighbour_harmed
from results.thresholds import GIL_ACQUISITIONS, SWITCH_INTERVAL

SERIAL_LIMIT = 1.5  # served at once below which one place is the only reading
_ROUND_P90 = 0.9  # the p90 of a moment that lies anywhere in a round


class NeighbourWait(StrEnum):
    """What the `async` neighbour of a crowd waits for."""

    NOTHING = "nothing"  # neither of the two: at most for the core
    TURNS = "turns"  # the threads' turns with the GIL
    REQUESTS = "requests"  # whole requests, which hold the loop


def predicted_delays(users: int, service: float) -> dict[NeighbourWait, float]:
    """Return the neighbour's theoretical p90 in seconds, by what it waits for."""
    return {
        NeighbourWait.TURNS: GIL_ACQUISITIONS * users * SWITCH_INTERVAL,
        NeighbourWait.REQUESTS: _ROUND_P90 * users * service,
    }


def classify_wait(neighbour: NeighbourMetrics, users: int, service: float) -> NeighbourWait | None:
    """Return the prediction nearest to the measured p90; None where none stands out."""
    expected = predicted_delays(users, service)
    turns_delay, whole_delay = expected.values()
    if not neighbour.loaded or not neighbour.idle or whole_delay <= turns_delay:
        return None
    felt = neighbour.loaded.low
    if felt < turns_delay / 2:  # a shared core alone costs that
        return NeighbourWait.NOTHING
    return min(expected, key=lambda wait: abs(math.log(felt / expected[wait])))


def describe_worst_neighbour(route: RouteMetrics, users: int) -> str:
    """Say how much later the slowest neighbour answered, or the async one if none is slowed."""
    measured = [neighbour for neighbour in route.neighbours.values() if neighbour.slowdown]
    if not measured:
        return ""
    worst = max(measured, key=lambda x: (is_neighbour_harmed(x.effect), x.kind == "async"))
    effect = worst.effect
    name = f"`{'async def' if worst.kind == 'async' else worst.kind}` neighbour route"
    change = f"{format_seconds(effect.idle)} to {format_seconds(effect.loaded)}"
    if not is_neighbour_harmed(effect):
        return f"; the {name} stayed fast (p90 {change})"
    ratio, crowd = format_ratio(worst.slowdown or 0), format_count(users, "user")
    return f"; the {name} went from {change} (p90, {ratio}) under the load of {crowd}"
