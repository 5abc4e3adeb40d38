"""Measures neighbours beside a loaded route, alone, and as theory predicts them.

A request that shares a held loop waits for the work in front of it: the crowd's own sends, replayed
through one place (the loop), give this wait for each of the neighbour's requests.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.metrics.model import NeighbourMetrics
from reports.metrics.run_data import RunData
from reports.metrics.steady_state import steady_window, valid_rows
from reports.stats.quantiles import Estimate, estimate_quantile, quantile
from reports.stats.queueing import busy_service_time, neighbour_delays, replay_latencies
from results.schema import Cell, Scenario

_NEIGHBOUR_QUANTILE = 0.90


def measure_neighbours(
    run_data: RunData, top: Cell, *, holds_loop: bool
) -> Iterator[NeighbourMetrics]:
    """Both neighbours beside the top level. `holds_loop`: whether they should wait behind it."""
    alone = next(
        (
            cell
            for cell in run_data.cells
            if cell.scenario is Scenario.NEIGHBOURS and cell.repeat == top.repeat
        ),
        None,
    )
    for ping in top.neighbours:
        loaded_pings, idle_pings = (
            select_pings(run_data, top, ping.route),
            select_pings(run_data, alone, ping.route) if alone else None,
        )
        predicted = (
            _predict_neighbour_p90(run_data, top, loaded_pings)
            if holds_loop and ping.kind == "async" and loaded_pings is not None
            else None
        )
        yield NeighbourMetrics(
            kind=ping.kind,
            idle=estimate_p90(idle_pings),
            loaded=estimate_p90(loaded_pings),
            idle_pings=0 if idle_pings is None else len(idle_pings),
            loaded_pings=0 if loaded_pings is None else len(loaded_pings),
            predicted_p90=predicted,
        )


def select_pings(run_data: RunData, cell: Cell, route: str) -> pd.DataFrame | None:
    """The right answers of one neighbour in a cell's window."""
    window = steady_window(run_data, cell, cell.neighbour_cell_name)
    return None if window is None else valid_rows(window.rows[window.rows.route == route])


def estimate_p90(rows: pd.DataFrame | None) -> Estimate | None:
    """p90 of pings, with the unanswered as bounds."""
    return (
        None
        if rows is None
        else estimate_quantile(
            rows.latency.to_numpy(), ~rows.censored.to_numpy(), _NEIGHBOUR_QUANTILE
        )
    )


def _predict_neighbour_p90(
    run_data: RunData, top: Cell, loaded_pings: pd.DataFrame
) -> float | None:
    """p90 of the `async` neighbour predicted from the crowd's own sends, in seconds.

    None where D in place is not known.
    """
    rows = run_data.rows(top.name)
    rows = rows[rows.sent.notna() & ~rows.censored].sort_values("sent")
    sent, done = rows.sent.to_numpy(), rows.done.to_numpy()
    d = busy_service_time(sent, done, 1) if len(rows) else None
    if d is None or loaded_pings.empty:
        return None
    return quantile(
        neighbour_delays(loaded_pings.sent.to_numpy(), sent, replay_latencies(sent, d)).astype(
            np.float64
        ),
        _NEIGHBOUR_QUANTILE,
    )
