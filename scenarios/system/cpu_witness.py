"""Reads the CPU of the app's processes from the system."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from results.records import ProcessSample
from results.spool import Spool

_INTERVAL = 0.1  # seconds between two samples


class CpuWitness:
    """Writes the CPU of each process. Mutable state: the last sample's time, and the spools."""

    def __init__(
        self,
        folder: Path,
        process: str,
        processes: Callable[[], list[psutil.Process]],
        *,
        has_agent: bool = True,
    ) -> None:
        self.has_agent = has_agent
        self.folder, self.process, self.processes = folder, process, processes
        self.last, self.spools = 0.0, dict[int, Spool]()

    def sample(self) -> None:
        """Sample all processes, ten times a second at most."""
        if (now := time.perf_counter()) - self.last < _INTERVAL:
            return
        self.last = now
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            if process.pid not in self.spools:
                name = f"{self.process}-{process.pid}.system.jsonl"
                self.spools[process.pid] = Spool(self.folder / "probe" / name)
            spool = self.spools[process.pid]
            spool.write(ProcessSample(now, cpu=times.user + times.system))
            spool.file.flush()

    def close(self) -> None:
        """Close all spools."""
        for spool in self.spools.values():
            spool.close()
