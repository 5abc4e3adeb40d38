"""Checks the answers: complete, right, in a possible order, with the server's own time."""

from collections.abc import Iterator

from reports.checks.model import Check, MeasuredCell, measured_cells, set_cell
from reports.metrics.model import RunMetrics
from reports.stats.quantiles import QUANTILES, is_supported
from results.formatting import format_number, format_seconds

_MAX_TRANSPORT = 0.010  # seconds that one request in a hundred may spend between client and server
_MEDIAN_LIMITS = (0.002, _MAX_TRANSPORT)  # seconds that half of the requests may spend there
_DO_NOT_EDIT = (
    "Do not edit the rows. If you did not, please report this: requests were lost between"
    " counter and rows."
)
_WAIT_LONGER = "Wait longer for the last answers (--drain), or send less load."
_LOOK_AT_ANSWERS = (
    "Look at the answers before their speed: statuses are in samples.parquet, the app's output in"
    " log.txt."
)
_ONE_CLOCK = "Measure on one host, with one clock. If you did, please report this."
_SLOWER_ROUTE = (
    "Measure a route that takes longer, or send less load: here the measuring setup is part of the"
    " number."
)
_FIND_DELAY = "Look for a proxy, a busy core or a socket without TCP_NODELAY on the way."


def check_answers(run_metrics: RunMetrics) -> Iterator[Check]:
    """Check the answers of every cell (V7, V8, V11, V13, V14) and the floor of the run (V19)."""
    cells = measured_cells(run_metrics)
    shortest_tail = min((cell.tail for cell in cells if cell.latency), default=0.0)
    for cell in cells:
        checks = (_check_completion(cell), _check_little(cell), _check_order(cell))
        yield from set_cell(cell.counts.cell, *checks, _check_transport(cell, shortest_tail))
    yield _check_floor(run_metrics)


def _check_completion(cell: MeasuredCell) -> Iterator[Check]:
    """Check V7 and V8: whether all answers came and were right; higher quantiles need more."""
    counts, top_quantile = cell.counts, 0.9
    if cell.latency:
        supported = [q for q in QUANTILES.values() if is_supported(cell.latency.count, q)]
        top_quantile = max(supported, default=0.5)
    tail, sent = (1 - top_quantile) / 2, max(counts.sent, 1)
    # overload is a finding, and no percentile describes it: a queue at its end is a warning only
    most = 1.0 if cell.is_overloaded else tail
    title, part = "V7 completion", f"{counts.unfinished} of {counts.sent} requests ({{}})"
    meaning = f"{part} got no answer in time: the slowest answers are missing"
    yield Check(title, counts.unfinished / sent, 0.0, most, meaning, _WAIT_LONGER)
    title, part = "V8 errors", f"{counts.errors} of {counts.sent} answers ({{}})"
    meaning = f"{part} were errors or wrong bodies: quick errors make percentiles look better"
    yield Check(title, counts.errors / sent, 0.001, min(0.01, tail), meaning, _LOOK_AT_ANSWERS)


def _check_little(cell: MeasuredCell) -> Iterator[Check]:
    """Check V11: the rows and the in-flight counter, two sources, must agree by Little's law."""
    little, level = cell.counts.little, cell.level
    if cell.counts.has_window:
        title, value = "V11 little identity", little.identity if little else None
        meaning = "rows and in-flight counter disagree by {}: more than 1 % means lost rows"
        reason = "nothing was in flight"
        yield Check(title, value, 0.005, 0.01, meaning, _DO_NOT_EDIT, unknown=reason)
    if level and level.little and not cell.run_metrics.is_reproduction:
        title, value, most = "V11 little residual", level.little.residual, level.little_tolerance
        meaning = "{} of the users' time is in requests planned before the window: unequal turns"
        yield Check(title, value, most, 1.0, meaning, _DO_NOT_EDIT)


def _check_order(cell: MeasuredCell) -> Iterator[Check]:
    """Check V13: planned, sent, in, out, answered must be in order, else clocks or ids differ."""
    title, value = "V13 causality", cell.health.disordered_requests
    known = f"{cell.health.probed_requests:,} of {cell.counts.sent:,}"
    meaning = f"{{}} requests have times in an impossible order; the server timed {known}"
    unknown = "the target reported no times of its own, and may run on another clock"
    yield Check(title, value, 0.0, 0.0, meaning, _ONE_CLOCK, format_number, unknown)


def _check_transport(cell: MeasuredCell, shortest_tail: float) -> Iterator[Check]:
    """Check V14: the time outside the server of a request that does nothing, or never queues."""
    outside = "requests to an idle route spent"
    if cell.health.transport_time:
        median, tail = cell.health.transport_time
        title, meaning = "V14 transport", f"half of the {outside} more than {{}} outside the server"
        yield Check(title, median, *_MEDIAN_LIMITS, meaning, _FIND_DELAY, format_seconds)
        title, most = "V14 transport tail", max(_MAX_TRANSPORT, 0.1 * shortest_tail)
        meaning = f"one in a hundred {outside} {{}} or more outside the server"
        yield Check(title, tail, _MAX_TRANSPORT, most, meaning, _FIND_DELAY, format_seconds)
    split = cell.level.breakdown if cell.level and cell.level.users == 1 else None
    if split:
        title, value = "V14 transport, one user", split.before_app + split.to_be_sent
        meaning = "a single user's requests spend {} outside the app"
        yield Check(title, value, *_MEDIAN_LIMITS, meaning, _FIND_DELAY, format_seconds)


def _check_floor(run_metrics: RunMetrics) -> Check:
    """Check V19: a route that does nothing, at the busiest rate, shows the setup's own cost."""
    tops = [level for route in run_metrics.routes if (level := route.top_level) and level.users > 1]
    usual = min(((level.quantiles["p50"] or level.mean).low for level in tops), default=0.0)
    floor = run_metrics.floor_p99
    title, value = "V19 floor", floor / usual if floor and usual > 0 else None
    meaning = (
        f"a route that does nothing has a p99 of {format_seconds(floor)}, which is {{}} of the"
        f" shortest median of the measured routes, {format_seconds(usual)}"
    )
    unknown = "the run measured no route that does nothing: the cost of the setup is unknown"
    return Check(title, value, 0.05, 0.25, meaning, _SLOWER_ROUTE, unknown=unknown)
