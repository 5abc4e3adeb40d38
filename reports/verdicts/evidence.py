"""Hands a sealed run to the judgement: the doctor's tables, the numbers of the lesson's routes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reports.metrics.executor import explain_small_executor
from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics, RunMetrics
from reports.metrics.neighbours import compare_pings, estimate_p90
from reports.metrics.run_data import RunData
from reports.stats.quantiles import Estimate, quantile
from results.judgement.model import LevelEvidence, RouteEvidence, ServerStats
from results.judgement.observe import MIN_PINGS, Recording, RequestRow, idle_cell, observe_route
from results.records import ProbeRow, column_types
from results.run_info import RouteRecord
from results.schema import Cell
from results.thresholds import FEW_USERS, MANY_USERS
from results.unloaded import UnloadedLatency


class SealedRecording(Recording):
    """A sealed run as the judgement reads it."""

    def __init__(self, run_data: RunData, run_metrics: RunMetrics) -> None:
        self.run_data, self.path, self.info = run_data, run_data.path, run_data.run
        counts, columns = run_metrics.cell_counts, RequestRow._fields
        self.other_shares = {count.cell: count.health.other_cpu for count in counts}
        self.rows_by_cell = {
            cell: [RequestRow(**row) for row in _records(rows[rows.sent.notna()], columns)]
            for cell, rows in run_data.requests_by_cell.items()
        }
        self.rows_by_server = {
            str(server): [ProbeRow(**row) for row in _records(rows, column_types(ProbeRow))]
            for server, rows in run_data.probe.groupby("variant")
        }

    def marks(self, cell: Cell) -> Mapping[str, float]:
        """Return the moments of a cell by name."""
        marks = self.run_data.marks(cell.name)
        return {str(name): float(marks[name].max()) for name in marks if marks[name].notna().any()}

    def rows(self, cell: str) -> Sequence[RequestRow]:
        """Return the requests that were sent in a cell, or to its neighbours, by its name."""
        return self.rows_by_cell.get(cell, [])

    def processes(self, server: str) -> Sequence[ProbeRow]:
        """Return the samples of a server's processes."""
        return self.rows_by_server.get(server, [])

    def other_cpu(self, cell: Cell) -> float | None:
        """Return the share of all cores in its window that neither app nor generator used."""
        return self.other_shares.get(cell.name)

    def observe(self, entry: RouteRecord) -> RouteEvidence:
        """Return the evidence on a route."""
        servers = [cell.server for cell in self.info.plan.cells if cell.variant == entry.route]
        runtime = self.info.runtime(servers[0] if servers else entry.session)
        pinned = explain_small_executor(self.info, runtime)
        return observe_route(self, entry, runtime, pinned)


def _records(rows: pd.DataFrame, columns: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Yield rows as dicts, unknown values as None."""
    names = [name for name in columns if name in rows]
    known = [rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*known, strict=True))


def lesson_evidence(route: RouteMetrics) -> RouteEvidence:
    """Return what a lesson shows of a route; no levels if they cannot show a held loop."""
    top, neighbour = route.top_level, route.neighbours.get("async")
    is_shown = route.unloaded and neighbour and neighbour.slowdown is not None
    levels = route.median_levels if is_shown else ()
    crowds = [level.users for level in levels if level.users > 1]
    return RouteEvidence(
        entry=RouteRecord(route=route.route),
        levels={level.users: _lesson_level(route, level) for level in levels},
        unloaded=route.unloaded or UnloadedLatency(0.0, 0.0, 0.0, 0.0),
        faults={top.users: (top.errors, top.count + top.errors, "")} if top else {},
        thread_tokens=route.thread_tokens,
        executor_size=int(route.executor_size) if route.executor_size else None,
        has_agent=False,
        few_users=min(crowds, default=FEW_USERS),
        many_users=max(crowds, default=MANY_USERS),
        is_final=True,
    )


def _lesson_level(route: RouteMetrics, level: CrowdMetrics) -> LevelEvidence:
    neighbours = route.neighbours.values() if level is route.top_level else ()
    return LevelEvidence(
        users=level.users,
        seconds=level.seconds,
        rate=level.throughput,
        think_time=level.think_time,
        completed=level.completed,
        latencies=(),
        mean=level.mean.low,
        longest=level.longest.low,
        cv=level.latency_cv,
        quartiles=level.quartiles,
        app_time=level.breakdown.timer if level.breakdown else None,
        total_time=level.breakdown.total if level.breakdown else None,
        neighbours={neighbour.kind: neighbour.effect for neighbour in neighbours},
        server_stats=ServerStats(
            cpu=level.cpu,
            loop_cpu=level.loop_cpu,
            threads_waiting=level.threads_waiting,
            executor_waiting=level.executor_queue,
        ),
    )


def neighbour_metrics(run_data: RunData, cell: Cell) -> dict[str, NeighbourMetrics]:
    """Return the neighbours of a level with their uncertainty, to be shown."""
    rest = idle_cell(run_data.cells)
    return {
        ping.kind: compare_pings(run_data, rest, cell, ping, _rough_p90) for ping in cell.neighbours
    }


def _rough_p90(rows: pd.DataFrame) -> Estimate | None:
    # also of fewer pings than an estimate takes: a costly neighbour gets few
    if (estimate := estimate_p90(rows)) or len(rows) < MIN_PINGS:
        return estimate
    latency = quantile(rows.latency.to_numpy(), 0.9)
    return Estimate(latency, latency)
