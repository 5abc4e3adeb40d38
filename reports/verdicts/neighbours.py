"""By how much a load slows a neighbour, in words."""

from reports.metrics.model import RouteMetrics
from results.formatting import format_count, format_ratio, format_seconds
from results.judgement.predicates import is_neighbour_harmed


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
