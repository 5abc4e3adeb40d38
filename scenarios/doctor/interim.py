"""Quick metrics of one level during a run, from the spools, to decide what to measure next."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from results import records, thresholds
from results.schema import Cell
from results.spool import read_spool
from results.unloaded import added_wait, latency_quartiles


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimStats:
    """One level, in seconds and requests per second."""

    users: int
    think_time: float
    rate: float
    latencies: Sequence[float]  # of correct answers, sorted
    cpu_cores: float  # cores that the app's processes used; 0 where unknown
    pings: dict[str, list[float]]
    failures: int
    successes: int
    requests_sent: int  # in all phases
    abandoned: int

    @property
    def median(self) -> float:
        """The middle latency; 0 where nothing was answered."""
        return statistics.median_high(self.latencies) if self.latencies else 0.0

    @property
    def mean(self) -> float:
        """The mean latency; 0 where nothing was answered."""
        return statistics.fmean(self.latencies) if self.latencies else 0.0

    def neighbour_p90(self, kind: str) -> float | None:
        """Return the 90th percentile of one neighbour, however few its pings."""
        pings = self.pings.get(kind, [])
        return pings[math.ceil(0.9 * len(pings)) - 1] if pings else None

    def is_neighbour_slowed(self, kind: str, idle_p90: dict[str, float]) -> bool:
        """Return whether a neighbour waits much longer than at rest."""
        slow = max(thresholds.SUFFERS_SECONDS, thresholds.SUFFERS_RATIO * idle_p90.get(kind, 0.0))
        return (self.neighbour_p90(kind) or 0.0) >= slow

    @property
    def has_long_ping(self) -> bool:
        """Whether any single ping of the async neighbour took long."""
        pings = self.pings.get("async", [])
        return bool(pings) and pings[-1] >= thresholds.LONG_HOLD_SECONDS

    @property
    def cpu_per_request(self) -> float:
        """CPU seconds per request; 0 where unknown."""
        return self.cpu_cores / self.rate if self.rate else 0.0

    @property
    def is_cpu_bound(self) -> bool:
        """Whether the app computes rather than waits; False where the CPU is unknown."""
        return self.cpu_cores >= thresholds.COMPUTES_CORE_SHARE

    def is_serialised(self, single_stats: "InterimStats") -> bool:
        """Return whether requests seem to wait one at a time on a core not full."""
        wait_time = single_stats.mean - single_stats.cpu_per_request
        return (
            self.cpu_cores < thresholds.FULL_CORE_SHARE
            and wait_time > thresholds.AWAITS_SHARE * single_stats.mean + thresholds.AWAITS_SECONDS
            and self.rate * wait_time < thresholds.OVERLAPPING_WAITS
        )

    def is_unqueued(self, service_time: float) -> bool:
        """Return whether nothing queues: users, pauses and the unloaded time explain the rate."""
        return self.rate * (service_time + self.think_time) >= thresholds.GROWS_SHARE * self.users

    def is_latency_stable(self, few_stats: "InterimStats") -> bool:
        """Return whether most requests take no longer than among a few, and no user starves."""
        few, own = latency_quartiles(few_stats.latencies), latency_quartiles(self.latencies)
        if not few or not own or not self.is_unqueued(self.mean):
            return False
        return added_wait(few, own) <= (1 - thresholds.GROWS_SHARE) * self.mean


def read_interim_stats(folder: Path, session: str, cell: Cell) -> InterimStats | None:
    """Return a cell's metrics; None without a window, or if its requests ran out at once."""
    worker, marks = _read_marks(folder, session, cell)
    if not {"open", "close"} <= set(marks) or marks["close"] <= marks["open"]:
        return None
    begin, end = marks["open"], marks["close"]
    if "ceiling" in marks and end - begin < thresholds.MIN_WINDOW_SECONDS:
        return None
    sent: dict[int, records.Sent] = {}
    pings: defaultdict[str, list[float]] = defaultdict(list)
    latencies: list[float] = []
    successes = failures = abandoned = 0
    for line in read_spool(folder / "samples" / f"{worker}.jsonl", records.decode_request_line):
        if isinstance(line, records.Sent) and line.cell in {cell.name, cell.neighbour_cell_name}:
            sent[line.seq] = line
        if isinstance(line, records.Sent | records.Unsent) or line.seq not in sent:
            continue
        start, is_answered = sent[line.seq], isinstance(line, records.Done)
        is_failure = isinstance(line, records.Done) and line.error is not None
        if start.cell == cell.name:
            failures += is_failure
            abandoned += not is_answered
            successes += is_answered and not is_failure and begin < line.done <= end
        if begin < start.intended <= end and not is_failure:
            is_ping = start.cell == cell.neighbour_cell_name
            series = pings[start.route.rpartition("/")[2]] if is_ping else latencies
            series.append(line.done - start.intended)
    return InterimStats(
        users=cell.users,
        think_time=cell.think,
        rate=successes / (end - begin),
        latencies=sorted(latencies),
        cpu_cores=_used_cpu_cores(folder / "probe", cell.on, begin, end),
        pings={kind: sorted(latencies_of_kind) for kind, latencies_of_kind in pings.items()},
        failures=failures,
        successes=successes,
        requests_sent=sum(start.cell == cell.name for start in sent.values()),
        abandoned=abandoned,
    )


def _read_marks(folder: Path, session: str, cell: Cell) -> tuple[str, dict[str, float]]:
    """Return the writer of a cell's spools, and the times of the cell's marks."""
    for path in sorted(folder.glob(f"load/{session}*.jsonl")):
        lines = read_spool(path, records.decode_load_line)
        own = (it for it in lines if isinstance(it, records.Mark) and it.cell == cell.name)
        if marks := {mark.mark: mark.t for mark in own}:
            return path.stem, marks
    return session, {}


def _used_cpu_cores(folder: Path, process: str, begin: float, end: float) -> float:
    cores = 0.0
    for path in folder.glob(f"{process}-*.system.jsonl"):
        samples = [
            (line.t, line.cpu)
            for line in read_spool(path, records.decode_app_line)
            if isinstance(line, records.ProcessSample)
            and line.cpu is not None
            and begin < line.t <= end
        ]
        if len(samples) > 1:
            (first, cpu_before), (last, cpu) = samples[0], samples[-1]
            cores += (cpu - cpu_before) / (last - first)
    return cores
