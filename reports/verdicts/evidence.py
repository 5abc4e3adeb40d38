"""Gathers what is known of one examined route: its levels, neighbours, and the app's state."""

import numpy as np
import pandas as pd

from reports.metrics.executor import explain_small_executor
from reports.metrics.model import NeighbourMetrics, RouteMetrics, RunMetrics
from reports.metrics.neighbours import estimate_p90, select_pings
from reports.metrics.run_data import RunData, growth_per_second
from reports.metrics.steady_state import Window, steady_window
from reports.stats.quantiles import Estimate, quantile
from reports.verdicts.culprit import LoopHolds, read_holds, source_roots, summarise_holds
from reports.verdicts.model import LevelEvidence, RouteEvidence, ServerStats
from results.run_info import RouteRecord
from results.schema import Cell, Scenario
from results.thresholds import FEW_USERS

_CHILD_CPU_INTERVAL = 1.2  # seconds: the CPU of what an app has started is read once a second
_MIN_PINGS = 8  # below which nothing is said of a neighbour


def gather_route(
    run_data: RunData, run_metrics: RunMetrics, route: RouteMetrics, entry: RouteRecord
) -> RouteEvidence:
    """Gather one route's evidence."""
    run, cells = run_data.run, [cell for cell in run_data.cells if cell.variant == route.variant]
    crowds = [cell for cell in cells if cell.scenario is Scenario.CROWD]
    levels = _gather_levels(run_data, run_metrics, route, crowds)
    steady = (cell for cell in cells if cell.scenario is Scenario.STEADY and cell.neighbours)
    half, watched = next(steady, None), next((cell for cell in cells if cell.watched), None)
    window = steady_window(run_data, watched, watched.name) if watched else None
    holds, cpu_while_late = None, None
    if watched and window:
        holds = _loop_holds_between(run_data, watched.on, (window.start, window.end))
        few_cpu = levels[FEW_USERS].server_stats.cpu if FEW_USERS in levels else None
        cpu, late = _server_stats(run_data, watched, window).cpu, holds.seconds + holds.unattributed
        cpu_while_late = computing_share(cpu, few_cpu, window.seconds, late)
    faults = {cell.users: counts for cell in crowds if (counts := _wrong_answers(run_data, cell))}
    idle_holds = idle_loop_holds(run_data)[0]
    runtime = run.runtime(cells[0].on if cells else entry.session)
    return RouteEvidence(
        entry=entry,
        route=route,
        faults=faults,
        levels=levels,
        half_neighbours=_neighbour_metrics(run_data, half) if half else None,
        half_rate=half.arrivals.profile[0][1] if half and half.arrivals else None,
        loop_holds=holds,
        idle_hold_places=frozenset(culprit.location for culprit in idle_holds.culprits),
        cpu_while_late=cpu_while_late,
        watched_requests=window.completions if window else 0,
        watched_seconds=window.seconds if window else 0.0,
        workers=run.workers,
        thread_tokens=runtime.thread_limit,
        executor_size=runtime.executor_limit,
        pinned=explain_small_executor(run, runtime),
        has_agent=not run.host,
    )


def _gather_levels(
    run_data: RunData, run_metrics: RunMetrics, route: RouteMetrics, crowds: list[Cell]
) -> dict[int, LevelEvidence]:
    # the second is a gate's
    first_repeats = [level for level in route.levels if level.repeat != 2]  # noqa: PLR2004
    # the third is the lone user's, should it have no first
    levels = {level.users: level for level in reversed(first_repeats)}
    others = {counts.cell: counts.health.other_cpu for counts in run_metrics.cell_counts}
    names, evidence = {level.cell for level in levels.values()}, {}
    for cell in crowds:
        window = steady_window(run_data, cell, cell.name) if cell.name in names else None
        if window is None:
            continue
        evidence[cell.users] = LevelEvidence(
            metrics=levels[cell.users],
            think_time=cell.think,
            neighbours=_neighbour_metrics(run_data, cell),
            server_stats=_server_stats(run_data, cell, window),
            other_cpu=others[cell.name] or 0.0,
        )
    return evidence


def computing_share(
    watched: float | None, unwatched: float | None, seconds: float, late: float
) -> float | None:
    """Return CPU seconds per second of a late loop; None where that is not known.

    `watched` and `unwatched` are the shares of a core that the app used, with the watchdog and
    without. The smaller counts, as the watchdog takes CPU, too.
    """
    known = [share for share in (watched, unwatched) if share is not None]
    return min(known) * seconds / late if watched is not None and late else None


def idle_loop_holds(run_data: RunData) -> tuple[LoopHolds, float]:
    """Return what holds the loop of the idle app, and for how many seconds it was watched."""
    if span := run_data.run.idle_span:
        return _loop_holds_between(run_data, "app-1", span), span[1] - span[0]
    rest = _idle_cell(run_data)
    window = steady_window(run_data, rest, rest.name) if rest else None
    if not rest or not window:
        return LoopHolds(0.0, 0.0, ()), 0.0
    return _loop_holds_between(run_data, rest.server, (window.start, window.end)), window.seconds


def _idle_cell(run_data: RunData) -> Cell | None:
    return next((cell for cell in run_data.cells if cell.scenario is Scenario.NEIGHBOURS), None)


def _loop_holds_between(run_data: RunData, session: str, window: tuple[float, float]) -> LoopHolds:
    roots = source_roots(run_data.run.app)
    return summarise_holds(
        read_holds(run_data.path / "holds", session), window, run_data.run.origin, roots
    )


def _wrong_answers(run_data: RunData, cell: Cell) -> tuple[int, int, str] | None:
    # warm-up included: a route that fails at once has no window
    rows = run_data.rows(cell.name)
    rows = rows[rows.sent.notna()]
    faults = rows.error.dropna()
    return (len(faults), len(rows), str(faults.mode().iloc[0])) if len(faults) else None


def _neighbour_metrics(run_data: RunData, cell: Cell) -> dict[str, NeighbourMetrics]:
    rest, neighbours = _idle_cell(run_data), {}
    for ping in cell.neighbours:
        loaded = select_pings(run_data, cell, ping.route)
        alone = select_pings(run_data, rest, ping.route) if rest else None
        neighbours[ping.kind] = NeighbourMetrics(
            kind=ping.kind,
            idle=estimate_p90(alone) or _rough_p90(alone),
            loaded=estimate_p90(loaded) or _rough_p90(loaded),
            idle_pings=0 if alone is None else len(alone),
            loaded_pings=0 if loaded is None else len(loaded),
            predicted_p90=None,
        )
    return neighbours


def _rough_p90(rows: pd.DataFrame | None) -> Estimate | None:
    # of fewer pings than an estimate takes: a costly neighbour gets few
    if rows is None or len(rows) < _MIN_PINGS:
        return None
    latency = quantile(rows.latency.to_numpy(), 0.9)
    return Estimate(latency, latency)


def _server_stats(run_data: RunData, cell: Cell, window: Window) -> ServerStats:
    whole = run_data.probe[run_data.probe.variant == cell.server]
    probe = whole[(whole.t > window.start) & (whole.t <= window.end)]
    start, end = window.start - _CHILD_CPU_INTERVAL, window.end + _CHILD_CPU_INTERVAL
    around = whole[(whole.t > start) & (whole.t <= end)]
    # a busy loop takes no samples
    cpu_rows = probe if _total_growth(probe, "cpu") is not None else around
    lags, pool_threads = probe.loop_lag.dropna(), probe.pool_threads.dropna()
    return ServerStats(
        cpu=_total_growth(cpu_rows, "cpu"),
        loop_cpu=_total_growth(cpu_rows, "loop_cpu"),
        children_cpu=_total_growth(around, "kin_cpu"),
        lag=float(np.quantile(lags, 0.99)) if len(lags) else None,
        longest_lag=float(lags.max()) if len(lags) else None,
        threads=_total_mean(probe, "threads_busy"),
        threads_waiting=_total_mean(probe, "threads_waiting"),
        executor_waiting=_total_mean(probe, "executor_queue"),
        pool_threads=float(pool_threads.max()) if len(pool_threads) else None,
        pool_waiting=_total_mean(probe, "pool_waiting"),
    )


def _total_growth(probe: pd.DataFrame, column: str) -> float | None:
    """Growth per second of a running total, over all processes; None where it was not seen."""
    processes = probe.dropna(subset=column).groupby("pid")
    slopes = [growth_per_second(rows.t, rows[column]) for _, rows in processes]
    rates = [rate for rate in slopes if rate is not None]
    return sum(rates) if rates else None


def _total_mean(probe: pd.DataFrame, column: str) -> float | None:
    means = [rows[column].mean() for _, rows in probe.dropna(subset=column).groupby("pid")]
    return float(sum(means)) if means else None
