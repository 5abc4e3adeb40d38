"""Measures neighbour routes under a load, alone, and as theory predicts them.

A request that shares a held loop waits for the work in front of it: the crowd's own sends, replayed
through one place (the loop), give this wait for each of the neighbour's requests.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd

from reports.metrics.model import NeighbourMetrics
from reports.metrics.run_data import RunData
from reports.metrics.steady_state import steady_window, valid_rows
from reports.stats.quantiles import Estimate, estimate_quantile, quantile
from reports.stats.queueing import busy_service_time, neighbour_delays, replay_latencies
from results.schema import Cell, Neighbour, Scenario

EstimateP90 = Callable[[pd.DataFrame], Estimate | None]
_NEIGHBOUR_QUANTILE = 0.90


def measure_neighbours(
    run_data: RunData, crowds: list[Cell], *, holds_loop: bool
) -> Iterator[NeighbourMetrics]:
    """Measure the neighbours of the largest of ascending crowds that has some.

    `holds_loop`: whether they should wait for the crowd.
    """
    with_neighbours = [cell for cell in crowds if cell.neighbours]
    if not with_neighbours:
        return
    top = with_neighbours[-1]
    idle_cells = (cell for cell in run_data.cells if cell.scenario is Scenario.NEIGHBOURS)
    idle_cell = next((cell for cell in idle_cells if cell.repeat == top.repeat), None)
    for ping in top.neighbours:
        metrics = compare_pings(run_data, idle_cell, top, ping, estimate_p90)
        if holds_loop and ping.kind == "async":
            predicted = _predict_neighbour_p90(run_data, top, _select_pings(run_data, top, ping))
            metrics = replace(metrics, predicted_p90=predicted)
        yield metrics


def compare_pings(
    run_data: RunData, rest: Cell | None, cell: Cell, ping: Neighbour, estimate: EstimateP90
) -> NeighbourMetrics:
    """Return one neighbour at rest and in a cell."""
    idle, loaded = (_select_pings(run_data, some, ping) for some in (rest, cell))
    p90s = estimate(idle), estimate(loaded)
    return NeighbourMetrics(ping.kind, *p90s, len(idle), len(loaded), predicted_p90=None)


def _select_pings(run_data: RunData, cell: Cell | None, ping: Neighbour) -> pd.DataFrame:
    """Return the right answers of one neighbour in a cell's window."""
    window = steady_window(run_data, cell, cell.neighbour_cell_name) if cell else None
    if window is None:
        return run_data.samples[:0]
    return valid_rows(window.rows[window.rows.route == ping.route])


def estimate_p90(rows: pd.DataFrame) -> Estimate | None:
    """Return p90 of pings, with the unanswered as bounds."""
    finished = ~rows.censored.to_numpy()
    return estimate_quantile(rows.latency.to_numpy(), finished, _NEIGHBOUR_QUANTILE)


def _predict_neighbour_p90(run_data: RunData, top: Cell, loaded: pd.DataFrame) -> float | None:
    """Predict p90 of the `async` neighbour from the crowd's own sends; None without D in place."""
    rows = run_data.rows(top.name)
    rows = rows[rows.sent.notna() & ~rows.censored].sort_values("sent")
    sent, done = rows.sent.to_numpy(), rows.done.to_numpy()
    d = busy_service_time(sent, done, 1) if len(rows) else None
    if d is None or loaded.empty:
        return None
    delays = neighbour_delays(loaded.sent.to_numpy(), sent, replay_latencies(sent, d))
    return quantile(delays, _NEIGHBOUR_QUANTILE)
