"""Checks the generated load: generator stalls, lateness, CPU, arrivals, connections."""

import math
from collections.abc import Iterator

from reports.checks.model import Check, MeasuredCell, measured_cells, set_cell
from reports.formatting import format_number, format_seconds
from reports.metrics.model import OpenLoadMetrics, RunMetrics
from results.schema import Scenario
from results.thresholds import MIN_HARM_SECONDS

# a sender that takes 0.1 ms for each request cannot send 280 a second with a CV above .97
_CV_TOLERANCE = 0.05
# seconds that the ticker's p99 may be late; or a twentieth of the reported tail, as in V3 and V19
_TICKER_TOLERANCE = 0.001
_MAX_STALL_P99 = 0.005  # seconds of stall at its p99 that percentiles tolerate
_MAX_SINGLE_STALL = 0.010  # seconds of one stall without any effect
_TOO_SHORT = "the cell was too short to measure the generator"
_FREE_GENERATOR = "Give the generator a core of its own, stop other programs, or send less load."
_SPREAD = "more generator processes (plain Locust: --processes)"
_SLOWER = f"Choose a lower rate, or spread the load over {_SPREAD}."
_LESS = f"Send less load, or spread it over {_SPREAD}."
_FINISH = (
    "Let the run end by itself, choose a lower rate, or raise --cap. log.txt says what stopped the"
    " sending."
)
_EVEN_GAPS = (
    "Use --arrivals constant if you want even gaps; otherwise the generator was too busy to keep"
    " its schedule."
)


def check_generator(run_metrics: RunMetrics) -> Iterator[Check]:
    """Check the generator in every cell: V2 to V6, V9, V12 and V21."""
    for cell in measured_cells(run_metrics):
        max_delay = MIN_HARM_SECONDS if cell.is_doctor else _MAX_STALL_P99
        name = cell.counts.cell
        if not cell.counts.is_neighbour_cell:
            yield from set_cell(name, _check_own_stalls(cell, max_delay))
        yield from set_cell(name, _check_sends(cell, max_delay))
        if cell.load:
            yield from set_cell(name, _check_arrivals(cell.load))
        yield from set_cell(name, _check_reconnects(cell))
    sent_limits, unfinished = (0.0, 0.005), "planned, but not measured to its end"
    for part in run_metrics.unfinished_cells:
        yield Check(
            "V4 all sent", None, sent_limits, "", _FINISH, unknown=unfinished, cell=part.cell
        )
    # A run of questions alone measures no cell.
    answered = run_metrics.run.get("told") or run_metrics.run.get("skipped")
    if not run_metrics.cell_counts and (run_metrics.unfinished_cells or not answered):
        yield Check("V4 all sent", 1.0, sent_limits, "no cell was measured to its end", _FINISH)


def _check_own_stalls(cell: MeasuredCell, max_delay: float) -> Iterator[Check]:
    """V2, V9: the delay of a generator that stalls or lacks CPU looks like the server's."""
    health, tail = cell.health, cell.tail
    if cell.counts.has_window:  # sending a burst at one instant is a stall by itself
        yield Check(
            "V2 generator stalls",
            health.stall_p99,
            (min(_MAX_STALL_P99, max(_TICKER_TOLERANCE, 0.05 * tail)), max_delay),
            "one timer tick in a hundred of the generator was {} late or later: such stalls look"
            " like slow answers",
            _FREE_GENERATOR,
            format_seconds,
            _TOO_SHORT,
        )
    most = max(2 * max_delay, 0.5 * tail) if tail else 10 * _MAX_SINGLE_STALL
    yield Check(
        "V2 longest stall",
        health.longest_stall,
        (max(_MAX_SINGLE_STALL, 0.05 * tail), most),
        "the generator once stopped for {}",
        _FREE_GENERATOR,
        format_seconds,
        _TOO_SHORT,
    )
    busiest = "the busiest generator process used {} of its core"
    yield Check(
        "V9 generator CPU", health.generator_cpu, (0.5, 0.85), busiest, _LESS, unknown=_TOO_SHORT
    )
    yield Check(
        "V9 generator CPU, worst second",
        health.generator_cpu_peak,
        (0.7, 0.85),
        f"in its worst second {busiest}",
        _LESS,
        unknown=_TOO_SHORT,
    )


def _check_sends(cell: MeasuredCell, max_lateness: float) -> Iterator[Check]:
    """V3, V4, V5, V12: whether all requests left, when planned, at the planned rate."""
    counts, health, load = cell.counts, cell.health, cell.load
    unsent = counts.planned - counts.sent
    meaning = f"{unsent} of {counts.planned} planned requests ({{}}) were never sent"
    yield Check("V4 all sent", unsent / max(counts.planned, 1), (0.0, 0.005), meaning, _FINISH)
    meaning = "{} planned requests have no row at all"
    yield Check("V4 no silent drop", counts.unrecorded, (0.0, 0.0), meaning, _FINISH, format_number)
    # The floor is the measuring setup's own cost, its lateness included.
    if health.lateness is not None and not counts.cell.startswith(Scenario.FLOOR):
        median = load.latency.quantiles["p50"] if load and load.latency else None
        usual = median.low if median else 0.0
        yield Check(
            "V3 lateness",
            health.lateness,
            (max(0.0015, 0.05 * usual), max(max_lateness, 0.1 * usual)),
            f"one request in {10 if counts.is_neighbour_cell or not load else 100} was sent {{}}"
            " late or later: the load was not the planned one",
            _SLOWER,
            format_seconds,
        )
    if health.unsent_share is not None and not (load and load.refused):
        yield Check(
            "V5 rate",
            health.unsent_share,
            (0.01, 0.05),
            "the requests were sent {} more slowly than planned: too little CPU, or too few"
            " connections",
            _SLOWER,
        )
    if health.think_time_excess is not None:
        yield Check(
            "V12 think time",
            health.think_time_excess,
            ((-0.01, 0.05), (-0.03, 0.2)),
            "between an answer and the user's next request {} of a latency passed beyond the think"
            " time",
            f"Spread the users over {_SPREAD}: the generator's own work delays its users.",
        )


def _check_arrivals(load: OpenLoadMetrics) -> Iterator[Check]:
    """V6: whether requests left as independent users would, where the plan says so."""
    for name, (gaps, variation, p) in zip(("schedule", "sends"), load.arrival_tests, strict=False):
        yield Check(
            f"V6 arrival law, {name}",
            -math.log10(max(p, 1e-99)),
            (3.0, 6.0),
            "independent users send as unevenly as this with a probability of {}",
            _EVEN_GAPS,
            lambda value: f"{10**-value:.2g}",
        )
        near = max(3 / math.sqrt(gaps), _CV_TOLERANCE)
        yield Check(
            f"V6 arrival gaps, {name}",
            variation - 1,
            (near, max(0.3, near)),
            f"the gaps between requests vary by {format_number(variation)} times their mean, {{}}"
            " off the 1 of independent users (0 would be a fixed gap)",
            _EVEN_GAPS,
        )


def _check_reconnects(cell: MeasuredCell) -> Iterator[Check]:
    """V21: connections opened while measuring cost the server several turns of its loop each."""
    if cell.health.reconnect_share is not None and not cell.is_overloaded:  # it needs more of them
        yield Check(
            "V21 connections",
            cell.health.reconnect_share,
            (0.0, 0.01),
            "new connections per request while measuring: {}",
            "Keep connections alive on the server for longer than the run, and give the client"
            " enough of them.",
        )
