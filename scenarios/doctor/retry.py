"""Repeats levels disturbed by a stalled load generator or a busy machine, not by the app.

The run's folder keeps the first tries' spools; a note per route says why.
"""

import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from results.records import (
    Done,
    Mark,
    ProcessSample,
    Sent,
    Tick,
    decode_app_line,
    decode_load_line,
    decode_request_line,
)
from results.schema import Cell
from results.spool import read_spool
from results.store import RunWriter
from results.thresholds import MIN_HARM_SECONDS, MIN_WINDOW_SECONDS
from scenarios.generator.job import Job
from scenarios.system.machine import host_counters

# Share of the generator's ticks that may be late by MIN_HARM_SECONDS, as the judgement has it
_MAX_LATE_SHARE = 0.01
_TICK_INTERVAL = 0.01  # seconds between two of its ticks
_MAX_STOLEN_SHARE = 0.05  # share of the CPU time that the host may take for other VMs
MAX_OTHER_SHARE = 0.30  # share of all cores that other processes may use
OTHERS_REASON = "other processes used the CPU"
QUIET_TIMEOUT, _QUIET_POLL_SECONDS = 3.0, 0.2  # seconds to wait for quiet, and per reading


class OtherLoad:
    """The CPU that others use. Mutable state: the last reading of the clock, of all, of ours."""

    def __init__(self, own_cpu: Callable[[], float]) -> None:
        self.own_cpu, self.reading = own_cpu, (time.perf_counter(), host_counters()[1], own_cpu())

    def read_share(self) -> float:
        """Return the share of all cores that others have used since the last call."""
        clock, used, own = self.reading
        self.reading = time.perf_counter(), host_counters()[1], self.own_cpu()
        seconds, ours = self.reading[0] - clock, max(0.0, self.reading[2] - own)
        others = self.reading[1] - used - ours
        return others / seconds / (os.cpu_count() or 1) if seconds >= _QUIET_POLL_SECONDS / 2 else 0

    def wait_for_quiet(self, check: Callable[[], None]) -> None:
        """Wait a moment for a machine that is busy now."""
        deadline = time.perf_counter() + QUIET_TIMEOUT
        while self.read_share() >= MAX_OTHER_SHARE and time.perf_counter() < deadline:
            check()
            time.sleep(_QUIET_POLL_SECONDS)


def find_interference(folder: Path, job: Job) -> str | None:
    """Return why a level must be repeated; None if it need not."""
    reasons = (_cell_interference(folder, job.worker, cell) for cell in job.cells)
    return next(filter(None, reasons), None)


def _cell_interference(folder: Path, worker: str, cell: Cell) -> str | None:
    path = folder / "load" / f"{worker}.jsonl"
    if not path.exists():
        return None
    lines = [line for line in read_spool(path, decode_load_line) if line.cell == cell.name]
    marks = {line.mark: line for line in lines if isinstance(line, Mark)}
    if not {"open", "close"} <= set(marks):
        return None
    begin, end = marks["open"], marks["close"]
    ticks = [line for line in lines if isinstance(line, Tick) and begin.t <= line.t <= end.t]
    longest, max_stall = max((tick.lateness for tick in ticks), default=0.0), 2 * MIN_HARM_SECONDS
    if longest > max_stall:
        max_stall = max(max_stall, 0.5 * _median_latency(folder, worker, cell))  # of a slow route
    stalls = (tick.lateness - MIN_HARM_SECONDS for tick in ticks)
    # with those that a long stall has left out
    late = sum(math.ceil(stall / _TICK_INTERVAL) for stall in stalls if stall > 0)
    if late > _MAX_LATE_SHARE * len(ticks) or longest > max_stall:
        return f"the load generator stood still for {1000 * longest:.0f} ms"
    if (end.swapped or 0) > (begin.swapped or 0):
        return "the machine swapped"
    locust_cpu = ticks[-1].cpu - ticks[0].cpu if ticks else 0.0
    return _cpu_interference(begin, end, locust_cpu, _app_cores(folder, cell.on, begin.t, end.t))


def _median_latency(folder: Path, worker: str, cell: Cell) -> float:
    """Return the median latency of a cell's answers, in seconds; 0 without one."""
    lines = list(read_spool(folder / "samples" / f"{worker}.jsonl", decode_request_line))
    sent = {x.seq: x.intended for x in lines if isinstance(x, Sent) and x.cell == cell.name}
    ends = (x for x in lines if isinstance(x, Done) and x.seq in sent)
    return statistics.median([x.done - sent[x.seq] for x in ends] or [0.0])


def _cpu_interference(
    begin: Mark, end: Mark, locust_cpu: float, app_cores: float | None
) -> str | None:
    """Return who else used the CPU between two marks; of an app that hides its use, only a host."""
    window = end.t - begin.t
    cpu_seconds = window * (os.cpu_count() or 1)
    if (end.stolen or 0.0) - (begin.stolen or 0.0) > _MAX_STOLEN_SHARE * cpu_seconds:
        return "the host took the CPU for others"
    if app_cores is None or window < MIN_WINDOW_SECONDS or begin.used is None or end.used is None:
        return None
    others = end.used - begin.used - locust_cpu - app_cores * window
    return OTHERS_REASON if others >= MAX_OTHER_SHARE * cpu_seconds else None


def _app_cores(folder: Path, process: str, begin: float, end: float) -> float | None:
    """Return the cores that the app and its children used, as read from outside."""
    cores = None
    for path in folder.glob(f"probe/{process}-*.system.jsonl"):
        samples = [
            (line.t, (line.cpu or 0.0) + (line.kin_cpu or 0.0))
            for line in read_spool(path, decode_app_line)
            if isinstance(line, ProcessSample) and begin <= line.t <= end
        ]
        if len(samples) > 1:
            (first, before), (last, cpu) = samples[0], samples[-1]
            cores = (cores or 0.0) + (cpu - before) / (last - first)
    return cores


def has_fallen_silent(folder: Path, job: Job) -> bool:
    """Return whether nothing was answered any more during a job."""
    path = folder / "load" / f"{job.worker}.jsonl"
    lines = read_spool(path, decode_load_line) if path.exists() else ()
    return any(isinstance(line, Mark) and line.mark == "silent" for line in lines)


def archive_level(run: RunWriter, session: str, job: Job, label: str, why: str) -> None:
    """Set a level's spools aside and remove its cells from the plan, to measure it again."""
    aside = run.path / "aside" / session
    archive = aside / job.worker.removeprefix(f"{session}-")
    for table in ("samples", "load"):
        if (path := run.path / table / f"{job.worker}.jsonl").exists():
            (archive / table).mkdir(parents=True, exist_ok=True)
            path.rename(archive / table / path.name)
    plan, start = run.info.plan, f"{label}: disturbed levels were measured again"
    names = {cell.name for cell in job.cells}
    plan.cells = [cell for cell in plan.cells if cell.name not in names]
    plan.notes = [note for note in plan.notes if not note.startswith(start)]
    count = len(list(aside.iterdir()))
    plan.notes.append(
        f"{start} ({count} in all), the last because {why}; what was measured at first lies in"
        f" {aside.relative_to(run.path)}."
    )
    run.write_info()
