"""What each load of a run did, row by row and in sentences: crowds, bursts and arrivals at a rate, of any route.

All requests of a load are counted, so that none can vanish; rates and latencies are those of its window.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reports.console import fits
from reports.formatting import count, number, seconds, share, times, value
from reports.metrics.burst import Burst
from reports.metrics.model import Level, Missing, Offered, Route, Study
from reports.metrics.repeats import in_words, line, ratios
from reports.stats.intervals import Restarts
from reports.stats.model import Model, Source
from reports.stats.quantiles import Latency
from results.schema import Variant

Row = tuple[str, ...]
OVERLOADED = "overloaded"
SILENT = ("", "unknown", "untrusted")  # verdicts that say nothing about one load
COLUMNS: Row = (
    *("route", "load", "sent", "answered", "unanswered", "never sent", "errors"),
    *("req/s", "mean", "p50", "p95", "p99", "longest", "note"),
)
SPARE = ("never sent", "errors", "unanswered")  # first to go on a narrow terminal, where they are 0 in every row
LEAST = (*SPARE, "answered", "p95", "sent", "longest", "p50", "mean", "req/s", "note")  # what goes next, in this order
HIDES = 2.0  # times too low from which what a closed loop would have told is worth a sentence
QUIET = 1.1  # times the unloaded latency up to which a mean has no queue in it


def loads(study: Study, verdicts: Mapping[str, str]) -> list[Row]:
    """One row per measured load, in the order of `COLUMNS`; `verdicts` by variant, for the largest crowd's note."""
    tallies = {tally.cell: tally for tally in study.tallies}
    found = []
    for route in study.routes:
        for cell, load, rate, latency, note in parts(route, verdicts.get(route.variant, "")):
            of = tallies[cell]
            answered, never = of.sent - of.unfinished - of.errors, of.planned - of.sent
            counts = [f"{one:,}" for one in (of.sent, answered, of.unfinished, never, of.errors)]
            found.append((route.route, load, *counts, rate, *durations(latency), note))
    return found


def parts(route: Route, verdict: str) -> Iterator[tuple[str, str, str, Latency | Level | None, str]]:
    """Cell, load, rate, latencies and note of everything that was measured of one route."""
    for burst in route.bursts:
        again_ = burst.cell.rpartition("~")[2] if "~" in burst.cell.rpartition("/")[2] else "1"
        yield burst.cell, f"burst of {burst.size}" + again(int(again_)), "-", burst.latency, ""
    for level in route.levels:
        note = verdict if level is route.top and verdict not in SILENT else ""
        yield level.cell, count(level.users, "user") + again(level.repeat), number(level.rate), level, note
    for one in route.offered:
        note = OVERLOADED if one.overloaded else ""
        yield one.cell, stated(one), number(one.throughput), one.latency, note


def durations(latency: Latency | Level | None) -> Row:
    """Mean, quantiles and longest as people read them; `-` where nothing was right."""
    if latency is None:
        return ("-",) * 5
    return (value(latency.mean), *(quantile(latency, name) for name in ("p50", "p95", "p99")), value(latency.longest))


def stated(one: Offered) -> str:
    """The load as it was asked for: `15/s poisson, 80 %, 2nd`."""
    part = f", {share(one.share)}" if one.share is not None else ""
    rises = "" if one.peak < 1.001 * one.nominal else f", up to {one.peak:,.4g}/s"
    return f"{one.nominal:,.4g}/s {one.law}{rises}{part}{again(one.repeat)}"


def again(repeat: int) -> str:
    """Which repeat it was, from the second on."""
    return "" if repeat == 1 else f", {repeat}{ {2: 'nd', 3: 'rd'}.get(repeat, 'th') }"


def quantile(found: Latency | Level, name: str) -> str:
    """A quantile, or how many samples, or independent ones among them, were too few for it."""
    one, worth = found.quantiles[name], found.independent if isinstance(found, Latency) else None
    return value(one) if one else f"n={found.count}" if worth is None else f"n~{worth:.0f}"


def columns_for(rows: list[Row], width: int) -> list[int]:
    """The columns that fit; what is 0 everywhere is lost first, then what matters least."""
    idle = [name for name in SPARE if {row[COLUMNS.index(name)] for row in rows} == {"0"}]
    keep = [i for i, name in enumerate(COLUMNS) if name != "note" or any(row[i] for row in rows)]
    for name in dict.fromkeys((*idle, *LEAST)):
        if fits([COLUMNS, *rows], keep, width):
            break
        keep = [i for i in keep if COLUMNS[i] != name]
    return keep


def stopped(one: Missing) -> str:
    """How far a cell came that was not measured to its end."""
    if not one.planned:
        return f"not measured to its end: {one.cell}: it was never begun"
    never = f", {one.planned - one.sent:,} never sent" if one.planned > one.sent else ""
    out = f"{one.sent:,} sent, {one.answered:,} answered, {one.sent - one.answered:,} still in flight{never}"
    return f"not measured to its end: {one.cell}: {out} when it stopped after {seconds(one.seconds)}"


def sentences(route: Route) -> Iterator[str]:
    """The lowest rate that overloads the route, the highest that does not, and how far repeats lie apart."""
    top = route.top
    if top and route.service is None:
        yield f"{route.route} with {count(top.users, 'user')}: {number(top.rate)} req/s, mean {value(top.mean)}."
    if top and top.little and abs(top.little.residual) > top.edge:
        users, explained = top.users, number(top.users * (1 - top.little.residual))
        yield (
            f"Rate times mean latency explains only {explained} of {users} users: the others waited from before the window or beyond it, "
            f"{seconds(top.longest.low)} at the longest, so the mean is too short."
        )
    for burst in () if route.levels else route.bursts:
        if burst.latency:
            came = answered(burst, route.service)
            yield f"{route.route}: the last of a burst of {burst.size} was answered after {value(burst.latency.longest)}: {came}."
    good = [one for one in route.offered if not one.overloaded and one.latency]
    bad = [one for one in route.offered if one.overloaded]
    if good:
        yield steady(route, max(good, key=lambda one: one.nominal))
    if bad:
        yield overload(route, min(bad, key=lambda one: one.nominal))
    yield from spreads(route)


def answered(burst: Burst, service: float | None) -> str:
    """How the answers of a burst came, as those saw it who asked: a staircase only where there is one."""
    steps, finished = burst.steps(service), sum(map(math.isfinite, burst.done))
    if not steps:
        return "not at all"
    if finished < burst.size:
        return f"as far as they were, at {count(steps, 'moment') if steps > 1 else 'one moment'}"
    if steps == 1:
        return "all at one moment"
    return "one after another" if steps == burst.size else f"at {steps} moments"


def steady(route: Route, one: Offered) -> str:
    """A load that the route could bear."""
    assert one.latency  # noqa: S101 - the caller looked
    unloaded = route.service or one.floor
    p99 = one.latency.quantiles["p99"]
    tail = f"p99 {value(p99)}" if p99 else f"longest {value(one.latency.longest)}"
    mean, queue = value(one.latency.mean), ""
    if unloaded and one.latency.mean.exact and one.latency.mean.exact <= QUIET * unloaded:
        little = ", hardly anything queued" if one.replayed else ", nothing queued"
        queue = "" if one.replayed and one.replayed.is_unfair else little
    elif route.service or one.places:  # else nobody knows what it takes unloaded
        mean += f" ({times(one.latency.mean.low / (unloaded or 1))} the unloaded {seconds(unloaded)})"
    return f"{route.route} at {number(one.nominal)} req/s: mean {mean}, {tail}{queue}.{in_turn(one)}{left_out(one)}"


def in_turn(one: Offered) -> str:
    """What the same sends would have waited on ideal places, in order, and what follows from the difference."""
    found = one.replayed
    if not found:
        least = f", at least {one.served.at_least}" if one.served.at_least else ""
        known = one.served.source not in {Source.UNKNOWN, Source.AT_LEAST}
        return "" if known else f" How many it serves at once is not known{least}: no replay."
    name = next((name for name in ("p99", "p95") if found.supports(name)), "max")
    ideal, tail = found.replayed, found.ratio(name)
    words = f" Replay of its own arrivals through {count(found.places, 'place')} of {seconds(found.d)}: "
    words += f"mean {seconds(ideal['mean'])}, {name.replace('max', 'longest')} {seconds(ideal[name])}; "
    off = f"measured mean {number(found.mean_ratio)}" + (f" and {name} {number(tail)}" if tail else "") + " times that"
    if not found.drained:
        return f"{words}some were never answered, so the two cannot be compared."
    if found.model is Model.BROKEN and found.follows:
        return f"{words}it kept to that most of the time, but stood still or slowed down in between: not a fixed-service queue."
    if found.model is Model.BROKEN:
        return " No number of places that take a fixed time explains its completions: not a fixed-service queue."
    if found.is_unfair:
        return f"{words}measured p99 is {number(found.ratio('p99') or 1.0)} times the replay's: served out of order, somebody is overtaken."
    return f"{words}{off}" + (", so its arrivals explain the waiting." if found.model is Model.HOLDS else ".")


def left_out(one: Offered) -> str:
    """How much a closed loop would have hidden, where that is a lot."""
    told = hidden(one)
    if not told or not one.spectrum or told.ratio < HIDES:
        return ""
    users, low = count(one.spectrum.users, "user"), times(told.ratio)[1:]
    return f" A closed-loop tool with {users} would have told {told.name} as {seconds(told.told)}, at least {low} times too low."


@dataclass(frozen=True, slots=True)
class Hidden:
    """One percentile as it was, and as a closed-loop tool would have told it (seconds)."""

    name: str
    measured: float
    told: float

    @property
    def ratio(self) -> float:
        """How many times too low that is, at least."""
        return self.measured / self.told


def hidden(one: Offered) -> Hidden | None:
    """The highest percentile of this run's own requests that both support."""
    both = (one.spectrum.own, one.spectrum.told) if one.spectrum else (None, None)
    for name in ("p99", "p95", "p50"):
        true, heard = (found.quantiles[name] if found else None for found in both)
        if true and heard and heard.low > 0:
            return Hidden(name, true.low, heard.low)
    return None


def overload(route: Route, one: Offered) -> str:
    """A load that the route could not bear. Its latencies say how long the test was, so they are not what to quote."""
    refused = f" {one.refused:,} more were never sent: the cap on requests in flight was reached." if one.refused else ""
    head = f"{route.route} was offered {number(one.rate)} req/s and answered {number(one.throughput)}"
    if one.refused or one.growth <= 0 or not one.throughput:
        return f"{head}: overloaded.{refused} No percentile describes that."
    slope = seconds(one.growth / one.throughput)
    return (
        f"{head}: {number(one.growth)} more wait every second, and latency grows by {slope} per second of test. "
        f"No percentile describes that; capacity is about {number(one.capacity or one.throughput)} req/s.{explained(one)}"
    )


def explained(one: Offered) -> str:
    """Whether the replay of an overload, in which any small error grows with the test, tells the same story."""
    found = one.replayed
    if not found or not found.follows:
        return ""
    what = f"{count(found.places, 'place')} of {seconds(found.d)}"
    if found.drained and found.model is Model.HOLDS:
        return f" Its own arrivals through {what} wait as long: mean {seconds(found.replayed['mean'])}."
    return f" Its answers came as from {what}."


def spreads(route: Route) -> Iterator[str]:
    """How far the repeats of one load lie apart: throughput of a crowd, mean latency at a rate."""
    rates = sorted(level.rate for level in route.levels if route.top and level.users == route.top.users)
    if route.top and route.restarts:
        restarts = len(rates)
        yield f"Over {restarts} restarts with {count(route.top.users, 'user')}: {', '.join(line(route.restarts))}."
    elif route.top and len(rates) > 1:
        yield f"{len(rates)} repeats with {count(route.top.users, 'user')}: {number(rates[0])} to {number(rates[-1])} req/s."
    good = [one for one in route.offered if one.latency and not one.overloaded]
    for level in dict.fromkeys(one.share or one.nominal for one in good):
        alike = [one for one in good if (one.share or one.nominal) == level]
        means = [one.latency.mean for one in alike if one.latency]
        worth = tuple(one.beyond or 0.0 for one in means) if route.restarts else (0.0,)  # nobody restarted a stranger's app
        if len(means) > 1:
            spread = Restarts(tuple(one.low for one in means), worth)
            yield f"{len(means)} repeats at {stated(alike[0])}: mean {in_words(spread, 's')}."


def compared(study: Study) -> str:
    """How many times as long a request takes as on the awaiting route, restart by restart; nothing of a single run."""
    base = study.route(Variant.ASYNC)
    found, runs = [], 0
    for route in study.routes if base and study.reproduces else ():
        if route is not base and base and (one := ratios(route.restarts.get("mean_s"), base.restarts.get("mean_s"))):
            found.append(f"{route.variant} {in_words(one, '')}")
            runs = len(one.values)
    words = f"Mean latency over that of async, each with its largest crowd, over {runs} restarts: {', '.join(found)}."
    return words if found else ""
