"""Checks the answers: complete, right, in a possible order, with the server's own time."""

from collections.abc import Iterator

from reports.checks.model import Check
from reports.formatting import format_number, format_seconds, format_share
from reports.metrics.breakdown import LatencyBreakdown
from reports.metrics.model import CellCounts, CrowdMetrics, RunMetrics
from reports.stats.quantiles import QUANTILES, LatencyStats, is_supported

_MAX_TRANSPORT = 0.010  # seconds that one request in a hundred may spend between client and server


def check_answers(run_metrics: RunMetrics) -> Iterator[Check]:
    """V7, V8, V11, V13, V14 of every cell, V19 of the run."""
    levels = {level.cell: level for route in run_metrics.all_routes for level in route.levels}
    loads = {load.cell: load for route in run_metrics.all_routes for load in route.open_loads}
    measurements: list[LatencyStats | CrowdMetrics] = [
        *levels.values(),
        *(load.latency for load in loads.values() if load.latency),
    ]
    shortest = min((_reported_tail(measured) for measured in measurements), default=0.0)
    for tally in run_metrics.cell_counts:
        level, load = levels.get(tally.cell), loads.get(tally.cell)
        latency = level or (load.latency if load else None)
        yield from _check_completion(
            tally, latency.count if latency else None, overloaded=bool(load and load.overloaded)
        )
        if tally.has_window:
            yield _check_little(tally)
        if level and level.little and not run_metrics.is_reproduction:
            why = (
                "part of the users' time lies in requests planned before the window: unequal turns,"
                " so mean and percentiles are too short"
            )
            yield Check(
                "V11",
                "little residual",
                level.cell,
                level.little.residual,
                level.little_tolerance,
                1.0,
                why,
            )
        yield _check_causality(tally)
        yield from _check_transport(tally, shortest)
        if level and level.users == 1 and level.breakdown:
            yield _check_single_user(level.cell, level.breakdown)
    yield _check_floor(run_metrics)


def _reported_tail(latency: LatencyStats | CrowdMetrics) -> float:
    """The reported tail of a load, in seconds: p99, or the maximum where it is not known."""
    return (latency.quantiles["p99"] or latency.longest).low


def _check_completion(tally: CellCounts, count: int | None, *, overloaded: bool) -> Iterator[Check]:
    """V7 and V8: whether all answers came and were right; limits tighten with the top quantile.

    Overload is a finding, and no percentile describes it: requests still queued at the end of such
    a test are a warning only.
    """
    top_quantile = (
        0.9
        if count is None
        else max((q for q in QUANTILES.values() if is_supported(count, q)), default=0.5)
    )
    tail = (1 - top_quantile) / 2
    unanswered, wrong, sent = tally.unfinished, tally.errors, max(tally.sent, 1)
    why = (
        f"{unanswered} of {tally.sent} requests were unanswered when the drain ended: the slow ones"
        " are missing from the tail"
    )
    yield Check(
        "V7", "completion", tally.cell, unanswered / sent, 0.0, 1.0 if overloaded else tail, why
    )
    why = (
        f"{wrong} of {tally.sent} answers were errors or wrong bodies: quick errors flatter"
        " percentiles"
    )
    yield Check("V8", "errors", tally.cell, wrong / sent, 0.001, min(0.01, tail), why)


def _check_little(tally: CellCounts) -> Check:
    """V11: the rows and the in-flight counter, two sources, must agree by Little's law."""
    value = tally.little.identity if tally.little else None
    off = (
        "nothing was in flight"
        if value is None
        else f"rows and in-flight counter disagree by {format_share(abs(value))}"
    )
    return Check(
        "V11",
        "little identity",
        tally.cell,
        value,
        0.005,
        0.01,
        f"{off}: more than 1 % means lost rows",
    )


def _check_causality(tally: CellCounts) -> Check:
    """V13: planned, sent, in, out, answered must be in order, or clocks or ids do not agree."""
    broken, known = tally.health.disordered_requests, tally.health.probed_requests
    value = None if broken is None else float(broken)
    why = (
        f"{broken} requests have moments in an impossible order; the server's own are known of"
        f" {known:,} of {tally.sent:,}"
    )
    if broken is None:
        why = "the target told no moments of its own, and may run on another clock"
    return Check("V13", "causality", tally.cell, value, 0.0, 0.0, why, format_number)


def _check_transport(tally: CellCounts, shortest: float) -> Iterator[Check]:
    """V14: how long a request that does nothing spends outside the server."""
    if tally.health.transport_time:
        median, tail = tally.health.transport_time
        why = (
            f"half of all innocent requests spent more than {format_seconds(median)} outside the"
            " server"
        )
        yield Check(
            "V14", "transport", tally.cell, median, 0.002, _MAX_TRANSPORT, why, format_seconds
        )
        why = (
            f"one innocent request in a hundred spent {format_seconds(tail)} or more outside the"
            " server"
        )
        yield Check(
            "V14",
            "transport tail",
            tally.cell,
            tail,
            _MAX_TRANSPORT,
            max(_MAX_TRANSPORT, 0.1 * shortest),
            why,
            format_seconds,
        )


def _check_single_user(cell: str, split: LatencyBreakdown) -> Check:
    """V14 of a single user, who never queues: time outside the app is time on the way."""
    outside_time = split.before_app + split.to_be_sent
    why = f"a single user's requests spend {format_seconds(outside_time)} outside the app"
    return Check(
        "V14", "transport, one user", cell, outside_time, 0.002, _MAX_TRANSPORT, why, format_seconds
    )


def _check_floor(run_metrics: RunMetrics) -> Check:
    """V19: a route that does nothing, at the busiest cell's rate, shows the setup's own cost."""
    known = [
        level for route in run_metrics.routes if (level := route.top_level) and level.users > 1
    ]
    usual = min(
        (level.quantiles["p50"] or level.mean for level in known),
        key=lambda estimate: estimate.low,
        default=None,
    )
    if not run_metrics.floor_p99 or not usual or usual.low <= 0:
        why = (
            "no route that does nothing was asked beside it, so what the rig itself costs is not"
            " known"
        )
        return Check("V19", "floor", "*", None, 0.05, 0.25, why)
    why = (
        f"a route that does nothing takes {format_seconds(run_metrics.floor_p99)} at its p99,"
        f" against a median of {format_seconds(usual.low)} and more"
    )
    return Check("V19", "floor", "*", run_metrics.floor_p99 / usual.low, 0.05, 0.25, why)
