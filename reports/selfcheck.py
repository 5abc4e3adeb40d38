"""How accurate is the harness? Measures servers with known truth, against theory and their record.

Measured values come from the rows alone, expected ones from the truth: c places, first come first
served, the stop times. The replay of an open load's own sends makes chance the same on both sides.
See docs/method.md, Selfcheck.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from reports.metrics.compute import expected_limit
from reports.metrics.open_loop import build_send_log
from reports.metrics.run_data import RunData
from reports.metrics.steady_state import Window, steady_window, valid_rows
from reports.model import Goal
from reports.stats.percentile_curve import closed_loop_mask
from reports.stats.quantiles import Array, Flags, quantile
from reports.stats.queueing import MIN_GAPS, closed_loop_mean, fit_sweep, replay_latencies
from results.formatting import format_number, format_seconds, format_share
from results.schema import Cell

# how far a closed loop's mean may be off: 1 place, a few, 40
_BARE_LIMITS, _FASTAPI_LIMITS = (0.01, 0.02, 0.03), (0.03, 0.03, 0.05)
_MANY_PLACES = 40
_SWEEP_TOLERANCE = 0.3  # how far the sweep may lie from the known whole number of places
_ROUNDING_ERROR = 1e-6  # seconds
_MAX_HTTP_OVERHEAD = 0.003  # seconds that HTTP and client may add for a single user
_IN_PLACE_TOLERANCE = 0.01  # how far D from completions may lie from the server's own record
_OPEN_TOLERANCE, _OPEN_TAIL_TOLERANCE = 0.03, 0.05  # mean and p50; p95 and, with a freeze, p99
_GROWTH_TOLERANCE, _PLATEAU_TOLERANCE = 0.03, 0.01
# how many times too low a client with one request at a time must measure the freeze, at least
_MIN_BLIND_RATIO = 10.0
StopTimes = Sequence[Sequence[float]]  # from when to when a server stood still


def _relative_goal(
    name: str,
    truth: float,
    measured: float,
    limit: float,
    format_value: Callable[[float], str] = format_seconds,
) -> Goal:
    low, high = truth * (1 - limit), truth * (1 + limit)
    return Goal(name, truth, measured, low, high, format_share(limit), format_value)


def selfcheck_goals(run_data: RunData) -> tuple[Goal, ...]:
    """Return every goal whose load was measured to its end, in the order of the plan."""
    goals: list[Goal] = []
    for route in dict.fromkeys(cell.variant for cell in run_data.cells):
        windows = {
            cell.name: (cell, window)
            for cell in run_data.cells
            if cell.variant == route and (window := steady_window(run_data, cell, cell.name))
        }
        crowds = [(cell.users, window) for cell, window in windows.values() if cell.users]
        sweep = None
        if crowds:
            sweep = _measure_sweep(run_data, next(iter(windows.values()))[0], crowds)
            goals += _sweep_goals(route, crowds, sweep) if sweep else [_unknown_goal(route)]
        for cell, window in windows.values():
            if cell.arrivals:
                open_goals = list(_open_load_goals(run_data, cell, window, sweep))
                goals += open_goals or [_unknown_goal(cell.name)]
    return tuple(goals)


def _unknown_goal(name: str) -> Goal:
    """Return a goal that never holds: the server left no record of a measured load."""
    return Goal(f"{name}: records of the server", 1, 0, 1, 1, "there", format_number)


def _server_concurrency(run_data: RunData, cell: Cell) -> tuple[int, bool]:
    """Return how many requests a server serves at once, and whether it is a bare one."""
    path = urlsplit(cell.path).path
    if path.startswith("/places/"):
        return int(path.rpartition("/")[2]), True
    runtime = run_data.run.runtime("fastapi")
    return int(expected_limit(path.strip("/"), runtime)[0] or 0), False


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Result of a closed sweep."""

    concurrency: int
    service_time: float  # D in place, in seconds
    unloaded_mean: float  # seconds
    is_bare: bool

    @property
    def mean_limit(self) -> float:
        """How far a closed loop's mean may be off."""
        one_place, few_places, many_places = _BARE_LIMITS if self.is_bare else _FASTAPI_LIMITS
        if self.concurrency == 1:
            return one_place
        return few_places if self.concurrency < _MANY_PLACES else many_places


def _measure_sweep(
    run_data: RunData, cell: Cell, crowds: list[tuple[int, Window]]
) -> _Sweep | None:
    """Use the smallest crowd (one user) and the largest; None when they give no result."""
    c, is_bare = _server_concurrency(run_data, cell)
    if c < 1 or crowds[0][0] != 1:  # its probe left no record, or no user was alone
        return None
    alone, d = valid_rows(crowds[0][1].rows).latency, _mean_completion_gap(crowds[-1][1], c)
    return _Sweep(c, d, float(alone.mean()), is_bare) if d and len(alone) else None


def _recorded_service_time(window: Window) -> float | None:
    """Return D as a bare server recorded it in this load: a busy machine changes it.

    It judges a closed loop: D in place is rightly too high where a place is missing.
    """
    rows = window.all_rows
    rows = rows[(rows.done > window.start) & (rows.done <= window.end)]
    handler_times = (rows.handler_end - rows.handler_start).dropna()
    return float(handler_times.mean()) if len(handler_times) else None


def _rows_by_send_time(window: Window) -> pd.DataFrame:
    """Return all requests sent in a load, warm-up and drain included."""
    return window.all_rows[window.all_rows.sent.notna()].sort_values("sent")


def _mean_completion_gap(window: Window, c: int, stops: StopTimes = ()) -> float | None:
    """Return D in place: the mean gap between completions i - c and i.

    A gap counts where request i was sent before completion i - c: then its place was never idle. A
    threshold on latencies would admit requests that were only delayed, and give too much. The
    median would leave out time that a busy machine takes from the server and from the queue.
    """
    rows = valid_rows(_rows_by_send_time(window)).sort_values("done")
    sent, done = (to_server_clock(column.to_numpy(), stops) for column in (rows.sent, rows.done))
    gaps = (done[c:] - done[:-c])[sent[c:] < done[:-c]]
    return float(np.mean(gaps)) if len(gaps) >= MIN_GAPS else None


def _sweep_goals(route: str, crowds: list[tuple[int, Window]], sweep: _Sweep) -> Iterator[Goal]:
    """Expect R = N D / c at every level that fills all places, and c from the throughputs.

    A bare server recorded D in this load, FastAPI with one user: a handler may wait for its thread.
    """
    c, unloaded = sweep.concurrency, sweep.unloaded_mean
    alone = _recorded_service_time(crowds[0][1])
    for users, window in crowds:
        if users > c:
            d = (_recorded_service_time(window) if sweep.is_bare else alone) or sweep.service_time
            mean = float(valid_rows(window.rows).latency.mean())
            name, ideal = f"{route}: mean of {users} users", closed_loop_mean(users, d, c)
            yield _relative_goal(name, ideal, mean, sweep.mean_limit)
    levels, rates = np.array([(float(users), window.throughput) for users, window in crowds]).T
    fit = fit_sweep(levels, rates, unloaded, max(0.0, 1 / rates[0] - unloaded))
    tolerance, limit_text = _SWEEP_TOLERANCE, f"{c} +- {_SWEEP_TOLERANCE}"
    if c >= _MANY_PLACES:
        tolerance, limit_text = 1, f"{c - 1} to {c + 1}"
    name = f"{route}: served at once, from the sweep"
    yield Goal(name, c, fit, c - tolerance, c + tolerance, limit_text, format_number)
    recorded_mean = _recorded_service_time(crowds[-1][1])
    if recorded_mean and sweep.is_bare:
        name = f"{route}: service time, as the server recorded it"
        yield _relative_goal(name, recorded_mean, sweep.service_time, _IN_PLACE_TOLERANCE)
    if alone:  # else a delay added by atonce to every answer would cancel out everywhere
        name = f"{route}: one user, beyond the server's record"
        most, limit_text = _MAX_HTTP_OVERHEAD, f"0 to {format_seconds(_MAX_HTTP_OVERHEAD)}"
        yield Goal(name, 0.0, unloaded - alone, -_ROUNDING_ERROR, most, limit_text)


def _open_load_goals(
    run_data: RunData, cell: Cell, window: Window, sweep: _Sweep | None
) -> Iterator[Goal]:
    """Judge an open load by what the server should do: stop, overload or just queue."""
    c, _ = _server_concurrency(run_data, cell)
    query = parse_qs(urlsplit(cell.path).query)
    stops: StopTimes = ()
    if "freeze_at" in query:
        stops = run_data.run.runtime("places").frozen
    d = _mean_completion_gap(window, c, stops) if "seconds" in query else None
    if d is None or cell.arrivals is None:
        return
    rate = cell.arrivals.expected_requests / cell.arrivals.duration
    at = f"{cell.route} at {rate:g}/s"
    if "freeze_at" in query:
        yield Goal(f"{at}: times the server stopped", 1, len(stops), 1, 1, "once", format_number)
        yield from _stop_goals(at, window, (c, d), stops)
    elif rate * float(query["seconds"][0]) >= c:
        yield from _overload_goals(at, window, c / (_recorded_service_time(window) or d))
    else:
        rows, is_counted = _count_in_window(window)
        latency = rows.latency.to_numpy()[is_counted]
        ideals = replay_latencies(rows.sent.to_numpy(), d, c)[is_counted]
        ideals += sweep.unloaded_mean - d if sweep else 0.0
        mean, measured_mean = float(ideals.mean()), float(latency.mean())
        yield _relative_goal(f"{at}: mean", mean, measured_mean, _OPEN_TOLERANCE)
        for name, q, limit in (("p50", 0.5, _OPEN_TOLERANCE), ("p95", 0.95, _OPEN_TAIL_TOLERANCE)):
            yield _relative_goal(f"{at}: {name}", quantile(ideals, q), quantile(latency, q), limit)


def _count_in_window(window: Window) -> tuple[pd.DataFrame, Flags]:
    """Return all sent requests by send time, and which of them were planned inside the window."""
    rows = _rows_by_send_time(window)
    return rows, ((rows.intended > window.start) & (rows.intended <= window.end)).to_numpy()


def _stop_goals(
    at: str, window: Window, queue: tuple[int, float], stops: StopTimes
) -> Iterator[Goal]:
    """Expect p99 as replayed with the stop, and a far lower one for a single closed-loop user."""
    c, d = queue
    rows, is_counted = _count_in_window(window)
    sent, latency = rows.sent.to_numpy(), rows.latency.to_numpy()[is_counted]
    on_server = to_server_clock(sent, stops)
    ideals = from_server_clock(on_server + replay_latencies(on_server, d, c), stops) - sent
    # one user sends, waits, and skips all requests planned during the wait
    alone = closed_loop_mask(build_send_log(rows[is_counted], rows), 1)
    p99, blind = quantile(latency, 0.99), quantile(latency[alone], 0.99)
    ideal = quantile(ideals[is_counted], 0.99)
    yield _relative_goal(f"{at}, stopped for 1 s: p99", ideal, p99, _OPEN_TAIL_TOLERANCE)
    name, most = f"{at}: p99 as a closed loop sees it", p99 / _MIN_BLIND_RATIO
    yield Goal(name, p99, blind, 0.0, most, f"below 1/{_MIN_BLIND_RATIO:g}")


def _overload_goals(at: str, window: Window, plateau: float) -> Iterator[Goal]:
    """Expect the server's plateau, a growing queue, and no lost request."""
    rows = window.all_rows
    arrive = float(((rows.sent > window.start) & (rows.sent <= window.end)).sum()) / window.seconds
    ends = rows.done.where(~rows.censored, np.inf)
    first, last = (
        int(((rows.sent <= edge) & (ends > edge)).sum()) for edge in (window.start, window.end)
    )
    lost = len(rows) - len(valid_rows(rows[~rows.censored]))
    growth, name = (last - first) / window.seconds, f"{at}: in flight, more every second"
    yield _relative_goal(name, arrive - plateau, growth, _GROWTH_TOLERANCE, format_number)
    name = f"{at}: answered per second"
    yield _relative_goal(name, plateau, window.throughput, _PLATEAU_TOLERANCE, format_number)
    yield Goal(f"{at}: dropped", 0, lost, 0, 0, "none", format_number)


def to_server_clock(timestamps: Array, stops: StopTimes) -> Array:
    """Return times on a clock that stops while the server is stopped."""
    return timestamps - sum(np.clip(timestamps - begin, 0.0, end - begin) for begin, end in stops)


def from_server_clock(timestamps: Array, stops: StopTimes) -> Array:
    """Invert `to_server_clock`: times after a stop move later by its length."""
    for begin, end in sorted(stops, key=lambda stop: stop[0]):
        timestamps = np.where(timestamps > begin, timestamps + (end - begin), timestamps)
    return timestamps
