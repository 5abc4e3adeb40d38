"""Checks the generated load: generator stalls, lateness, CPU, arrivals, connections."""

import math
from collections.abc import Iterator

from reports.checks.model import Check, MeasuredCell, measured_cells, set_cell
from reports.metrics.model import OpenLoadMetrics, RunMetrics
from results.formatting import format_number, format_seconds
from results.schema import Scenario
from results.thresholds import MIN_HARM_SECONDS

# a sender that takes 0.1 ms for each request cannot send 280 a second with a CV above .97
_CV_TOLERANCE = 0.05
# seconds that the ticker's p99 may be late; or a twentieth of the reported tail, as in V3 and V19
_TICKER_TOLERANCE = 0.001
_MAX_STALL_P99 = 0.005  # seconds of stall at its p99 that percentiles tolerate
_MAX_SINGLE_STALL = 0.010  # seconds of one stall without any effect
_ALL_SENT = (0.0, 0.005)
_FREE_GENERATOR = "Give the generator a core of its own, stop other programs, or send less load."
_SPREAD = "more generator processes (plain Locust: --processes)"
_SLOWER = f"Choose a lower rate, or spread the load over {_SPREAD}."
_LESS = f"Send less load, or spread it over {_SPREAD}."
_FINISH = (
    "Let the run end by itself, choose a lower rate, or raise --cap. log.txt says why sending"
    " stopped."
)
_EVEN_GAPS = (
    "If you want even gaps, use --arrivals constant. Else the generator was too busy for its"
    " schedule."
)


def check_generator(run_metrics: RunMetrics) -> Iterator[Check]:
    """Check the generator in every cell: V2 to V6, V9, V12 and V21."""
    for cell in measured_cells(run_metrics):
        max_delay = MIN_HARM_SECONDS if cell.is_doctor else _MAX_STALL_P99
        stalls = () if cell.counts.is_neighbour_cell else _check_own_stalls(cell, max_delay)
        arrivals = _check_arrivals(cell.load) if cell.load else ()
        sends, reconnects = _check_sends(cell, max_delay), _check_reconnects(cell)
        yield from set_cell(cell.counts.cell, stalls, sends, arrivals, reconnects)
    title, reason = "V4 all sent", "planned, but not measured to its end"
    for part in run_metrics.unfinished_cells:
        yield Check(title, None, *_ALL_SENT, "", _FINISH, unknown=reason, cell=part.cell)
    # A run of questions alone measures no cell.
    answered = run_metrics.run.answers or run_metrics.run.skipped
    if not run_metrics.cell_counts and (run_metrics.unfinished_cells or not answered):
        yield Check(title, 1.0, *_ALL_SENT, "no cell was measured to its end", _FINISH)


def _check_own_stalls(cell: MeasuredCell, max_delay: float) -> Iterator[Check]:
    """Check V2 and V9: the delay of a generator that lacks CPU looks like the server's."""
    health, tail, unknown = cell.health, cell.tail, "the cell was too short to measure it"
    if cell.counts.has_window:  # sending a burst at one instant is a stall by itself
        title, value = "V2 generator stalls", health.stall_p99
        least = min(_MAX_STALL_P99, max(_TICKER_TOLERANCE, 0.05 * tail))
        meaning = "1 in 100 timer ticks of the generator came {} late or later: answers look slow"
        yield Check(
            title, value, least, max_delay, meaning, _FREE_GENERATOR, format_seconds, unknown
        )
    title, least = "V2 longest stall", max(_MAX_SINGLE_STALL, 0.05 * tail)
    most = max(2 * max_delay, 0.5 * tail) if tail else 10 * _MAX_SINGLE_STALL
    value, meaning = health.longest_stall, "the generator once stopped for {}"
    yield Check(title, value, least, most, meaning, _FREE_GENERATOR, format_seconds, unknown)
    title, meaning = "V9 generator CPU", "the busiest generator process used {} of its core"
    yield Check(title, health.generator_cpu, 0.5, 0.85, meaning, _LESS, unknown=unknown)
    title, meaning = f"{title}, worst second", f"{meaning} in its worst second"
    yield Check(title, health.generator_cpu_peak, 0.7, 0.85, meaning, _LESS, unknown=unknown)


def _check_sends(cell: MeasuredCell, max_lateness: float) -> Iterator[Check]:
    """Check V3, V4, V5 and V12: whether all requests left, when planned, at the planned rate."""
    counts, health, load = cell.counts, cell.health, cell.load
    unsent = counts.planned - counts.sent
    meaning = f"{unsent} of {counts.planned} planned requests ({{}}) were never sent"
    yield Check("V4 all sent", unsent / max(counts.planned, 1), *_ALL_SENT, meaning, _FINISH)
    title, meaning = "V4 no silent drop", "{} planned requests have no row at all"
    yield Check(title, counts.unrecorded, 0.0, 0.0, meaning, _FINISH, format_number)
    # the floor is the measuring setup's own cost, its lateness included
    if health.lateness is not None and not counts.cell.startswith(Scenario.FLOOR):
        median = load.latency.quantiles["p50"] if load and load.latency else None
        usual = median.low if median else 0.0
        limits = (max(0.0015, 0.05 * usual), max(max_lateness, 0.1 * usual))
        group = 10 if counts.is_neighbour_cell or not load else 100
        meaning = f"1 in {group} requests left {{}} late or later: this is not the planned load"
        yield Check("V3 lateness", health.lateness, *limits, meaning, _SLOWER, format_seconds)
    if health.unsent_share is not None and not (load and load.refused):
        meaning = "the requests left {} more slowly than planned: too little CPU or connections"
        yield Check("V5 rate", health.unsent_share, 0.01, 0.05, meaning, _SLOWER)
    if health.think_time_excess is not None:
        title, value = "V12 think time", health.think_time_excess
        meaning = "users sent their next requests {} of a latency later than planned"
        advice = f"Spread the users over {_SPREAD}: the generator's own work delays its users."
        yield Check(title, value, (-0.01, 0.05), (-0.03, 0.2), meaning, advice)


def _check_arrivals(load: OpenLoadMetrics) -> Iterator[Check]:
    """Check V6: whether requests left as independent users would, where the plan wants it."""
    for name, (gaps, variation, p) in zip(("schedule", "sends"), load.arrival_tests, strict=False):
        title, value = f"V6 arrival law, {name}", -math.log10(max(p, 1e-99))
        meaning = "independent users send as unevenly as this with a probability of {}"
        yield Check(title, value, 3.0, 6.0, meaning, _EVEN_GAPS, _format_probability)
        title, near = f"V6 arrival gaps, {name}", max(3 / math.sqrt(gaps), _CV_TOLERANCE)
        ratio = format_number(variation)
        meaning = f"gaps vary by {ratio} times their mean, {{}} off the 1 of independent users"
        yield Check(title, variation - 1, near, max(0.3, near), meaning, _EVEN_GAPS)


def _format_probability(value: float) -> str:
    return f"{10**-value:.2g}"


def _check_reconnects(cell: MeasuredCell) -> Iterator[Check]:
    """Check V21: a connection opened while measuring costs the server several turns of its loop."""
    if cell.health.reconnect_share is not None and not cell.is_overloaded:  # it needs more of them
        title, value = "V21 connections", cell.health.reconnect_share
        meaning = "the requests opened {} new connections each while measuring"
        advice = (
            "Keep connections alive for longer than the run, and give the client enough of them."
        )
        yield Check(title, value, 0.0, 0.01, meaning, advice)
