"""Computes every number of a run from its stored files."""

from dataclasses import replace
from operator import attrgetter

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
from reports.stats import quantiles
from reports.stats.intervals import Interval, RepeatedValue, cost_interval, throughput_interval
from reports.stats.quantiles import Array, Estimate, LatencyStats
from reports.stats.queueing import closed_loop_mean
from reports.stats.stationarity import Stationarity
from results.run_info import Runtime
from results.schema import Cell, Scenario, Variant, base_variant, is_experiment
from results.thresholds import CLOSED_EARLY
from results.unloaded import estimate_unloaded, latency_quartiles


def compute_metrics(run_data: RunData) -> RunMetrics:
    """Compute every number of a run."""
    cells = run_data.cells
    variants = dict.fromkeys(cell.variant for cell in cells if cell.users or cell.arrivals)
    measured = [cell for cell in cells if _is_measured(run_data, cell)]
    with_neighbours = [cell for cell in measured if cell.neighbours]
    neighbours = [cell for cell in with_neighbours if cell.neighbour_cell_name != cell.name]
    counts = [_count_requests(run_data, cell, cell.name) for cell in measured]
    counts += [_count_requests(run_data, cell, cell.neighbour_cell_name) for cell in neighbours]
    routes = [_measure_route(run_data, measured, variant) for variant in variants]
    floor_cells = (cell for cell in measured if cell.scenario is Scenario.FLOOR)
    floor = next((steady_window(run_data, cell, cell.name) for cell in floor_cells), None)
    latencies = floor.latencies if floor else np.array([])
    return RunMetrics(
        run=run_data.run,
        routes=tuple(entry for entry in routes if not is_experiment(entry.variant)),
        experiments=tuple(entry for entry in routes if is_experiment(entry.variant)),
        cell_counts=tuple(counts),
        unfinished_cells=tuple(
            _unfinished_cell(run_data, cell) for cell in cells if cell not in measured
        ),
        floor_p99=quantiles.quantile(latencies, 0.99) if len(latencies) else None,
    )


def _is_measured(run_data: RunData, cell: Cell) -> bool:
    if cell.scenario is Scenario.BURST:
        return "end" in run_data.marks(cell.name) and len(run_data.rows(cell.name)) == cell.users
    return steady_window(run_data, cell, cell.name) is not None


def _unfinished_cell(run_data: RunData, cell: Cell) -> UnfinishedCell:
    rows, marks = run_data.rows(cell.name), run_data.marks(cell.name)
    sent = rows[rows.sent.notna()]
    begun = min([*marks.get("go", sent.sent).dropna(), *sent.sent], default=0.0)
    seconds = max([*sent.sent, *sent.done], default=begun) - begun
    answered = int((~sent.censored).sum())
    return UnfinishedCell(cell.name, len(rows), len(sent), answered, float(seconds))


def _count_requests(run_data: RunData, cell: Cell, name: str) -> CellCounts:
    """Count what became of a cell's requests (or of its neighbours', by `name`)."""
    window = None if cell.scenario is Scenario.BURST else steady_window(run_data, cell, name)
    rows, lines = run_data.rows(name), run_data.load_lines(name)
    # as the dispatchers counted them; 0 without schedules
    scheduled = int(lines.in_flight[lines["mark"] == "planned"].sum())
    sent = rows.sent.notna()
    cut = int((rows.error == CLOSED_EARLY).sum())  # on purpose, so they no longer count as planned
    return CellCounts(
        cell=name,
        planned=max(len(rows), scheduled) - cut,
        unrecorded=max(0, scheduled - len(rows)),
        sent=int(sent.sum()),
        unfinished=int(rows.censored.sum()),
        errors=int((sent & rows.error.notna()).sum()),
        little=little_deviation(window) if window else None,
        has_window=window is not None,
        is_neighbour_cell=name != cell.name,
        health=measure_health(run_data, cell, name),
    )


def _measure_route(run_data: RunData, measured: list[Cell], variant: str) -> RouteMetrics:
    """Measure one variant's levels, open loads, bursts and neighbours."""
    cells = [cell for cell in measured if cell.variant == variant]
    by_scenario = {kind: [cell for cell in cells if cell.scenario is kind] for kind in Scenario}
    crowds = {
        cell: window
        for cell in sorted(by_scenario[Scenario.CROWD], key=attrgetter("users", "repeat"))
        if cell.is_level and (window := steady_window(run_data, cell, cell.name))
    }
    alone = {cell.repeat: window.latencies for cell, window in crowds.items() if cell.users == 1}
    lone = np.concatenate([*alone.values(), []])
    # The smallest larger crowd adds what is known of slow requests.
    few = (window.latencies.tolist() for cell, window in crowds.items() if cell.users > 1)
    unloaded = estimate_unloaded(lone.tolist(), next(few, ()))
    service = unloaded.mean if unloaded else None
    runtime = run_data.run.runtime(variant)
    concurrency, mechanism = expected_limit(variant, runtime)
    measured_crowds = (
        _measure_crowd(run_data, cell, window, service, concurrency)
        for cell, window in crowds.items()
    )
    levels = tuple(filter(None, measured_crowds))
    neighbours = measure_neighbours(run_data, list(crowds), holds_loop=concurrency == 1)
    # a server on a given host is never restarted
    services = {again: float(entry.mean()) for again, entry in alone.items() if len(entry)}
    restarts = {} if run_data.run.host else _top_level_restarts(levels, services)
    own_cells = (cell for cell in run_data.cells if cell.variant == variant)
    route = RouteMetrics(
        route=next((cell.route for cell in own_cells if cell.users or cell.arrivals), variant),
        variant=variant,
        unloaded_mean=service,
        unloaded_interval=_unloaded_interval(lone),
        expected_concurrency=concurrency,
        mechanism=mechanism,
        executor_size=runtime.executor_limit,
        thread_tokens=runtime.thread_limit,
        executor_note=explain_small_executor(run_data.run, runtime),
        levels=levels,
        open_loads=(),
        bursts=tuple(_measure_burst(run_data, cell) for cell in by_scenario[Scenario.BURST]),
        neighbours={entry.kind: entry for entry in neighbours},
        restarts=restarts,
        unloaded=unloaded,
    )
    steady = by_scenario[Scenario.STEADY]
    open_loads = tuple(measure_open_load(run_data, cell, route) for cell in steady)
    return replace(route, open_loads=open_loads)


def _unloaded_interval(latencies: Array) -> Interval | None:
    """95 % interval of a lone user's mean; wide where latencies drift, as few are independent."""
    if len(latencies) < 2:  # noqa: PLR2004 - a spread takes two
        return None
    lone = estimate_unloaded(latencies.tolist(), size=quantiles.effective_sample_size(latencies))
    return (lone.low, lone.high) if lone else None


def _top_level_restarts(
    levels: tuple[CrowdMetrics, ...], services: dict[int, float]
) -> dict[str, RepeatedValue]:
    """Return numbers, not bounds, of each restart's largest crowd; `services` in s by repeat."""
    tops = [level for level in levels if level.users == levels[-1].users]
    if len({level.repeat for level in tops}) < len(tops):  # repeats on one server
        return {}
    columns: dict[str, list[float | None]] = {
        "rps": [top.throughput for top in tops],
        "served_at_once": [top.throughput * (services.get(top.repeat) or 0.0) for top in tops],
        "mean_s": [top.mean.exact for top in tops],
    }
    for name in ("p50", "p99"):
        estimates = [top.quantiles[name] for top in tops]
        columns[f"{name}_s"] = [estimate.exact if estimate else None for estimate in estimates]
    return repeated_values(columns)


def expected_limit(variant: str, runtime: Runtime) -> tuple[float | None, str | None]:
    """Return how many a variant serves at once and what limits it; pools as the probe saw them."""
    if base_variant(variant) == Variant.BROKEN_ASYNC:
        return 1, "event loop"
    if variant == Variant.SYNC:
        return runtime.thread_limit, "thread pool"
    if variant == Variant.TO_THREAD:
        return runtime.executor_limit, "executor"
    return None, None


def _measure_crowd(
    run_data: RunData, cell: Cell, window: Window, service: float | None, concurrency: float | None
) -> CrowdMetrics | None:
    """Return the numbers of one measured crowd; None when every answer was wrong."""
    rows, users = valid_rows(window.rows), cell.users
    latency = LatencyStats.from_samples(rows.latency.to_numpy(), ~rows.censored.to_numpy())
    if latency is None:
        return None
    answers = window.latencies
    # A starved request was planned before the window and must count for the longest latency.
    whole = valid_rows(window.all_rows)
    longest = float(whole.latency.max())
    starved_users = count_starved_users(count_answers_per_user(rows[~rows.censored], users))
    # otherwise its limit is unknown
    known = concurrency is not None or base_variant(cell.variant) == Variant.ASYNC
    predicted_mean, fairness, stationarity = None, None, None
    if service and known:
        predicted_mean = closed_loop_mean(users, service, concurrency or np.inf, cell.think)
    if service and users > 1 and is_experiment(cell.variant):
        fairness = measure_fairness(whole, users, service, cell.warm_up + cell.window)
    # Turns (`on`) are compared in pairs: a drift affects both.
    if len(answers) > users and not starved_users and not cell.on:
        # A pool that its users overfill serves them by turns: average over as many.
        smooth = np.convolve(answers, np.full(users, 1 / users), "valid")
        stationarity = Stationarity.from_values(smooth)
    probe = run_data.probe[run_data.probe.variant == cell.server]
    probe = probe[(probe.t > window.start) & (probe.t <= window.end)]
    cpu = probe.dropna(subset="cpu")
    cpu_cost = cost_interval(cpu.t.to_numpy(), cpu.cpu.to_numpy(), window.answer_times)
    clump = window.throughput * (service or 0.0)
    return CrowdMetrics(
        cell=cell.name,
        users=users,
        think_time=cell.think,
        longest_silence=window.longest_silence,
        repeat=cell.repeat,
        seconds=window.seconds,
        count=latency.count,
        throughput=window.throughput,
        completed=window.completions,
        unfinished=int(window.all_rows.censored.sum()),
        errors=int((window.rows.sent.notna() & window.rows.error.notna()).sum()),
        mean=latency.mean,
        quantiles=latency.quantiles,
        longest=Estimate(longest, np.inf if whole.censored.any() else longest),
        starved_users=starved_users,
        little=little_deviation(window),
        predicted_mean=predicted_mean,
        cpu=growth_per_second(probe.t, probe.cpu),
        loop_cpu=growth_per_second(probe.t, probe.loop_cpu) if "loop_cpu" in probe else None,
        threads_waiting=_mean_reading(probe.threads_waiting),
        executor_queue=_mean_reading(probe.executor_queue),
        stationarity=stationarity,
        app_quantiles=_app_timer_quantiles(rows),
        fairness=fairness,
        breakdown=break_down_latency(rows),
        cpu_cost_interval=cpu_cost,
        throughput_interval=throughput_interval(window.answer_times, clump),
        quartiles=latency_quartiles(np.sort(answers).tolist()),
        latency_cv=float(answers.std() / answers.mean()) if answers.any() else 0.0,
    )


def _mean_reading(readings: pd.Series) -> float | None:
    return float(readings.mean()) if readings.notna().any() else None


def _app_timer_quantiles(rows: pd.DataFrame) -> dict[str, float]:
    """Return quantiles of a timer inside the app, where the sample supports them."""
    spent = (rows.app_end - rows.app_start).dropna().to_numpy()
    finished = np.isfinite(spent)
    estimates = (
        (name, quantiles.estimate_quantile(spent, finished, q))
        for name, q in quantiles.QUANTILES.items()
    )
    return {name: estimate.low for name, estimate in estimates if estimate}


def _measure_burst(run_data: RunData, cell: Cell) -> BurstMetrics:
    """Measure one burst, ordered by the handler's start where known, else by the answer."""
    rows = run_data.rows(cell.name)
    go = float(run_data.marks(cell.name)["go"].min())
    valid = valid_rows(rows)
    order = rows.handler_start if rows.handler_start.notna().all() else rows.done
    # The end of waiting is no answer.
    rows = rows.loc[order.sort_values().index].assign(done=rows.done.where(~rows.censored))
    names = ("sent", "handler_start", "handler_end", "done")
    sent, begin, end, done = ((rows[name] - go).tolist() for name in names)
    timer = (rows.app_end - rows.app_start).tolist()
    latency = LatencyStats.from_samples(valid.latency.to_numpy(), ~valid.censored.to_numpy())
    return BurstMetrics(cell.name, len(rows), sent, begin, end, done, timer, latency)
