"""Repeats levels disturbed by a stalled load generator or a busy machine, not by the app.

The run's folder keeps the first tries' spools; a note per route says why.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable

from results.schema import Cell
from results.store import RunWriter
from results.thresholds import MIN_HARM_SECONDS, MIN_WINDOW_SECONDS
from scenarios.doctor.recording import SpoolRecording
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


def find_interference(recording: SpoolRecording, cells: Iterable[Cell]) -> str | None:
    """Return why a level must be repeated; None if it need not."""
    return next(filter(None, (_cell_interference(recording, cell) for cell in cells)), None)


def _cell_interference(recording: SpoolRecording, cell: Cell) -> str | None:
    if not (window := recording.window(cell)):
        return None
    begin, end, ticks = window
    longest, max_stall = max((tick.lateness for tick in ticks), default=0.0), 2 * MIN_HARM_SECONDS
    if longest > max_stall:
        latencies = [row.latency for row in recording.requests(cell) if not row.censored]
        max_stall = max(max_stall, 0.5 * statistics.median(latencies or [0.0]))  # of a slow route
    stalls = (tick.lateness - MIN_HARM_SECONDS for tick in ticks)
    # with those that a long stall has left out
    late = sum(math.ceil(stall / _TICK_INTERVAL) for stall in stalls if stall > 0)
    if late > _MAX_LATE_SHARE * len(ticks) or longest > max_stall:
        return f"the load generator stood still for {1000 * longest:.0f} ms"
    if (end.swapped or 0) > (begin.swapped or 0):
        return "the machine swapped"
    seconds = end.t - begin.t
    stolen = (end.stolen or 0.0) - (begin.stolen or 0.0)
    if stolen > _MAX_STOLEN_SHARE * seconds * (os.cpu_count() or 1):
        return "the host took the CPU for others"
    others = (recording.other_cpu(cell) or 0.0) if seconds >= MIN_WINDOW_SECONDS else 0.0
    return OTHERS_REASON if others >= MAX_OTHER_SHARE else None


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
