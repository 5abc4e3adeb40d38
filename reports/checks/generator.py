"""Whether the load was the stated one: the generator's own stalls, lateness and CPU, the law of its arrivals, its connections."""

import math
from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import number, seconds, share
from reports.metrics.model import Level, Offered, Study, Tally
from reports.stats.quantiles import Latency
from results.schema import Scenario
from results.thresholds import SHORTEST_HARM

POISSON_PASS, POISSON_FAIL = 3.0, 6.0  # -log10 of p
REGULAR = 0.05  # a sender that takes 0.1 ms for each request cannot send 280 a second with a CV above .97
UNTOLD = "it was too short for the generator's ticker to tell"
A_STEP = 0.001  # seconds that the ticker may be late at its p99; or a twentieth of the reported tail, as V3 and V19 allow
OWN_STALL = 0.005  # seconds of stall at its p99 that a percentile bears
OWN_CORE = 0.010  # seconds of one stall that nothing suffers from


def check(study: Study) -> Iterator[Check]:
    """V2 to V6, V9, V12 and V21 of every cell."""
    levels = {level.cell: level for route in study.everything for level in route.levels}
    loads = {load.cell: load for route in study.everything for load in route.offered}
    least = SHORTEST_HARM if study.run["command"] == "doctor" else OWN_STALL
    for tally in study.tallies:
        load = loads.get(tally.cell)
        if not tally.is_aside:
            yield from own_stalls(tally, levels.get(tally.cell) or (load.latency if load else None), least)
        yield from punctual(tally, load, least)
        yield from thought(tally)
        if load:
            yield from arrivals(load)
        if not (load and load.overloaded):  # more connections are what overload takes
            yield from connected(tally)
    for one in study.missing:
        yield Check("V4", "all sent", one.cell, None, 0.0, 0.005, "planned, and not measured to its end")
    answered = study.run.get("told") or study.run.get("skipped")  # a run of questions alone measures no cell
    if not study.tallies and (study.missing or not answered):
        yield Check("V4", "all sent", "*", 1.0, 0.0, 0.005, "no cell was measured to its end")


def own_stalls(tally: Tally, reported: Level | Latency | None, most: float) -> Iterator[Check]:
    """V2 and V9: a generator that stands still, or has no CPU to spare, sells its own delay as the server's.

    `most` seconds of stall at its p99 are too much for what is concluded.
    """
    found = tally.health
    tail = (reported.quantiles["p99"] or reported.longest).low if reported else 0.0
    late = f"the generator's own ticker was {seconds(found.stall)} late at its p99: its stalls look like the server's tail"
    why = UNTOLD if found.stall is None else late
    fine = min(OWN_STALL, max(A_STEP, 0.05 * tail))
    if tally.has_window:  # sending a burst at one instant is a stall by itself
        yield Check("V2", "generator stalls", tally.cell, found.stall, fine, most, why, seconds)
    least = max(2 * most, 0.5 * tail) if tail else 10 * OWN_CORE
    why = UNTOLD if found.stall is None else f"the generator once stood still for {seconds(found.longest_stall)}"
    yield Check("V2", "longest stall", tally.cell, found.longest_stall, max(OWN_CORE, 0.05 * tail), least, why, seconds)
    why = UNTOLD if found.busy is None else f"the busiest generator process used {share(found.busy)} of its core"
    yield Check("V9", "generator CPU", tally.cell, found.busy, 0.5, 0.85, why)
    worst = f"in its worst second the busiest generator process used {share(found.busiest or 0.0)} of its core"
    why = UNTOLD if found.busiest is None else worst
    yield Check("V9", "generator CPU, worst second", tally.cell, found.busiest, 0.7, 0.85, why)


def punctual(tally: Tally, load: Offered | None, most: float) -> Iterator[Check]:
    """V3, V4, V5: whether all requests left, when planned, at the planned rate; `most` seconds late are too much."""
    unsent = tally.planned - tally.sent
    why = f"{unsent} of {tally.planned} planned requests were never sent"
    yield Check("V4", "all sent", tally.cell, unsent / max(tally.planned, 1), 0.0, 0.005, why)
    why = f"{tally.silent} requests of the schedule left not even a row"
    yield Check("V4", "no silent drop", tally.cell, tally.silent, 0.0, 0.0, why, number)
    late, behind = tally.health.lateness, tally.health.unpunctual
    if late is not None and not tally.cell.startswith(Scenario.FLOOR):  # the floor is what the rig costs, its lateness included
        median = load.latency.quantiles["p50"] if load and load.latency else None
        usual = median.low if median else 0.0
        why = f"one request in {10 if tally.is_aside or not load else 100} left {seconds(late)} late or later: else the load is not the stated one"
        yield Check("V3", "lateness", tally.cell, late, max(0.0015, 0.05 * usual), max(most, 0.1 * usual), why, seconds)
    if behind is not None and not (load and load.refused):
        why = f"the requests left {share(behind)} more slowly than the schedule asked: short of CPU, or of connections"
        yield Check("V5", "rate", tally.cell, behind, 0.01, 0.05, why)


def arrivals(load: Offered) -> Iterator[Check]:
    """V6: whether requests left as independent users would, where the plan says so."""
    for name, (gaps, variation, p) in zip(("schedule", "sends"), load.arrivals, strict=False):
        unlikely, near = -math.log10(max(p, 1e-99)), max(3 / math.sqrt(gaps), REGULAR)
        why = f"Poisson arrivals are as unevenly spread as these with p = {p:.2g} (value and limits: -log10 p)"
        yield Check("V6", f"arrival law, {name}", load.cell, unlikely, POISSON_PASS, POISSON_FAIL, why, "{:.3g}".format)
        why = f"the gaps scatter {number(variation)} times their mean; 1 is Poisson, 0 a metronome"
        yield Check("V6", f"arrival gaps, {name}", load.cell, variation - 1, near, max(0.3, near), why)


def thought(tally: Tally) -> Iterator[Check]:
    """V12: whether the users of a closed loop asked again as soon as they should."""
    spare = tally.health.thinking
    if spare is not None:
        why = f"between an answer and the user's next request {share(spare)} of a latency passed beyond the think time"
        yield Check("V12", "think time", tally.cell, spare, (-0.01, 0.05), (-0.03, 0.2), why)


def connected(tally: Tally) -> Iterator[Check]:
    """V21: connections opened in the middle take the server several turns of its loop each."""
    fresh = tally.health.reconnects
    if fresh is not None:
        why = f"connections opened while measuring, as a share of the requests: {share(fresh)}"
        yield Check("V21", "connections", tally.cell, fresh, 0.0, 0.01, why)
