"""Whether all came back, rightly, in an order that can be, and whether the time they took was really the server's."""

from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import number, seconds, share
from reports.metrics.breakdown import Split
from reports.metrics.model import Level, Study, Tally
from reports.stats.quantiles import QUANTILES, Latency, is_supported

A_WAY = 0.010  # seconds that one request in a hundred may spend between client and server


def check(study: Study) -> Iterator[Check]:
    """V7, V8, V11, V13, V14 of every cell, V19 of the run."""
    levels = {level.cell: level for route in study.everything for level in route.levels}
    loads = {load.cell: load for route in study.everything for load in route.offered}
    told: list[Latency | Level] = [*levels.values(), *(load.latency for load in loads.values() if load.latency)]
    shortest = min((reported(one) for one in told), default=0.0)
    for tally in study.tallies:
        level, load = levels.get(tally.cell), loads.get(tally.cell)
        latency = level or (load.latency if load else None)
        yield from counted(tally, latency.count if latency else None, overloaded=bool(load and load.overloaded))
        if tally.has_window:
            yield reconciled(tally)
        if level and level.little and not study.reproduces:
            why = "part of the users' time lies in requests planned before the window: unequal turns, so mean and percentiles are too short"
            yield Check("V11", "little residual", level.cell, level.little.residual, level.edge, 1.0, why)
        yield ordered(tally)
        yield from carried(tally, shortest)
        if level and level.users == 1 and level.split:
            yield alone(level.cell, level.split)
    yield floor(study)


def reported(latency: Latency | Level) -> float:
    """The tail that is reported of a load, in seconds: p99, or the longest where it is not known."""
    return (latency.quantiles["p99"] or latency.longest).low


def counted(tally: Tally, count: int | None, *, overloaded: bool) -> Iterator[Check]:
    """V7 and V8: whether all came back, and rightly. The limits tighten with the quantile that is claimed.

    Overload is a finding, and no percentile describes it: what still queues when such a test ends is a warning only.
    """
    claimed = 0.9 if count is None else max((q for q in QUANTILES.values() if is_supported(count, q)), default=0.5)
    tail = (1 - claimed) / 2
    open_, wrong, sent = tally.unfinished, tally.errors, max(tally.sent, 1)
    why = f"{open_} of {tally.sent} requests were unanswered when the drain ended: the slow ones are missing from the tail"
    yield Check("V7", "completion", tally.cell, open_ / sent, 0.0, 1.0 if overloaded else tail, why)
    why = f"{wrong} of {tally.sent} answers were errors or wrong bodies: quick errors flatter percentiles"
    yield Check("V8", "errors", tally.cell, wrong / sent, 0.001, min(0.01, tail), why)


def reconciled(tally: Tally) -> Check:
    """V11: the rows and the in-flight counter, two sources, must tell the same story by Little's law."""
    value = tally.little.identity if tally.little else None
    off = "nothing was in flight" if value is None else f"rows and in-flight counter disagree by {share(abs(value))}"
    return Check("V11", "little identity", tally.cell, value, 0.005, 0.01, f"{off}: more than 1 % means lost rows")


def ordered(tally: Tally) -> Check:
    """V13: planned, sent, in, out, answered - in this order, or clocks and ids do not agree."""
    broken, known = tally.health.broken, tally.health.stamped
    value = None if broken is None else float(broken)
    why = f"{broken} requests have moments in an impossible order; the server's own are known of {known:,} of {tally.sent:,}"
    if broken is None:
        why = "the target told no moments of its own, and may run on another clock"
    return Check("V13", "causality", tally.cell, value, 0.0, 0.0, why, number)


def carried(tally: Tally, shortest: float) -> Iterator[Check]:
    """V14: what a request that does nothing spends outside the server is time that no server can win back."""
    if tally.health.outside:
        median, tail = tally.health.outside
        why = f"half of all innocent requests spent more than {seconds(median)} outside the server"
        yield Check("V14", "transport", tally.cell, median, 0.002, A_WAY, why, seconds)
        why = f"one innocent request in a hundred spent {seconds(tail)} or more outside the server"
        yield Check("V14", "transport tail", tally.cell, tail, A_WAY, max(A_WAY, 0.1 * shortest), why, seconds)


def alone(cell: str, split: Split) -> Check:
    """V14 of a single user: nobody is in the way, so what is not spent in the app is spent on the way."""
    way = split.before_app + split.to_be_sent
    why = f"a single user's requests spend {seconds(way)} outside the app"
    return Check("V14", "transport, one user", cell, way, 0.002, A_WAY, why, seconds)


def floor(study: Study) -> Check:
    """V19: the route that does nothing, asked at the rate of the busiest cell, shows how finely this rig can tell."""
    known = [level for route in study.routes if (level := route.top) and level.users > 1]
    usual = min((level.quantiles["p50"] or level.mean for level in known), key=lambda one: one.low, default=None)
    if not study.floor or not usual or usual.low <= 0:
        why = "no route that does nothing was asked beside it, so what the rig itself costs is not known"
        return Check("V19", "floor", "*", None, 0.05, 0.25, why)
    why = f"a route that does nothing takes {seconds(study.floor)} at its p99, against a median of {seconds(usual.low)} and more"
    return Check("V19", "floor", "*", study.floor / usual.low, 0.05, 0.25, why)
