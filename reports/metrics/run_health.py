"""State of the generator, the machine and the rows in one cell: numbers that `checks/` judges.

Every number is of one cell, so a stall during the warm-up of another cell does not affect it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.metrics.breakdown import TIMESTAMP_COLUMNS
from reports.metrics.run_data import RunData
from reports.stats.quantiles import Array, quantile
from results.schema import Cell, ConnectionMode, Scenario
from results.thresholds import CLOSED_EARLY, MIN_WINDOW_SECONDS

# seconds between two ticks of the generator, as `scenarios/generator/engine.py` sets them
_TICK_INTERVAL = 0.010
_TIMER_STEP = 0.001  # seconds: gevent's timers wait whole milliseconds, so this is no stall
_ROUNDING_ERROR = 1e-6  # seconds: what storing a timestamp may round off
_ORDERED_APP_END_FORMAT = 3  # since this format `app_end` is never after the client's last byte


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHealth:
    """Seconds and shares; None where this run does not show it."""

    duration: float  # of the window, or of the whole burst; a short one shows nothing in ticks
    stall_p99: float | None  # p99 of how late the generator's own ticker fired
    longest_stall: float | None
    generator_cpu: float | None  # share of its core that the busiest generator process used
    generator_cpu_peak: float | None  # and in its worst second
    other_cpu: float | None  # share of all cores that neither the generator nor the target used
    stolen_share: float | None  # share of the machine's CPU time that its host took away
    swapped_pages: float | None  # pages
    throttled_share: float | None  # share of the periods in which the container's CPU limit ran out
    lateness: float | None  # the quantile of sent - intended that is reported for this cell
    unsent_share: float | None  # of the requests planned by the close
    think_time_excess: float | None  # closed model: a turn beyond latency and think time, as share
    disordered_requests: int | None  # requests with timestamps in the wrong order
    probed_requests: int  # requests with known server timestamps
    reconnect_share: float | None  # connections opened while measuring, as a share of the requests
    transport_time: tuple[float, float] | None  # median and p99 outside the server, of quick ones


@dataclass(frozen=True, slots=True)
class _CellSpan:
    """The part of a cell that its results use: the window, or a whole burst."""

    run_data: RunData
    marks: pd.DataFrame
    begin: float
    end: float

    @property
    def duration(self) -> float:
        return self.end - self.begin

    @property
    def cores(self) -> int:
        return int(self.run_data.run.machine.cpus or 1)

    def select(self, lines: pd.DataFrame) -> pd.DataFrame:
        return lines[(lines.t >= self.begin) & (lines.t <= self.end)]

    def counter_delta(self, name: str, scale: float = 1.0) -> float | None:
        first, last = (self.marks[name][self.marks.t == t] for t in (self.begin, self.end))
        if first.empty or last.empty or first.isna().any() or last.isna().any() or scale <= 0:
            return None
        return max(0.0, float(last.iloc[0] - first.iloc[0])) / scale

    def throttled_share(self) -> float | None:
        periods, cut = self.counter_delta("periods"), self.counter_delta("throttled")
        if periods is None or cut is None:
            return None
        return cut / periods if periods else 0.0  # no periods, no limit

    def other_cpu(self, generators: list[float]) -> float | None:
        """Return the CPU share that neither generator nor target used; None if one is unknown."""
        total_used = self.counter_delta("used", self.duration)
        readings = self.select(self.run_data.probe)
        if total_used is None or readings.empty:
            return None
        processes = [rows for _, rows in readings.groupby(["variant", "pid"])]
        # kin: the workers of a pool, a database; they belong to the target too
        usages = [_cpu_usage(rows, column) for column in ("cpu", "kin_cpu") for rows in processes]
        ours = [usage[0] for usage in usages if usage]
        return max(0.0, total_used - sum([*generators, *ours])) / self.cores


def measure_health(run_data: RunData, cell: Cell, name: str) -> CellHealth:
    """Measure one cell, or its neighbours by `name`."""
    lines = run_data.load_lines(cell.name)
    marks = lines[lines.kind == "mark"]
    first, last = ("go", "end") if cell.scenario is Scenario.BURST else ("open", "close")
    begin, end = marks.t[marks["mark"] == first].max(), marks.t[marks["mark"] == last].min()
    span = _CellSpan(run_data, marks, float(begin), float(end))
    ticks = span.select(lines[lines.kind == "tick"])
    stalls = expand_missed_ticks(ticks.lateness.to_numpy())
    busy = [usage for _, rows in ticks.groupby("worker") if (usage := _cpu_usage(rows, "cpu"))]
    is_long = span.duration >= MIN_WINDOW_SECONDS
    rows = run_data.rows(name)
    sent = rows[rows.sent.notna()]
    is_ours, probed = run_data.run.host is None, int(sent.app_start.notna().sum())
    return CellHealth(
        duration=span.duration,
        stall_p99=quantile(stalls, 0.99) if len(stalls) and is_long else None,
        longest_stall=float(stalls.max()) if len(stalls) else None,
        generator_cpu=max((mean for mean, _ in busy), default=None) if is_long else None,
        generator_cpu_peak=max((worst for _, worst in busy), default=None) if is_long else None,
        other_cpu=span.other_cpu([mean for mean, _ in busy]) if is_long else None,
        stolen_share=span.counter_delta("stolen", span.duration * span.cores) if is_long else None,
        swapped_pages=span.counter_delta("swapped"),
        throttled_share=span.throttled_share(),
        lateness=_send_lateness(cell, name, sent),
        unsent_share=_unsent_share(cell, name, rows, span.end),
        think_time_excess=_think_time_excess(cell, sent) if name == cell.name else None,
        disordered_requests=(
            _count_disordered(sent, run_data.run.format) if is_ours or probed else None
        ),
        probed_requests=probed,
        reconnect_share=_reconnect_share(cell, name, sent),
        transport_time=_transport_time(cell, sent),
    )


def expand_missed_ticks(lateness: Array) -> Array:
    """Return how late a ticker was at each time; a tick that is 50 ms late has missed four more."""
    late = np.maximum(lateness[np.isfinite(lateness)] - _TIMER_STEP, 0.0)
    parts = [late]
    while (late > _TICK_INTERVAL).any():
        late = late[late > _TICK_INTERVAL] - _TICK_INTERVAL
        parts.append(late)
    return np.concatenate(parts)


def _cpu_usage(readings: pd.DataFrame, name: str) -> tuple[float, float] | None:
    """Return a process's mean CPU share of one core, and that of its worst second."""
    known = readings[readings[name].notna()]
    t, used = known.t.to_numpy(), known[name].to_numpy()
    if len(t) < 2:  # noqa: PLR2004 - a rate takes two points
        return None
    mean = float((used[-1] - used[0]) / (t[-1] - t[0]))
    later = np.searchsorted(t, t + 1.0)
    whole = later < len(t)
    seconds = (used[later[whole]] - used[whole]) / (t[later[whole]] - t[whole])
    return mean, float(seconds.max()) if len(seconds) else mean


def _send_lateness(cell: Cell, name: str, sent: pd.DataFrame) -> float | None:
    if sent.empty or (name == cell.name and not cell.arrivals and not cell.neighbours):
        return None
    return quantile((sent.sent - sent.intended).to_numpy(), 0.99 if cell.arrivals else 0.90)


def _unsent_share(cell: Cell, name: str, rows: pd.DataFrame, close: float) -> float | None:
    if name == cell.name and not cell.arrivals:
        return None
    is_planned = rows.intended <= close
    if cell.precision:  # the last before its window closes early may be left out on purpose
        is_planned &= rows.error != CLOSED_EARLY
    planned = int(is_planned.sum())
    return 1 - int((rows.sent <= close).sum()) / planned if planned else None


def _think_time_excess(cell: Cell, sent: pd.DataFrame) -> float | None:
    """Return the time from answer to next request beyond think time, over mean latency."""
    if cell.scenario is not Scenario.CROWD:
        return None
    turns = sent.sort_values("intended").groupby(["worker", "connection"])
    gaps = (turns.intended.shift(-1) - sent.done)[sent.error.isna() & ~sent.censored].dropna()
    usual = sent.latency.mean()
    return float((gaps - cell.think).mean() / usual) if len(gaps) and usual > 0 else None


def _count_disordered(sent: pd.DataFrame, run_format: int) -> int:
    """Count requests with timestamps in an impossible order, on one host with one clock."""
    names = [*TIMESTAMP_COLUMNS]
    if run_format >= _ORDERED_APP_END_FORMAT:
        names.insert(-1, "app_end")
    known = sent[names].to_numpy(copy=True)
    known[sent.censored.to_numpy(), names.index("done")] = np.nan  # the end of waiting is no answer
    latest = np.fmax.accumulate(known, axis=1)
    return int((known < latest - _ROUNDING_ERROR).any(axis=1).sum())


def _reconnect_share(cell: Cell, name: str, sent: pd.DataFrame) -> float | None:
    """Return connections opened per request while measuring; None where intended or unknown."""
    arrivals = cell.arrivals
    may_connect = cell.cold or (arrivals and arrivals.pool is not ConnectionMode.WARM)
    if cell.scenario is Scenario.BURST or may_connect or sent.empty:
        return None
    late = 0
    if arrivals and name == cell.name:
        added = sent[sent.connection >= arrivals.warm]
        late = int(added.groupby("worker").connection.nunique().sum())
    elif sent.peer.isna().all():
        return None
    peers = sent.dropna(subset="peer").groupby(["worker", "connection", "route"]).peer.nunique()
    return float(late + (peers - 1).sum()) / len(sent)


def _transport_time(cell: Cell, sent: pd.DataFrame) -> tuple[float, float] | None:
    if cell.scenario not in {Scenario.NEIGHBOURS, Scenario.FLOOR}:
        return None
    quick = sent[sent.route.str.endswith("/async")]
    spent = ((quick.done - quick.sent) - (quick.app_end - quick.app_start)).dropna().to_numpy()
    return (quantile(spent, 0.5), quantile(spent, 0.99)) if len(spent) else None
