"""The driver's witness of an app's CPU and memory: it reads them from the system, not in the app.

So no app can delay a reading. The processes of an app with our agent are those that write to the
run's folder; of another app, those that it is given. What a reading lacks is None.
"""

import contextlib
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from results.records import ProcessSample, Runtime, decode_app_line
from results.spool import Spool, read_spool

_SAMPLE_INTERVAL = 0.1  # seconds between two samples
_LIST_INTERVAL = 1.0  # seconds between two lists of processes, and of their descendants
_KEPT_SECONDS = 10.0  # seconds of readings that `cores` may look back on
_REST_CORES = 0.1  # cores below which a process is at rest, so that its loop waits for events
# numbers of epoll_wait, epoll_pwait and epoll_pwait2
_EPOLL_CALLS = {"x86_64": ("232", "281", "441"), "aarch64": ("22", "441")}
_IS_LINUX = sys.platform == "linux"


class WatchedProcess:
    """One process of the app. The state: its loop's thread, its descendants, their CPU so far."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.agent_spool: Path | None = None
        self.loop_thread: int | None = None
        self.family: list[psutil.Process] = []
        self.family_cpu = self.total_cpu = 0.0

    def read(self, now: float) -> ProcessSample:
        """Read the CPU seconds since its start, and its memory. Raises psutil.Error or OSError."""
        cpu = _process_cpu(self.process)
        # that of ended children first: one that ends in between must not count twice
        family_cpu = sum(self.process.cpu_times()[2:4]) + sum(map(_cpu_with_children, self.family))
        self.family_cpu = max(self.family_cpu, family_cpu)
        self.total_cpu = cpu + self.family_cpu
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
            threads = {thread.id: thread for thread in self.process.threads()}
            if thread := threads.get(self.loop_thread):
                return float(thread.user_time + thread.system_time)
        return None

    def find_loop_thread(self, cores: float | None) -> None:
        """Find the loop's thread, once: the agent names it, or it alone waits for events."""
        if self.loop_thread is None and self.agent_spool:
            lines = read_spool(self.agent_spool, decode_app_line)
            facts = (line.facts for line in lines if isinstance(line, Runtime))
            self.loop_thread = next(facts, {}).get("loop_thread")
        elif self.loop_thread is None and cores is not None and cores < _REST_CORES:
            threads = [thread.id for thread in self.process.threads()]
            waiting = threads if len(threads) == 1 else list(self._threads_in_epoll(threads))
            self.loop_thread = waiting[0] if len(waiting) == 1 else None

    def _threads_in_epoll(self, threads: list[int]) -> Iterator[int]:
        calls = _EPOLL_CALLS.get(platform.machine(), ())
        for thread in threads:
            with contextlib.suppress(OSError):
                path = Path(f"/proc/{self.process.pid}/task/{thread}/syscall")
                if path.read_text(encoding="ascii").startswith(tuple(f"{call} " for call in calls)):
                    yield thread


class CpuWitness:
    """Samples the processes of an app while the driver calls `sample` often, at most at 10 Hz.

    `process` is the name of its spools; `processes` returns the app's processes as the driver knows
    them, supervisor included. `has_agent` says that its own processes write spools.
    """

    def __init__(
        self,
        folder: Path,
        process: str,
        processes: Callable[[], list[psutil.Process]],
        *,
        has_agent: bool = True,
    ) -> None:
        self.folder, self.name, self.processes = folder / "probe", process, processes
        self.has_agent = has_agent
        self.watched: dict[int, WatchedProcess] = {}
        self.spools: dict[int, Spool] = {}
        self.readings: deque[tuple[float, dict[int, float]]] = deque()
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
        totals = {}
        for pid, watched in list(self.watched.items()):
            try:
                sample = watched.read(now)
            except (psutil.Error, OSError):  # it has ended, or is another user's
                del self.watched[pid]
                continue
            totals[pid] = watched.total_cpu
            if watched.agent_spool or not self.has_agent:
                self._write(pid, sample)
        self.readings.append((now, totals))
        while self.readings[0][0] < now - _KEPT_SECONDS:
            self.readings.popleft()

    def cores(self, seconds: float) -> float | None:
        """Return the cores used in the last `seconds`; None where that could not be read."""
        now, last = self.readings[-1] if self.readings else (0.0, {})
        earlier = [item for item in self.readings if item[0] >= now - seconds and item[0] < now]
        if not earlier or not last:
            return None
        begin, first = earlier[0]
        return sum(used - first.get(pid, used) for pid, used in last.items()) / (now - begin)

    def close(self) -> None:
        """Close all spools."""
        for spool in self.spools.values():
            spool.close()

    def _list_processes(self) -> None:
        """Take up new processes; those with a spool of the agent count more than those given."""
        spools = {
            int(number): path
            for path in self.folder.glob(f"{self.name}-*.jsonl")
            if (number := path.stem.removeprefix(f"{self.name}-")).isdecimal()
        }
        given = self.processes() if not spools and not self.watched else []
        for process in [*_open_processes(spools), *given]:
            watched = self.watched.setdefault(process.pid, WatchedProcess(process))
            watched.agent_spool = spools.get(process.pid)
        if spools and self.has_agent:
            self.watched = {pid: it for pid, it in self.watched.items() if it.agent_spool}
        families = {pid: _descendants(it.process) for pid, it in self.watched.items()}
        cores = self.cores(_LIST_INTERVAL)
        for pid, watched in self.watched.items():
            # what an inner process of the app started belongs to that one
            inner = families.keys() & families[pid].keys()
            nested = inner.union(*(families[inner_pid] for inner_pid in inner))
            family = families[pid].items()
            watched.family = [child for child_pid, child in family if child_pid not in nested]
            with contextlib.suppress(psutil.Error, OSError):
                watched.find_loop_thread(cores)

    def _write(self, pid: int, sample: ProcessSample) -> None:
        if pid not in self.spools:
            self.spools[pid] = Spool(self.folder / f"{self.name}-{pid}.system.jsonl")
        self.spools[pid].write(sample)
        self.spools[pid].file.flush()


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; [] if it is gone."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def _open_processes(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            yield psutil.Process(pid)


def _descendants(process: psutil.Process) -> dict[int, psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return {child.pid: child for child in process.children(recursive=True)}
    return {}


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
