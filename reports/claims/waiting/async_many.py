"""An awaiting `async def` serves as many at once as ask."""

from reports.claims.model import (
    Claim,
    ClaimOutcome,
    ClaimResult,
    format_served_interval,
    measured_route,
)
from reports.metrics.model import RunMetrics
from results.schema import Variant

_MIN_SHARE_CONFIRMED = 0.9  # of the users: the rest is what a request costs the CPU
_MIN_SHARE_NUANCED = 0.5


def _judge_async_many(run_metrics: RunMetrics) -> ClaimResult:
    """Served at once against the users of the top level; the CPU is the only limit left."""
    route, top, _, served = measured_route(run_metrics, Variant.ASYNC)
    if served >= _MIN_SHARE_CONFIRMED * top.users:
        outcome, why = (
            ClaimOutcome.CONFIRMED,
            "at each await the loop serves the others; one thread is enough",
        )
    elif served >= _MIN_SHARE_NUANCED * top.users:
        outcome, why = (
            ClaimOutcome.NUANCED,
            "many at once, but the CPU that each request costs has become the limit",
        )
    else:
        outcome, why = ClaimOutcome.REFUTED, "most of the users waited for others"
    cpu = "" if top.cpu is None else f", server CPU {top.cpu:.0%} of a core"
    measured = f"{format_served_interval(route)} of {top.users} at once{cpu}".replace("%", " %")
    return ClaimResult(f"{top.users} of {top.users} at once", measured, outcome, why)


CLAIM = Claim(
    id="async-many",
    sentence=(
        "At each `await` the event loop serves other requests: one thread, as many at once as ask."
    ),
    source="Sync vs Async - The Core Difference",
    judge=_judge_async_many,
    needs=("crowd/async/",),
)
