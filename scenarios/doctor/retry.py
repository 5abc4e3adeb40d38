"""Repeats measurements disturbed by a stalled load generator or a busy host, not by the app.

The run's folder keeps the first one's spools; the run's notes say why.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from results.records import Mark, Tick, decode_load_line
from results.schema import Cell
from results.spool import read_spool
from results.store import RunWriter
from results.thresholds import MIN_HARM_SECONDS
from scenarios.doctor.interim import read_interim_stats

# Share of a window that generator stalls may take beyond MIN_HARM_SECONDS each
_MAX_STALLED_SHARE = 0.01
_MAX_STOLEN_SHARE = 0.05  # share of the CPU time that the host may take for other VMs


def session_interference(run: RunWriter, session: str) -> str | None:
    """Return why a session or its watchdog session must be repeated; None if it need not."""
    for cell in run.info.plan.cells:
        if is_part_of_session(session, cell.on) and (why := _cell_interference(run.path, cell)):
            return f"{why} during {cell.name}"
    return None


def _cell_interference(folder: Path, cell: Cell) -> str | None:
    path = folder / "load" / f"{cell.on}.jsonl"
    if not path.exists():
        return None
    lines = [line for line in read_spool(path, decode_load_line) if line.cell == cell.name]
    marks = {line.mark: line for line in lines if isinstance(line, Mark)}
    if not {"open", "close"} <= set(marks):
        return None
    begin, end = marks["open"], marks["close"]
    ticks = [line for line in lines if isinstance(line, Tick)]
    latenesses = [tick.lateness for tick in ticks if begin.t <= tick.t <= end.t]
    longest, max_stall = max(latenesses, default=0.0), 2 * MIN_HARM_SECONDS
    if longest > max_stall and (stats := read_interim_stats(folder, cell.on, cell)):
        max_stall = max(max_stall, 0.5 * stats.median)  # of a slow route
    stalled = sum(max(0.0, lateness - MIN_HARM_SECONDS) for lateness in latenesses)
    window = end.t - begin.t
    if stalled > _MAX_STALLED_SHARE * window or longest > max_stall:
        return f"the load generator stood still for {1000 * longest:.0f} ms"
    stolen = (end.stolen or 0.0) - (begin.stolen or 0.0)
    if stolen > _MAX_STOLEN_SHARE * window * (os.cpu_count() or 1):
        return "the host took the CPU for others"
    return "the machine swapped" if (end.swapped or 0) > (begin.swapped or 0) else None


def is_part_of_session(session: str, name: str) -> bool:
    """Return whether a server or spool is of a session: its own, or its watchdog session's."""
    return name == session or name.startswith(f"{session}-")


def archive_attempt(run: RunWriter, session: str, why: str, tables: Iterable[str]) -> None:
    """Archive the spools of a session and remove its cells from the plan, to measure it again."""
    archive = run.path / "aside" / f"{session}-{1 + len(list(run.path.glob(f'aside/{session}-*')))}"
    for table in tables:
        for path in list((run.path / table).glob("*.jsonl")):
            if is_part_of_session(session, path.stem):
                archived = archive / path.parent.name / path.name
                archived.parent.mkdir(parents=True, exist_ok=True)
                path.rename(archived)
    plan = run.info.plan
    plan.cells = [cell for cell in plan.cells if not is_part_of_session(session, cell.on)]
    plan.notes.append(f"{why}; what was measured at first lies in {archive.relative_to(run.path)}.")
    run.write_info()
