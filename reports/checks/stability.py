"""Whether one number stands for what was measured: a steady run, a sample large enough, a queue that keeps its law."""

import math
from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import count, number, seconds, share
from reports.metrics.model import Level, Offered, Route, Study
from reports.stats.model import BROKEN, HOLDS, OVERTAKEN
from reports.stats.quantiles import BEYOND, ENOUGH_RUNS, QUANTILES, Latency
from reports.stats.stationarity import Steadiness

UNLIMITED = 1e9
LUMPY, NOTHING_CAME = 0.25, 0.9  # shares of a window without an answer
VARIATION = {"p50_s": (0.03, 0.06), "p99_s": (0.15, 0.30)}  # coefficients of variation between restarts: passes, fails


def check(study: Study) -> Iterator[Check]:
    """V15 to V17, V20, V23 and V24 of every load; V18 of every route that was restarted."""
    for route in study.everything:
        yield from repeated(route)
        for level in route.levels:
            if level.steadiness:
                yield from steady(level.cell, level.steadiness)
            yield from supported(level.cell, level)
            yield in_rounds(level)
        for load in (one for one in route.offered if one.latency and not one.overloaded):
            assert load.latency  # noqa: S101 - filtered
            yield from steady(load.cell, load.steadiness)
            yield from supported(load.cell, load.latency)
            yield from modelled(load)


def steady(cell: str, found: Steadiness | None) -> Iterator[Check]:
    """V15 and V16: a transient at the start, or a run that changed on its way. Judged by size, never by a p-value."""
    if not found:
        why = "too few requests, or a queue that no replay explains, whose own wandering nobody can tell from a drift"
        yield Check("V16", "drift", cell, None, 0.10, 0.25, why)
        return
    why = f"to be steady, the first {share(found.settled)} of the requests would have to be dropped (MSER)"
    yield Check("V15", "warm-up", cell, found.settled, 0.5, 0.5, why)
    why = f"latency changed by {share(found.drift)} from begin to end"
    yield Check("V16", "drift", cell, found.drift, 0.10, 0.25, why)
    jumped = f"the level of latency jumped after {share(found.last_step)} of the requests"
    why = jumped if found.last_step else "no jump of the level"
    yield Check("V16", "last step", cell, found.last_step, 0.5, 1.0, why)


def repeated(route: Route) -> Iterator[Check]:
    """V18: how many runs an interval over restarts rests on, and how far they lie apart. Of a single run there is none."""
    for name, (fine, too_much) in VARIATION.items():
        one, cell = route.restarts.get(name), route.levels[-1].cell if route.levels else "*"
        if one:
            runs, quantile = len(one.values), name.removesuffix("_s")
            why = f"{runs} restarts; an interval over them takes {ENOUGH_RUNS}"
            yield Check("V18", f"restarts, {quantile}", cell, runs, (ENOUGH_RUNS, math.inf), (0.0, math.inf), why, number)
            why = f"{quantile} varies by {share(one.variation)} between restarts"
            most = too_much if one.interval else UNLIMITED
            yield Check("V18", f"restarts, {quantile} apart", cell, one.variation, fine, most, why)


def supported(cell: str, latency: Latency | Level) -> Iterator[Check]:
    """V17: how many independent requests lie beyond the highest percentile that is printed. Never a fault of the run."""
    printed = [(name, one) for name in QUANTILES if (one := latency.quantiles[name])]
    if not printed:
        return
    name, one = printed[-1]
    beyond = latency.count * (1 - QUANTILES[name]) if one.beyond is None else one.beyond
    kind = "" if one.beyond is None else "independent "
    why = f"{number(beyond)} {kind}requests lie beyond its {name}, the highest percentile that is printed"
    yield Check("V17", "sample size", cell, beyond, (BEYOND, math.inf), (0.0, math.inf), why, number, is_finding=True)


def in_rounds(level: Level) -> Check:
    """V24: where answers come in lumps, a rate counts one too many or too few, unless the window held whole rounds of all users."""
    is_whole = level.completed > 0 and level.completed % level.users == 0
    edges = 0.0 if is_whole else level.lull / level.seconds if level.completed else 1.0
    why = f"no answer came for {seconds(level.lull)} of {seconds(level.seconds)}: its {count(level.completed, 'answer')} are the luck of where it began"
    if is_whole:
        why = f"it held {count(level.completed // level.users, 'round')} of all its users"
    return Check("V24", "lumps", level.cell, edges, LUMPY, NOTHING_CAME, why)


def modelled(load: Offered) -> Iterator[Check]:
    """V20 and V23: findings about the server, from the replay of the load's own arrivals."""
    found = load.replayed
    if not found:
        return
    if found.drained:
        why = f"the mean is {number(found.mean_ratio)} times that of {found.places} places that take {seconds(found.d)} each"
        yield Check("V20", "model, mean", load.cell, found.mean_ratio - 1, HOLDS, BROKEN, why, is_finding=True)
    why = f"completions lie {share(found.completion_error)} of a service time from those of the replay (median)"
    yield Check("V20", "model, completions", load.cell, found.completion_error, 0.05, BROKEN, why, is_finding=True)
    unfair = found.ratio("p99")
    if unfair is not None:
        few = f", {share(load.starved or 0.0)} of the connections got fewer than half as many answers as the median one"
        starved = few if load.starved else ""
        why = f"p99 is {number(unfair)} times that of serving in the order of arrival; the longest wait of a connection was {seconds(found.longest_wait)}{starved}"
        yield Check("V23", "fairness", load.cell, unfair, (0.0, OVERTAKEN), (0.0, math.inf), why, number, is_finding=True)
