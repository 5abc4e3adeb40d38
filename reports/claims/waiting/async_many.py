"""An awaiting `async def` serves as many at once as ask."""

from reports.claims.model import Claim, Judgement, Outcome, at_once, measured_route
from reports.metrics.model import Study
from results.schema import Variant

ALL = 0.9  # of the users: the rest is what a request costs the CPU
MANY = 0.5


def judge(study: Study) -> Judgement:
    """Served at once against the users of the top level; the CPU is the only limit left."""
    route, top, _, served = measured_route(study, Variant.ASYNC)
    if served >= ALL * top.users:
        outcome, why = Outcome.CONFIRMED, "at each await the loop serves the others; one thread is enough"
    elif served >= MANY * top.users:
        outcome, why = Outcome.NUANCED, "many at once, but the CPU that each request costs has become the limit"
    else:
        outcome, why = Outcome.REFUTED, "most of the users waited for others"
    cpu = "" if top.cpu is None else f", server CPU {top.cpu:.0%} of a core"
    measured = f"{at_once(route)} of {top.users} at once{cpu}".replace("%", " %")
    return Judgement(f"{top.users} of {top.users} at once", measured, outcome, why)


CLAIM = Claim(
    id="async-many",
    sentence="At each `await` the event loop serves other requests: one thread, as many at once as ask.",
    source="Sync vs Async - The Core Difference",
    judge=judge,
    needs=("crowd/async/",),
)
