"""Computes every number of a run from its stored files."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reports.metrics.breakdown import break_down_latency
from reports.metrics.burst import BurstMetrics
from reports.metrics.executor import explain_small_executor
from reports.metrics.fairness import count_answers_per_user, count_starved_users, measure_fairness
from reports.metrics.model import CellCounts, CrowdMetrics, RouteMetrics, RunMetrics, UnfinishedCell
from reports.metrics.neighbours import measure_neighbours
from reports.metrics.open_loop import measure_open_load
from reports.metrics.repeats import repeated_values
from reports.metrics.run_data import RunData, growth_per_second
from reports.metrics.run_health import measure_health
from reports.metrics.steady_state import Window, little_deviation, steady_window, valid_rows
from reports.stats.intervals import Interval, RepeatedValue, cost_interval, throughput_interval
from reports.stats.quantiles import (
    QUANTILES,
    Array,
    Estimate,
    LatencyStats,
    effective_sample_size,
    estimate_quantile,
    quantile,
)
from reports.stats.queueing import closed_loop_mean
from reports.stats.stationarity import Stationarity
from results.schema import Cell, Scenario, Variant, base_variant, is_experiment
from results.thresholds import CLOSED_EARLY
from results.unloaded import UnloadedLatency, estimate_unloaded, latency_quartiles


def compute_metrics(run_data: RunData) -> RunMetrics:
    """Compute every number of a run."""
    variants = list(
        dict.fromkeys(cell.variant for cell in run_data.cells if cell.users or cell.arrivals)
    )
    measured = [cell for cell in run_data.cells if _is_measured(run_data, cell)]
    neighbour_cells = [
        (cell, cell.neighbour_cell_name)
        for cell in measured
        if cell.neighbours and cell.neighbour_cell_name != cell.name
    ]
    routes = [
        _measure_route(run_data, [cell for cell in measured if cell.variant == entry], entry)
        for entry in variants
    ]
    return RunMetrics(
        run=run_data.run,
        routes=tuple(entry for entry in routes if not is_experiment(entry.variant)),
        experiments=tuple(entry for entry in routes if is_experiment(entry.variant)),
        cell_counts=tuple(
            _count_requests(run_data, cell, name)
            for cell, name in [*((cell, cell.name) for cell in measured), *neighbour_cells]
        ),
        unfinished_cells=tuple(
            _unfinished_cell(run_data, cell) for cell in run_data.cells if cell not in measured
        ),
        floor_p99=next(
            (
                _measure_floor(run_data, cell)
                for cell in measured
                if cell.scenario is Scenario.FLOOR
            ),
            None,
        ),
    )


def _is_measured(run_data: RunData, cell: Cell) -> bool:
    """Whether a cell was measured to its end."""
    if cell.scenario is Scenario.BURST:
        return "end" in run_data.marks(cell.name) and len(run_data.rows(cell.name)) == cell.users
    return steady_window(run_data, cell, cell.name) is not None


def _unfinished_cell(run_data: RunData, cell: Cell) -> UnfinishedCell:
    """How far an unfinished cell got."""
    rows, marks = run_data.rows(cell.name), run_data.marks(cell.name)
    sent = rows[rows.sent.notna()]
    begun = min([*marks.get("go", sent.sent).dropna(), *sent.sent], default=0.0)
    seconds = max([*sent.sent, *sent.done], default=begun) - begun
    return UnfinishedCell(
        cell.name, len(rows), len(sent), int((~sent.censored).sum()), float(seconds)
    )


def _count_requests(run_data: RunData, cell: Cell, name: str) -> CellCounts:
    """Count what became of a cell's requests (or of the neighbours' beside it, by `name`)."""
    window = None if cell.scenario is Scenario.BURST else steady_window(run_data, cell, name)
    rows = run_data.rows(name)
    sent = rows.sent.notna()
    cut = int((rows.error == CLOSED_EARLY).sum())  # on purpose, so they no longer count as planned
    return CellCounts(
        cell=name,
        planned=max(len(rows), _count_scheduled(run_data, name)) - cut,
        unrecorded=max(0, _count_scheduled(run_data, name) - len(rows)),
        sent=int(sent.sum()),
        unfinished=int(rows.censored.sum()),
        errors=int((sent & rows.error.notna()).sum()),
        little=little_deviation(window) if window else None,
        has_window=window is not None,
        is_neighbour_cell=name != cell.name,
        health=measure_health(run_data, cell, name),
    )


def _count_scheduled(run_data: RunData, name: str) -> int:
    """Requests in a cell's schedules, as its dispatchers counted them; 0 without schedules."""
    lines = run_data.load_lines(name)
    return int(lines.in_flight[lines["mark"] == "planned"].sum())


def _measure_floor(run_data: RunData, cell: Cell) -> float | None:
    """p99 of the route that does nothing, in seconds; the maximum of a small sample."""
    window = steady_window(run_data, cell, cell.name)
    latencies = _answered_latencies(window) if window else np.array([])
    return quantile(latencies, 0.99) if len(latencies) else None


def _measure_route(run_data: RunData, cells: list[Cell], variant: str) -> RouteMetrics:
    """One variant's levels, open loads, bursts and neighbours."""
    crowds = sorted(
        (cell for cell in cells if cell.scenario is Scenario.CROWD and not cell.watched),
        key=lambda cell: (cell.users, cell.repeat),
    )
    alone = {
        c.repeat: _answered_latencies(window)
        for c in crowds
        if c.users == 1 and (window := steady_window(run_data, c, c.name))
    }
    lone = _measure_unloaded(run_data, crowds, list(alone.values()))
    service = lone.mean if lone else None
    runtime = run_data.run.get("targets", {}).get(variant, {})
    concurrency, mechanism = expected_limit(variant, runtime)
    bursts = [_measure_burst(run_data, cell) for cell in cells if cell.scenario is Scenario.BURST]
    asked = [cell for cell in crowds if cell.neighbours] or crowds
    route = RouteMetrics(
        route=next(
            (
                cell.route
                for cell in run_data.cells
                if cell.variant == variant and (cell.users or cell.arrivals)
            ),
            variant,
        ),
        variant=variant,
        unloaded_mean=service,
        unloaded_interval=(
            _unloaded_interval(np.concatenate(list(alone.values()))) if alone else None
        ),
        expected_concurrency=concurrency,
        mechanism=mechanism,
        executor_size=runtime.get("executor_size"),
        executor_note=explain_small_executor(run_data.run, runtime),
        levels=tuple(
            level
            for cell in crowds
            if (level := _measure_crowd(run_data, cell, service, concurrency))
        ),
        open_loads=(),
        bursts=tuple(bursts),
        neighbours=(
            {
                entry.kind: entry
                for entry in measure_neighbours(run_data, asked[-1], holds_loop=concurrency == 1)
            }
            if asked
            else {}
        ),
        restarts={},
        unloaded=lone,
    )
    if not run_data.run.get("host"):  # a server on a given host is never restarted
        route = replace(
            route,
            restarts=_top_level_restarts(
                route, {again: float(entry.mean()) for again, entry in alone.items() if len(entry)}
            ),
        )
    steadies = [cell for cell in cells if cell.scenario is Scenario.STEADY]
    return replace(
        route,
        open_loads=tuple(
            measure_open_load(run_data, cell, route.capacity, _crowd_concurrency(route), service)
            for cell in steadies
        ),
    )


def _measure_unloaded(
    run_data: RunData, crowds: list[Cell], alone: list[Array]
) -> UnloadedLatency | None:
    """A lone user's mean latency; the smallest larger crowd adds what is known of slow requests."""
    lone = np.concatenate(alone) if alone else np.array([])
    few = next(
        (
            window
            for cell in crowds
            if cell.users > 1 and (window := steady_window(run_data, cell, cell.name))
        ),
        None,
    )
    return estimate_unloaded(lone.tolist(), _answered_latencies(few).tolist() if few else ())


def _unloaded_interval(latencies: Array) -> Interval | None:
    """95 % interval of a lone user's mean; wide where latencies drift, as few are independent."""
    lone_mean = (
        estimate_unloaded(latencies.tolist(), size=effective_sample_size(latencies))
        if len(latencies) > 1
        else None
    )
    return (lone_mean.low, lone_mean.high) if lone_mean else None


def _top_level_restarts(
    route: RouteMetrics, services: dict[int, float]
) -> dict[str, RepeatedValue]:
    """Numbers of each restart's largest crowd; a bound does not count as a number.

    `services`: unloaded seconds by repeat.
    """
    tops = [level for level in route.levels if level.users == route.levels[-1].users]
    if len({level.repeat for level in tops}) < len(tops):  # repeats on one server
        return {}
    columns: dict[str, list[float | None]] = {
        "rps": [level.throughput for level in tops],
        "served_at_once": [
            level.throughput * (services.get(level.repeat) or 0.0) for level in tops
        ],
        "mean_s": [level.mean.exact for level in tops],
    }
    for name in ("p50", "p99"):
        columns[f"{name}_s"] = [
            quantile_estimate.exact if (quantile_estimate := level.quantiles[name]) else None
            for level in tops
        ]
    return repeated_values(columns)


def _crowd_concurrency(route: RouteMetrics) -> int | None:
    """Number of places that a saturated crowd showed."""
    return max(1, round(route.served_at_once)) if route.served_at_once and route.capacity else None


def _answered_latencies(window: Window) -> Array:
    """Latencies of the right answers to requests planned inside the window."""
    rows = valid_rows(window.rows)
    return rows.latency[~rows.censored].to_numpy()


def expected_limit(variant: str, runtime: dict[str, Any]) -> tuple[float | None, str | None]:
    """What limits a variant, and to how many; pool sizes are those the app's probe saw."""
    if base_variant(variant) == Variant.BROKEN_ASYNC:
        return 1, "event loop"
    if variant == Variant.SYNC:
        return runtime.get("thread_tokens"), "thread pool"
    if variant == Variant.TO_THREAD:
        return runtime.get("executor_size"), "executor"
    return None, None


def _measure_crowd(
    run_data: RunData, cell: Cell, service: float | None, concurrency: float | None
) -> CrowdMetrics | None:
    """Numbers of one measured crowd; None when every answer was wrong."""
    window = steady_window(run_data, cell, cell.name)
    assert window is not None  # noqa: S101 - `_is_measured` checked it
    rows = valid_rows(window.rows)
    latency = LatencyStats.from_samples(rows.latency.to_numpy(), ~rows.censored.to_numpy())
    if latency is None:
        return None
    answers = _answered_latencies(window)
    # A starved request was planned before the window and must count for the longest latency.
    whole = valid_rows(window.all_rows)
    waits = whole.latency
    starved_users = count_starved_users(count_answers_per_user(rows[~rows.censored], cell.users))
    # otherwise its limit is unknown
    known = concurrency is not None or base_variant(cell.variant) == Variant.ASYNC
    probe = run_data.probe[run_data.probe.variant == cell.server]
    probe = probe[(probe.t > window.start) & (probe.t <= window.end)]
    return CrowdMetrics(
        cell=cell.name,
        users=cell.users,
        think_time=cell.think,
        longest_silence=_longest_silence(window),
        repeat=cell.repeat,
        seconds=window.seconds,
        count=latency.count,
        throughput=window.throughput,
        completed=window.completions,
        unfinished=int(window.all_rows.censored.sum()),
        errors=int((window.rows.sent.notna() & window.rows.error.notna()).sum()),
        mean=latency.mean,
        quantiles=latency.quantiles,
        longest=Estimate(
            float(waits.max()), float(waits.max()) if not whole.censored.any() else np.inf
        ),
        starved_users=starved_users,
        little=little_deviation(window),
        predicted_mean=(
            closed_loop_mean(cell.users, service, concurrency or np.inf, cell.think)
            if service and known
            else None
        ),
        cpu=growth_per_second(probe.t, probe.cpu),
        threads_waiting=_mean_reading(probe.threads_waiting),
        executor_queue=_mean_reading(probe.executor_queue),
        stationarity=(
            Stationarity.from_values(_smooth_latencies(rows, cell.users))
            if rows.censored.sum() + cell.users < len(rows)
            and not starved_users
            and not cell.on  # turns are compared in pairs: a drift affects both
            else None
        ),
        app_quantiles=_app_timer_quantiles(rows),
        fairness=(
            measure_fairness(whole, cell.users, service, cell.warm_up + cell.window)
            if service and cell.users > 1 and is_experiment(cell.variant)
            else None
        ),
        breakdown=break_down_latency(rows),
        cpu_cost_interval=cost_interval(
            probe.t.to_numpy(), probe.cpu.to_numpy(), window.answer_times
        ),
        throughput_interval=throughput_interval(
            window.answer_times, window.throughput * (service or 0.0)
        ),
        quartiles=latency_quartiles(np.sort(answers).tolist()),
        latency_cv=float(answers.std() / answers.mean()) if answers.any() else 0.0,
    )


def _longest_silence(window: Window) -> float:
    """Longest time in a window without an answer, in seconds; 0 if none came after its start."""
    rows = valid_rows(window.all_rows)
    if not (~rows.censored & (rows.done > window.start)).any():
        return 0.0
    return float(np.diff([window.start, *np.sort(window.answer_times), window.end]).max())


def _smooth_latencies(rows: pd.DataFrame, users: int) -> Array:
    """Latencies of a fair crowd, averaged over as many as there are users.

    A pool that they overfill serves them by turns.
    """
    averages: Array = np.convolve(
        rows.latency[~rows.censored].to_numpy(), np.full(users, 1 / users), "valid"
    )
    return averages


def _mean_reading(readings: pd.Series) -> float | None:
    """Mean of the probe's readings; None without any."""
    known = readings.dropna()
    return float(known.mean()) if len(known) else None


def _app_timer_quantiles(rows: pd.DataFrame) -> dict[str, float]:
    """Quantiles of a timer inside the app, where the sample supports them."""
    spent = (rows.app_end - rows.app_start).dropna().to_numpy()
    estimates = {
        name: estimate_quantile(spent, np.isfinite(spent), q) for name, q in QUANTILES.items()
    }
    return {
        name: quantile_estimate.low
        for name, quantile_estimate in estimates.items()
        if quantile_estimate
    }


def _measure_burst(run_data: RunData, cell: Cell) -> BurstMetrics:
    """One burst, ordered by the handler's start where known, else by the answer."""
    rows = run_data.rows(cell.name)
    go = float(run_data.marks(cell.name)["go"].min())
    asked = valid_rows(rows)
    latency = LatencyStats.from_samples(asked.latency.to_numpy(), ~asked.censored.to_numpy())
    order = rows.handler_start if rows.handler_start.notna().all() else rows.done
    # The end of waiting is no answer.
    rows = rows.loc[order.sort_values().index].assign(done=rows.done.where(~rows.censored))
    columns = (
        (rows[name] - go).tolist() for name in ("sent", "handler_start", "handler_end", "done")
    )
    sent, begin, end, done = columns
    return BurstMetrics(
        cell.name,
        len(rows),
        sent,
        begin,
        end,
        done,
        (rows.app_end - rows.app_start).tolist(),
        latency,
    )
