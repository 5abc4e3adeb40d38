"""Hands a sealed run to the judgement: the doctor's tables, the numbers of the lesson's routes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from reports.metrics.executor import explain_small_executor
from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics, RunMetrics
from reports.metrics.neighbours import estimate_p90, select_pings
from reports.metrics.run_data import RunData
from reports.stats.quantiles import Estimate, quantile
from results.judgement.culprit import read_holds, source_roots
from results.judgement.model import LevelEvidence, RouteEvidence, ServerStats
from results.judgement.observe import RequestRow, idle_cell, idle_loop_holds, observe_route
from results.records import Hold, ProbeRow, column_types
from results.run_info import RouteRecord
from results.schema import Cell
from results.thresholds import FEW_USERS, MANY_USERS
from results.unloaded import UnloadedLatency

_MIN_PINGS = 8  # below which nothing is said of a neighbour


class SealedRecording:
    """A sealed run as the judgement reads it. Rows are made once for each cell."""

    def __init__(self, run_data: RunData, run_metrics: RunMetrics) -> None:
        self.run_data = run_data
        counts = run_metrics.cell_counts
        self.other_shares = {count.cell: count.health.other_cpu for count in counts}

    @property
    def cells(self) -> Sequence[Cell]:
        """Return the planned cells, in order."""
        return self.run_data.cells

    def marks(self, cell: Cell) -> Mapping[str, float]:
        """Return the moments of a cell by name."""
        marks = self.run_data.marks(cell.name)
        return {str(name): float(marks[name].max()) for name in marks if marks[name].notna().any()}

    def requests(self, cell: Cell) -> Sequence[RequestRow]:
        """Return the cell's own requests that were sent."""
        return _request_rows(self.run_data.rows(cell.name))

    def pings(self, cell: Cell, kind: str) -> Sequence[RequestRow]:
        """Return those of one of its neighbours."""
        rows = self.run_data.rows(cell.neighbour_cell_name)
        routes = [ping.route for ping in cell.neighbours if ping.kind == kind]
        return _request_rows(rows[rows.route.isin(routes)])

    @cached_property
    def _processes(self) -> dict[str, list[ProbeRow]]:
        return {
            str(server): [ProbeRow(**row) for row in _records(rows, column_types(ProbeRow))]
            for server, rows in self.run_data.probe.groupby("variant")
        }

    def processes(self, server: str) -> Sequence[ProbeRow]:
        """Return the samples of a server's processes."""
        return self._processes.get(server, [])

    def holds(self, server: str) -> Sequence[Hold]:
        """Return what the watchdog saw hold its loop, in seconds since the run's start."""
        return read_holds(self.run_data.path / "holds", server, self.run_data.run.origin)

    def other_cpu(self, cell: Cell) -> float | None:
        """Return the share of all cores in its window that neither app nor generator used."""
        return self.other_shares.get(cell.name)


def _records(rows: pd.DataFrame, columns: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Yield rows as dicts, unknown values as None."""
    names = [name for name in columns if name in rows]
    known = [rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*known, strict=True))


def _request_rows(rows: pd.DataFrame) -> list[RequestRow]:
    sent = rows[rows.sent.notna() & rows.done.notna()]
    names = {"size": "bytes"}
    columns = [sent[names.get(name, name)] for name in RequestRow._fields]
    known = [column.astype(object).where(column.notna(), None).tolist() for column in columns]
    return list(map(RequestRow._make, zip(*known, strict=True)))


def gather_route(
    recording: SealedRecording, run_metrics: RunMetrics, entry: RouteRecord
) -> RouteEvidence:
    """Gather one route's evidence."""
    run = run_metrics.run
    servers = [cell.server for cell in recording.cells if cell.variant == entry.route]
    runtime = run.runtime(servers[0] if servers else entry.session)
    roots = source_roots(run.app)
    idle_holds = idle_loop_holds(recording, run.idle_span, roots)[0]
    return observe_route(
        recording,
        entry,
        roots=roots,
        idle_hold_places=frozenset(culprit.location for culprit in idle_holds.culprits),
        workers=run.workers,
        thread_tokens=runtime.thread_limit,
        executor_size=runtime.executor_limit,
        pinned=explain_small_executor(run, runtime),
        has_agent=not run.host,
    )


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
    rest, neighbours = idle_cell(run_data.cells), {}
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
