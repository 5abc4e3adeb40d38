"""What innocent routes feel beside a loaded one, against what they feel alone and what theory says they must feel.

Whoever shares a held loop waits for the work in front of it: the crowd's own sends, replayed through the one place that the
loop is, say for each innocent request how much that was.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.metrics.model import Bystander
from reports.metrics.run_data import Evidence
from reports.metrics.steady_state import right, steady
from reports.stats.quantiles import Estimate, estimate, quantile
from reports.stats.queueing import busy_service, bystander, replay
from results.schema import Cell, Scenario

QUANTILE = 0.90


def bystanders(evidence: Evidence, top: Cell, *, holds_loop: bool) -> Iterator[Bystander]:
    """Both neighbours beside the top level. `holds_loop`: whether they should wait behind it."""
    alone = next((one for one in evidence.cells if one.scenario is Scenario.NEIGHBOURS and one.repeat == top.repeat), None)
    for ping in top.neighbours:
        beside, before = pings(evidence, top, ping.route), pings(evidence, alone, ping.route) if alone else None
        felt = waits(evidence, top, beside) if holds_loop and ping.kind == "async" and beside is not None else None
        yield Bystander(
            kind=ping.kind,
            idle=p90(before),
            loaded=p90(beside),
            idle_pings=0 if before is None else len(before),
            loaded_pings=0 if beside is None else len(beside),
            predicted=felt,
        )


def pings(evidence: Evidence, cell: Cell, route: str) -> pd.DataFrame | None:
    """The right answers of one neighbour in a cell's window."""
    window = steady(evidence, cell, cell.aside)
    return None if window is None else right(window.rows[window.rows.route == route])


def p90(rows: pd.DataFrame | None) -> Estimate | None:
    """p90 of some pings, with the unanswered as bounds."""
    return None if rows is None else estimate(rows.latency.to_numpy(), ~rows.censored.to_numpy(), QUANTILE)


def waits(evidence: Evidence, top: Cell, asked: pd.DataFrame) -> float | None:
    """p90 that the `async` neighbour must have behind the crowd's own sends, in seconds; None where D in place is not known."""
    rows = evidence.rows(top.name)
    rows = rows[rows.sent.notna() & ~rows.censored].sort_values("sent")
    sent, done = rows.sent.to_numpy(), rows.done.to_numpy()
    d = busy_service(sent, done, 1) if len(rows) else None
    if d is None or asked.empty:
        return None
    return quantile(bystander(asked.sent.to_numpy(), sent, replay(sent, d)).astype(np.float64), QUANTILE)
