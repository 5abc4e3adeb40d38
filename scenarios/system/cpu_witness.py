"""The driver's witness of an app's CPU and memory: it reads them from the system, not in the app.

So no app can delay a reading. The processes of an app with our agent are those that write to the
run's folder; of another app, those that it is given. What a reading lacks is None.
"""

import contextlib
import math
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from results.records import ProcessSample, Runtime, decode_app_line
from results.spool import Spool, read_spool

_SAMPLE_INTERVAL = 0.1  # seconds between two samples
_LIST_INTERVAL = 1.0  # seconds between two lists of processes, and of their descendants
_REST_CPU = 0.01  # seconds of it between two samples below which the loop waits for events
# numbers of epoll_wait, epoll_pwait and epoll_pwait2
_EPOLL_CALLS = {"x86_64": ("232 ", "281 ", "441 "), "aarch64": ("22 ", "441 ")}
_IS_LINUX = sys.platform == "linux"


class WatchedProcess:
    """One process of the app. The state: its loop's thread, its descendants, their CPU so far."""

    def __init__(self, process: psutil.Process, agent_spool: Path | None = None) -> None:
        self.process, self.agent_spool = process, agent_spool
        self.loop_thread: int | None = None
        self.family: list[psutil.Process] = []
        self.family_cpu, self.total_cpu = 0.0, -math.inf
        self.latest_cpu = math.inf  # between the last two samples

    def read(self, now: float) -> ProcessSample:
        """Read the CPU seconds since its start, and its memory. Raises psutil.Error or OSError."""
        cpu, before = _process_cpu(self.process), self.total_cpu
        # that of ended children first: one that ends in between must not count twice
        family_cpu = sum(self.process.cpu_times()[2:4]) + sum(map(_cpu_with_children, self.family))
        self.family_cpu = max(self.family_cpu, family_cpu)
        self.total_cpu = cpu + self.family_cpu
        self.latest_cpu = self.total_cpu - before
        memory, loop_cpu = self.process.memory_info().rss, self._read_loop_cpu()
        return ProcessSample(
            now, cpu=cpu, loop_cpu=loop_cpu, kin_cpu=self.family_cpu, memory=memory
        )

    def _read_loop_cpu(self) -> float | None:
        if self.loop_thread is None:
            return None
        with contextlib.suppress(OSError, ValueError, IndexError):
            path = Path(f"/proc/{self.process.pid}/task/{self.loop_thread}/schedstat")
            return int(path.read_bytes().split()[0]) / 1e9
        with contextlib.suppress(psutil.Error):
            for thread in self.process.threads():
                if thread.id == self.loop_thread:
                    return float(thread.user_time + thread.system_time)
        return None

    def find_loop_thread(self) -> None:
        """Find the loop's thread, once: the agent names it, or it alone waits for events."""
        if self.loop_thread is None and self.agent_spool:
            lines = read_spool(self.agent_spool, decode_app_line)
            facts = (line.facts for line in lines if isinstance(line, Runtime))
            self.loop_thread = next(facts, {}).get("loop_thread")
        elif self.loop_thread is None and self.latest_cpu < _REST_CPU:
            threads = [thread.id for thread in self.process.threads()]
            waiting = threads if len(threads) == 1 else list(filter(self._is_in_epoll, threads))
            self.loop_thread = waiting[0] if len(waiting) == 1 else None

    def _is_in_epoll(self, thread: int) -> bool:
        with contextlib.suppress(OSError):
            path = Path(f"/proc/{self.process.pid}/task/{thread}/syscall")
            call = path.read_text(encoding="ascii")
            return call.startswith(_EPOLL_CALLS.get(platform.machine(), ()))
        return False


class CpuWitness:
    """Samples the processes of an app while the driver calls `sample` often, at most at 10 Hz.

    `name` is that of its spools. The processes of an app without our agent are `given`.
    """

    def __init__(self, folder: Path, name: str, given: Iterable[psutil.Process] = ()) -> None:
        self.folder, self.name = folder, name
        self.watched = {process.pid: WatchedProcess(process) for process in given}
        self.spools: dict[int, Spool] = {}
        self.listed_at, self.due_at = -_LIST_INTERVAL, 0.0

    def sample(self) -> None:
        """Write a sample of each process, if one is due."""
        now = time.perf_counter()
        if now < self.due_at:
            return
        # on average ten times a second, although the driver's calls come at odd times
        self.due_at = max(self.due_at + _SAMPLE_INTERVAL, now + _SAMPLE_INTERVAL / 2)
        if now - self.listed_at >= _LIST_INTERVAL:
            self.listed_at = now
            self._list_processes()
        for pid, watched in list(self.watched.items()):
            try:
                sample = watched.read(now)
            except (psutil.Error, OSError):  # it has ended, or is another user's
                del self.watched[pid]
                continue
            if pid not in self.spools:
                path = self.folder / "probe" / f"{self.name}-{pid}.system.jsonl"
                self.spools[pid] = Spool(path)
            self.spools[pid].write(sample)
            self.spools[pid].file.flush()

    def close(self) -> None:
        """Close all spools."""
        for spool in self.spools.values():
            spool.close()

    def _list_processes(self) -> None:
        """Take up the processes with a new spool of the agent; list the descendants of all."""
        for path in (self.folder / "probe").glob(f"{self.name}-*.jsonl"):
            number = path.stem.removeprefix(f"{self.name}-")
            if number.isdecimal() and int(number) not in self.watched:
                with contextlib.suppress(psutil.Error):
                    self.watched[int(number)] = WatchedProcess(psutil.Process(int(number)), path)
        families = {it.process: set(descendant_processes(pid)) for pid, it in self.watched.items()}
        for watched in self.watched.values():
            family = families[watched.process]
            # what an inner process of the app started belongs to that one
            inner = families.keys() & family
            watched.family = list(family.difference(inner, *(families[it] for it in inner)))
            with contextlib.suppress(psutil.Error, OSError):
                watched.find_loop_thread()


def descendant_processes(pid: int) -> list[psutil.Process]:
    """Return all descendants of a process; [] if it is gone."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of a process so far; 0 if it is gone."""
    with contextlib.suppress(psutil.Error, OSError):
        return _process_cpu(process)
    return 0.0


def _process_cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process: on Linux in nanoseconds, elsewhere as psutil has it."""
    if _IS_LINUX:
        return time.clock_gettime((~process.pid << 3) | 2)  # its clock, as clock_getcpuclockid says
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_with_children(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children that ended; 0 if it is gone."""
    with contextlib.suppress(psutil.Error):
        return float(sum(process.cpu_times()[:4]))
    return 0.0
