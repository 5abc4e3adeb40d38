"""What a request costs as `async def` and as `def` that do nothing: the server's CPU, turn by turn in one process."""

import math

import numpy as np

from reports.claims.model import Claim, Judgement, Outcome, Untestable
from reports.formatting import between, seconds, share
from reports.metrics.model import Level, Study
from reports.metrics.repeats import in_words, ratios
from reports.stats.intervals import Restarts
from reports.verdicts.neighbours import FULL_CORE
from results.unloaded import student

HOP = 0.00016  # seconds for a hop into a thread and back, as published of another machine (invoke-ai/InvokeAI#9436)


def judge(study: Study) -> Judgement:
    """Turn against turn, so that what the machine does meets both; the whole interval of the ratio must lie above 1."""
    quick, hopping = turns(study, "async noop"), turns(study, "sync noop")
    costs = [Restarts(tuple((one.cpu or math.nan) / one.rate for one in levels)) for levels in (quick, hopping)]
    rates = [Restarts(tuple(one.rate for one in levels)) for levels in (quick, hopping)]
    dearer, faster = ratios(costs[1], costs[0]), ratios(*rates)
    if dearer is None or faster is None or dearer.interval is None or not dearer.estimate > 0:
        raise Untestable("five pairs of turns on the no-op pair, with the server's CPU")
    extra = np.subtract(costs[1].values, costs[0].values)
    hop, half = float(extra.mean()), student(len(extra) - 1) * float(extra.std(ddof=1)) / math.sqrt(len(extra))
    holds = dearer.interval[0] > 1
    return Judgement(
        predicted=f"CPU per request: `def` / `async def` > 1, by one hop into a thread and back (some {seconds(HOP)})",
        measured=f"CPU per request {in_words(costs[0], 's')} as `async def`, {in_words(costs[1], 's')} as `def`: "
        f"{between(dearer.estimate, dearer.interval)} times; `async def` {limits(study, quick, costs[0])}, `def` {limits(study, hopping, costs[1])}; "
        f"`async def` answered {between(faster.estimate, faster.interval)} times as many",
        outcome=Outcome.CONFIRMED if holds else Outcome.REFUTED,
        why=f"a hop costs {seconds(hop)} of CPU (within {seconds(half)}): next to any real work it is small, and only the empty route shows it"
        if holds
        else "the hop into a thread did not show in the server's CPU",
        bars=(("async def: CPU, ms", 1000 * costs[0].estimate), ("def: CPU, ms", 1000 * costs[1].estimate)),
    )


def limits(study: Study, levels: list[Level], costs: Restarts) -> str:
    """The capacity as measured, where the server's core was the bottleneck; else what a full core would pay for, at least."""
    full = float(np.mean([one.cpu or 0.0 for one in levels]))
    if full >= FULL_CORE:
        return f"capacity {in_words(Restarts(tuple(one.rate for one in levels)), 'req/s')}"
    names = {one.cell for one in levels}
    busy = max((one.health.busy or 0.0 for one in study.tallies if one.cell in names), default=0.0)
    paid = Restarts(tuple(1 / one for one in costs.values))
    return f"capacity at least {in_words(paid, 'req/s')} (1 / CPU per request: its core was {share(full)} full, the generator's {share(busy)})"


def turns(study: Study, variant: str) -> list[Level]:
    """All turns of one route, in their order. Raises Untestable without any."""
    route = study.route(variant)
    if route is None or not route.levels:
        raise Untestable(f"the turns of {variant}")
    return list(route.levels)


CLAIM = Claim(
    id="overhead",
    sentence="`async def` costs least per request; `def` pays for a hop into a thread and back.",
    source="async def vs def in FastAPI",
    judge=judge,
    needs=("crowd/async noop/", "crowd/sync noop/"),
)
