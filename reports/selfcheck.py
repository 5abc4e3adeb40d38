"""How accurate is the harness? Measures servers with known truth, against theory and their record.

Measured values come from the rows alone: latencies from the planned time, D in place from
successive completions, c from the sweep. The truth - c places, first come first served, the stop
times - only gives the expected values. An open load is compared with the replay of all its own
sends, so that chance is the same on both sides: the wait for a place, which D in place decides,
plus the latency of the unloaded route, which includes HTTP and the network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from reports.formatting import format_number, format_seconds, format_share
from reports.metrics.compute import expected_limit
from reports.metrics.open_loop import build_send_log
from reports.metrics.run_data import RunData
from reports.metrics.steady_state import Window, steady_window, valid_rows
from reports.model import Goal
from reports.stats.percentile_curve import closed_loop_mask
from reports.stats.quantiles import Array, quantile
from reports.stats.queueing import MIN_GAPS, closed_loop_mean, fit_sweep, replay_latencies
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
GOAL_COLUMNS = ("goal", "should be", "measured", "off by", "allowed", "")


StopTimes = Sequence[Sequence[float]]  # from when to when a server stood still


def _relative_goal(
    name: str,
    truth: float,
    measured: float,
    limit: float,
    format_value: Callable[[float], str] = format_seconds,
) -> Goal:
    """A goal that allows a share of the truth, either way."""
    return Goal(
        name,
        truth,
        measured,
        truth * (1 - limit),
        truth * (1 + limit),
        format_share(limit),
        format_value,
    )


def selfcheck_goals(run_data: RunData) -> tuple[Goal, ...]:
    """Every goal whose load was measured to its end, in the order of the plan."""
    goals: list[Goal] = []
    for route in dict.fromkeys(cell.variant for cell in run_data.cells):
        windows = [
            (cell, cell_window)
            for cell in run_data.cells
            if cell.variant == route and (cell_window := steady_window(run_data, cell, cell.name))
        ]
        crowds = [(cell.users, window) for cell, window in windows if cell.users]
        sweep_fit = _measure_sweep(run_data, windows[0][0], crowds) if crowds else None
        if sweep_fit:
            goals += _sweep_goals(route, crowds, sweep_fit)
        elif crowds:
            goals.append(_unknown_goal(route))
        for cell, window in windows:
            if cell.arrivals:
                goals += list(_open_load_goals(run_data, cell, window, sweep_fit)) or [
                    _unknown_goal(cell.name)
                ]
    return tuple(goals)


def _unknown_goal(name: str) -> Goal:
    """A goal that never holds: the server's own record of a measured load is missing."""
    return Goal(f"{name}: records of the server", 1, 0, 1, 1, "there", format_number)


def _server_concurrency(run_data: RunData, cell: Cell) -> tuple[int, bool]:
    """How many requests a cell's server serves at once, and whether it is a bare one.

    For FastAPI's pools the server itself reports the number.
    """
    path = urlsplit(cell.path).path
    if path.startswith("/places/"):
        return int(path.rpartition("/")[2]), True
    return (
        int(
            expected_limit(path.strip("/"), run_data.run.get("targets", {}).get("fastapi", {}))[0]
            or 0
        ),
        False,
    )


@dataclass(frozen=True, slots=True)
class _SweepFit:
    """Result of a closed sweep on a route with `concurrency` places.

    `service_time` is D in place, `unloaded_mean` the latency of the unloaded route (seconds).
    """

    concurrency: int
    service_time: float
    unloaded_mean: float
    is_bare: bool


def _measure_sweep(
    run_data: RunData, cell: Cell, crowds: list[tuple[int, Window]]
) -> _SweepFit | None:
    """From the smallest crowd (one user) and the largest; None when they give no result."""
    c, is_bare = _server_concurrency(run_data, cell)
    if c < 1 or crowds[0][0] != 1:  # its probe left no record, or no user was alone
        return None
    alone, d = valid_rows(crowds[0][1].rows).latency, _mean_completion_gap(crowds[-1][1], c)
    return _SweepFit(c, d, float(alone.mean()), is_bare) if d and len(alone) else None


def _recorded_service_time(window: Window) -> float | None:
    """D as a bare server recorded it in this load: a busy machine changes it.

    A closed loop is judged by it, because D in place is rightly too high where a place is missing.
    """
    rows = window.all_rows
    rows = rows[(rows.done > window.start) & (rows.done <= window.end)]
    handler_times = (rows.handler_end - rows.handler_start).dropna()
    return float(handler_times.mean()) if len(handler_times) else None


def _rows_by_send_time(window: Window) -> pd.DataFrame:
    """All requests sent in a load, warm-up and drain included, by send time."""
    return window.all_rows[window.all_rows.sent.notna()].sort_values("sent")


def _mean_completion_gap(window: Window, c: int, stops: StopTimes = ()) -> float | None:
    """D in place: the mean gap between completions i - c and i.

    Counts only gaps where request i had been sent before completion i - c: then its place was never
    idle. A threshold on latencies would admit requests that were only delayed, which give too much;
    the median would leave out the time that a busy machine sometimes takes from the server, which
    the queue does feel.
    """
    rows = valid_rows(_rows_by_send_time(window)).sort_values("done")
    sent, done = (to_server_clock(column.to_numpy(), stops) for column in (rows.sent, rows.done))
    gaps = (done[c:] - done[:-c])[sent[c:] < done[:-c]]
    return float(np.mean(gaps)) if len(gaps) >= MIN_GAPS else None


def _sweep_goals(
    route: str, crowds: list[tuple[int, Window]], sweep_fit: _SweepFit
) -> Iterator[Goal]:
    """A closed loop: R = N D / c at every level that fills all places, and c from the throughputs.

    D is what the server recorded: a bare one in this load, FastAPI with one user, since a handler
    may wait for its thread.
    """
    one_place, few_places, many_places = _BARE_LIMITS if sweep_fit.is_bare else _FASTAPI_LIMITS
    limit = few_places if sweep_fit.concurrency < _MANY_PLACES else many_places
    if sweep_fit.concurrency == 1:
        limit = one_place
    alone = _recorded_service_time(crowds[0][1])
    for users, window in crowds:
        if users > sweep_fit.concurrency:
            mean, d = (
                float(valid_rows(window.rows).latency.mean()),
                _recorded_service_time(window) if sweep_fit.is_bare else alone,
            )
            yield _relative_goal(
                f"{route}: mean of {users} users",
                closed_loop_mean(users, d or sweep_fit.service_time, sweep_fit.concurrency),
                mean,
                limit,
            )
    levels, rates = np.array([(float(users), window.throughput) for users, window in crowds]).T
    fit, tolerance = (
        fit_sweep(
            levels, rates, sweep_fit.unloaded_mean, max(0.0, 1 / rates[0] - sweep_fit.unloaded_mean)
        ),
        1 if sweep_fit.concurrency >= _MANY_PLACES else _SWEEP_TOLERANCE,
    )
    limit_text = (
        f"{sweep_fit.concurrency - 1} to {sweep_fit.concurrency + 1}"
        if sweep_fit.concurrency >= _MANY_PLACES
        else f"{sweep_fit.concurrency} +- {_SWEEP_TOLERANCE}"
    )
    yield Goal(
        f"{route}: served at once, from the sweep",
        sweep_fit.concurrency,
        fit,
        sweep_fit.concurrency - tolerance,
        sweep_fit.concurrency + tolerance,
        limit_text,
        format_number,
    )
    recorded_mean = _recorded_service_time(crowds[-1][1])
    if recorded_mean and sweep_fit.is_bare:
        yield _relative_goal(
            f"{route}: service time, as the server recorded it",
            recorded_mean,
            sweep_fit.service_time,
            _IN_PLACE_TOLERANCE,
        )
    if alone:  # else a delay added by atonce to every answer would cancel out everywhere
        name = f"{route}: one user, beyond the server's record"
        yield Goal(
            name,
            0.0,
            sweep_fit.unloaded_mean - alone,
            -_ROUNDING_ERROR,
            _MAX_HTTP_OVERHEAD,
            f"0 to {format_seconds(_MAX_HTTP_OVERHEAD)}",
        )


def _open_load_goals(
    run_data: RunData, cell: Cell, window: Window, sweep_fit: _SweepFit | None
) -> Iterator[Goal]:
    """An open load, by what the server should do: stop a while, be overloaded, or just queue."""
    c, _ = _server_concurrency(run_data, cell)
    query, rows = parse_qs(urlsplit(cell.path).query), _rows_by_send_time(window)
    if "seconds" not in query:
        return
    stops = (
        run_data.run.get("targets", {}).get("places", {}).get("frozen", [])
        if "freeze_at" in query
        else []
    )
    d = _mean_completion_gap(window, c, stops)
    if d is None or cell.arrivals is None:
        return
    at = f"{cell.route} at {cell.arrivals.expected_requests / cell.arrivals.duration:g}/s"
    is_counted = ((rows.intended > window.start) & (rows.intended <= window.end)).to_numpy()
    sent, latency = rows.sent.to_numpy(), rows.latency.to_numpy()[is_counted]
    if "freeze_at" in query:
        yield Goal(f"{at}: times the server stopped", 1, len(stops), 1, 1, "once", format_number)
        on_server_clock = to_server_clock(sent, stops)
        ideal = quantile(
            (
                from_server_clock(on_server_clock + replay_latencies(on_server_clock, d, c), stops)
                - sent
            )[is_counted],
            0.99,
        )
        # One user sends, waits, and skips all requests planned during the wait.
        alone = closed_loop_mask(build_send_log(rows[is_counted], rows), 1)
        p99, blind = quantile(latency, 0.99), quantile(latency[alone], 0.99)
        yield _relative_goal(f"{at}, stopped for 1 s: p99", ideal, p99, _OPEN_TAIL_TOLERANCE)
        yield Goal(
            f"{at}: p99 as a closed loop sees it",
            p99,
            blind,
            0.0,
            p99 / _MIN_BLIND_RATIO,
            f"below 1/{_MIN_BLIND_RATIO:g}",
        )
    elif cell.arrivals.expected_requests / cell.arrivals.duration * float(query["seconds"][0]) < c:
        ideals = replay_latencies(sent, d, c)[is_counted] + (
            sweep_fit.unloaded_mean - d if sweep_fit else 0.0
        )
        yield _relative_goal(
            f"{at}: mean", float(ideals.mean()), float(latency.mean()), _OPEN_TOLERANCE
        )
        for name, q, limit in (("p50", 0.5, _OPEN_TOLERANCE), ("p95", 0.95, _OPEN_TAIL_TOLERANCE)):
            yield _relative_goal(f"{at}: {name}", quantile(ideals, q), quantile(latency, q), limit)
    else:
        yield from _overload_goals(at, window, c / (_recorded_service_time(window) or d))


def _overload_goals(at: str, window: Window, plateau: float) -> Iterator[Goal]:
    """More load than the server can serve: its plateau, the growing queue, and no lost request."""
    rows = window.all_rows
    arrive = float(((rows.sent > window.start) & (rows.sent <= window.end)).sum()) / window.seconds
    ends = rows.done.where(~rows.censored, np.inf)
    in_flight = [
        int(((rows.sent <= edge) & (ends > edge)).sum()) for edge in (window.start, window.end)
    ]
    lost = len(rows) - len(valid_rows(rows[~rows.censored]))
    yield _relative_goal(
        f"{at}: in flight, more every second",
        arrive - plateau,
        (in_flight[1] - in_flight[0]) / window.seconds,
        _GROWTH_TOLERANCE,
        format_number,
    )
    yield _relative_goal(
        f"{at}: answered per second", plateau, window.throughput, _PLATEAU_TOLERANCE, format_number
    )
    yield Goal(f"{at}: dropped", 0, lost, 0, 0, "none", format_number)


def to_server_clock(timestamps: Array, stops: StopTimes) -> Array:
    """Times on a clock that stops while the server is stopped."""
    return timestamps - sum(np.clip(timestamps - begin, 0.0, end - begin) for begin, end in stops)


def from_server_clock(timestamps: Array, stops: StopTimes) -> Array:
    """Inverse of `to_server_clock`: times after a stop move later by its length."""
    for begin, end in sorted(stops, key=lambda stop: stop[0]):
        timestamps = np.where(timestamps > begin, timestamps + (end - begin), timestamps)
    return timestamps
