"""Checks the generated load: generator stalls, lateness, CPU, arrivals, connections."""

import math
from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import format_number, format_seconds, format_share
from reports.metrics.model import CellCounts, CrowdMetrics, OpenLoadMetrics, RunMetrics
from reports.stats.quantiles import LatencyStats
from results.schema import Scenario
from results.thresholds import MIN_HARM_SECONDS

_POISSON_PASS, _POISSON_FAIL = 3.0, 6.0  # -log10 of p
# a sender that takes 0.1 ms for each request cannot send 280 a second with a CV above .97
_CV_TOLERANCE = 0.05
_TOO_SHORT = "it was too short for the generator's ticker to tell"
# seconds that the ticker's p99 may be late; or a twentieth of the reported tail, as in V3 and V19
_TICKER_TOLERANCE = 0.001
_MAX_STALL_P99 = 0.005  # seconds of stall at its p99 that percentiles tolerate
_MAX_SINGLE_STALL = 0.010  # seconds of one stall without any effect


def check_generator(run_metrics: RunMetrics) -> Iterator[Check]:
    """V2 to V6, V9, V12 and V21 of every cell."""
    levels = {level.cell: level for route in run_metrics.all_routes for level in route.levels}
    loads = {load.cell: load for route in run_metrics.all_routes for load in route.open_loads}
    max_delay = MIN_HARM_SECONDS if run_metrics.run["command"] == "doctor" else _MAX_STALL_P99
    for tally in run_metrics.cell_counts:
        load = loads.get(tally.cell)
        if not tally.is_neighbour_cell:
            yield from _check_own_stalls(
                tally, levels.get(tally.cell) or (load.latency if load else None), max_delay
            )
        yield from _check_lateness(tally, load, max_delay)
        yield from _check_think_time(tally)
        if load:
            yield from _check_arrivals(load)
        if not (load and load.overloaded):  # overload needs more connections
            yield from _check_reconnects(tally)
    for unfinished in run_metrics.unfinished_cells:
        yield Check(
            "V4",
            "all sent",
            unfinished.cell,
            None,
            0.0,
            0.005,
            "planned, and not measured to its end",
        )
    # A run of questions alone measures no cell.
    answered = run_metrics.run.get("told") or run_metrics.run.get("skipped")
    if not run_metrics.cell_counts and (run_metrics.unfinished_cells or not answered):
        yield Check("V4", "all sent", "*", 1.0, 0.0, 0.005, "no cell was measured to its end")


def _check_own_stalls(
    tally: CellCounts, reported: CrowdMetrics | LatencyStats | None, max_stall: float
) -> Iterator[Check]:
    """V2, V9: whether the generator stalled or lacked CPU: its delay looks like the server's.

    More than `max_stall` seconds of stall at its p99 are too much for the conclusions.
    """
    health = tally.health
    tail = (reported.quantiles["p99"] or reported.longest).low if reported else 0.0
    late = (
        f"the generator's own ticker was {format_seconds(health.stall_p99)} late at its p99: its"
        " stalls look like the server's tail"
    )
    why = _TOO_SHORT if health.stall_p99 is None else late
    fine = min(_MAX_STALL_P99, max(_TICKER_TOLERANCE, 0.05 * tail))
    if tally.has_window:  # sending a burst at one instant is a stall by itself
        yield Check(
            "V2",
            "generator stalls",
            tally.cell,
            health.stall_p99,
            fine,
            max_stall,
            why,
            format_seconds,
        )
    least = max(2 * max_stall, 0.5 * tail) if tail else 10 * _MAX_SINGLE_STALL
    why = (
        _TOO_SHORT
        if health.stall_p99 is None
        else f"the generator once stood still for {format_seconds(health.longest_stall)}"
    )
    yield Check(
        "V2",
        "longest stall",
        tally.cell,
        health.longest_stall,
        max(_MAX_SINGLE_STALL, 0.05 * tail),
        least,
        why,
        format_seconds,
    )
    why = (
        _TOO_SHORT
        if health.generator_cpu is None
        else f"the busiest generator process used {format_share(health.generator_cpu)} of its core"
    )
    yield Check("V9", "generator CPU", tally.cell, health.generator_cpu, 0.5, 0.85, why)
    worst = (
        "in its worst second the busiest generator process used"
        f" {format_share(health.generator_cpu_peak or 0.0)} of its core"
    )
    why = _TOO_SHORT if health.generator_cpu_peak is None else worst
    yield Check(
        "V9", "generator CPU, worst second", tally.cell, health.generator_cpu_peak, 0.7, 0.85, why
    )


def _check_lateness(
    tally: CellCounts, load: OpenLoadMetrics | None, max_lateness: float
) -> Iterator[Check]:
    """V3, V4, V5: whether all requests left, when planned, at the planned rate.

    More than `max_lateness` seconds late are too much.
    """
    unsent = tally.planned - tally.sent
    why = f"{unsent} of {tally.planned} planned requests were never sent"
    yield Check("V4", "all sent", tally.cell, unsent / max(tally.planned, 1), 0.0, 0.005, why)
    why = f"{tally.unrecorded} requests of the schedule left not even a row"
    yield Check("V4", "no silent drop", tally.cell, tally.unrecorded, 0.0, 0.0, why, format_number)
    late, behind = tally.health.lateness, tally.health.unsent_share
    # The floor is the measuring setup's own cost, its lateness included.
    if late is not None and not tally.cell.startswith(Scenario.FLOOR):
        median = load.latency.quantiles["p50"] if load and load.latency else None
        usual = median.low if median else 0.0
        why = (
            f"one request in {10 if tally.is_neighbour_cell or not load else 100} left"
            f" {format_seconds(late)} late or later: else the load is not the stated one"
        )
        yield Check(
            "V3",
            "lateness",
            tally.cell,
            late,
            max(0.0015, 0.05 * usual),
            max(max_lateness, 0.1 * usual),
            why,
            format_seconds,
        )
    if behind is not None and not (load and load.refused):
        why = (
            f"the requests left {format_share(behind)} more slowly than the schedule asked: short"
            " of CPU, or of connections"
        )
        yield Check("V5", "rate", tally.cell, behind, 0.01, 0.05, why)


def _check_arrivals(load: OpenLoadMetrics) -> Iterator[Check]:
    """V6: whether requests left as independent users would, where the plan says so."""
    for name, (gaps, variation, p) in zip(("schedule", "sends"), load.arrival_tests, strict=False):
        unlikely, near = -math.log10(max(p, 1e-99)), max(3 / math.sqrt(gaps), _CV_TOLERANCE)
        why = (
            f"Poisson arrivals are as unevenly spread as these with p = {p:.2g} (value and limits:"
            " -log10 p)"
        )
        yield Check(
            "V6",
            f"arrival law, {name}",
            load.cell,
            unlikely,
            _POISSON_PASS,
            _POISSON_FAIL,
            why,
            "{:.3g}".format,
        )
        why = (
            f"the gaps scatter {format_number(variation)} times their mean; 1 is Poisson, 0 a"
            " metronome"
        )
        yield Check(
            "V6", f"arrival gaps, {name}", load.cell, variation - 1, near, max(0.3, near), why
        )


def _check_think_time(tally: CellCounts) -> Iterator[Check]:
    """V12: whether the users of a closed loop sent their next requests on time."""
    spare = tally.health.think_time_excess
    if spare is not None:
        why = (
            f"between an answer and the user's next request {format_share(spare)} of a latency"
            " passed beyond the think time"
        )
        yield Check("V12", "think time", tally.cell, spare, (-0.01, 0.05), (-0.03, 0.2), why)


def _check_reconnects(tally: CellCounts) -> Iterator[Check]:
    """V21: connections opened while measuring cost the server several turns of its loop each."""
    fresh = tally.health.reconnect_share
    if fresh is not None:
        why = (
            f"connections opened while measuring, as a share of the requests: {format_share(fresh)}"
        )
        yield Check("V21", "connections", tally.cell, fresh, 0.0, 0.01, why)
