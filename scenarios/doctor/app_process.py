"""One process of the app under test: whether it is at rest, and its watchdog, on or off.

It serves several routes as long as it comes back to rest between them.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import httpx
import psutil

from scenarios.doctor.app import read_agent_file
from scenarios.runner.preflight import fetch_response
from scenarios.system.child_process import SupervisedProcess
from scenarios.system.cpu_witness import CpuWitness, cpu_seconds, descendant_processes

_PINGS, _PING_TIMEOUT = 12, 1.0  # quick requests in a row, and seconds for each
_CPU_SECONDS = 0.25  # seconds over which the CPU is read
_CALM_CORES = 0.1  # cores below which the app does nothing
_PING_RATIO, _PING_SPARE = 2.0, 0.002  # how much slower a ping at rest may be: times, seconds
_SPARE_WORK = 2  # tasks, threads or queued calls that may be more: our own connections
# Seconds to wait for rest: usually; while the app still works off what it has; for one that is not
# ours and never started afresh
_REST_TIMEOUT, _FALLING_TIMEOUT, _FOREIGN_TIMEOUT = 1.0, 5.0, 30.0
_SWITCH_SECONDS = 0.25  # seconds until the agent has seen the watchdog's switch
_WATCHDOG_TIMEOUT = 3.0  # seconds for the watchdog to start


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process does without load from us."""

    ping: float  # seconds, p90
    cores: float
    work: tuple[int, ...]  # tasks, borrowed threads, queued calls; empty where the app does not say

    def is_answering(self, idle: "Activity") -> bool:
        """Return whether it answers as quickly as before its first load."""
        return self.ping <= max(_PING_RATIO * idle.ping, idle.ping + _PING_SPARE)

    def is_done(self, idle: "Activity") -> bool:
        """Return whether no work is left over, as far as the app says."""
        pairs = zip(self.work, idle.work, strict=False)
        return all(now <= then + _SPARE_WORK for now, then in pairs)

    def is_below(self, before: "Activity | None") -> bool:
        """Return whether it does less than before: it works off what it has."""
        return before is not None and (
            sum(self.work) < sum(before.work) or _CALM_CORES <= self.cores < before.cores
        )


class AppProcess:
    """A process of the app. Mutable state: what it did at rest, whether it can be loaded again."""

    def __init__(
        self,
        witness: CpuWitness,
        given: Sequence[psutil.Process],  # where it has no agent
        client: httpx.Client,
        paths: tuple[str, str],  # of the quick requests, and of the agent's count of open work
        child: SupervisedProcess | None,  # None: it runs without us
    ) -> None:
        self.witness, self.name, self.folder = witness, witness.name, witness.folder
        self.given, self.client, self.child = given, client, child
        self.ping_path, self.rest_path = paths
        self.idle = self._observe()

    @property
    def is_alive(self) -> bool:
        """Whether it runs, as far as we know."""
        return self.child is None or self.child.poll() is None

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that it has used, with its children."""
        ours = descendant_processes(self.child.pid) if self.child and not self.given else ()
        return sum(map(cpu_seconds, (*self.given, *ours)))

    def raise_idle_work(self) -> None:
        """Count what the first requests to a route have left, like a client's tasks, as rest."""
        if work := self._count_work():
            self.idle = replace(self.idle, work=tuple(map(max, work, self.idle.work or work)))

    def wait_for_rest(self, check: Callable[[], None], startup_seconds: float) -> bool:
        """Return whether it comes back to rest sooner than a fresh one would start."""
        began, before = time.perf_counter(), None
        while self.is_alive:
            check()
            now, timeout = self._observe(), _REST_TIMEOUT
            is_answering, is_done = now.is_answering(self.idle), now.is_done(self.idle)
            if is_answering and is_done and now.cores < max(_CALM_CORES, 1.2 * self.idle.cores):
                return True
            if is_answering and (now.is_below(before) or not self.child):
                timeout = _FALLING_TIMEOUT
            elif not self.child:
                timeout = _FOREIGN_TIMEOUT
            if is_done:  # other work on the machine may slow it
                timeout = max(timeout, startup_seconds)
            if time.perf_counter() - began > timeout:
                return False
            before = now
        return False

    def _observe(self) -> Activity:
        return Activity(self._measure_ping(), self._measure_cores(), self._count_work())

    def _measure_ping(self) -> float:
        """Return the p90 of some quick requests; infinite if one is not answered."""
        latencies = []
        for _ in range(_PINGS):
            began = time.perf_counter()
            try:
                fetch_response(self.client, "GET", self.ping_path, timeout=_PING_TIMEOUT)
            except httpx.HTTPError:
                return math.inf
            latencies.append(time.perf_counter() - began)
        return sorted(latencies)[math.ceil(0.9 * _PINGS) - 1]

    def _measure_cores(self) -> float:
        began, before = time.perf_counter(), self.cpu_seconds()
        time.sleep(_CPU_SECONDS)
        return (self.cpu_seconds() - before) / (time.perf_counter() - began)

    def _count_work(self) -> tuple[int, ...]:
        """Return the open work that the agent counts; nothing from an app without it."""
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
            answer = fetch_response(self.client, "GET", self.rest_path, timeout=_PING_TIMEOUT)
            counts = json.loads(answer.content)
            return tuple(int(counts[name] or 0) for name in ("tasks", "threads", "queued"))
        return ()

    @contextlib.contextmanager
    def watched(self, check: Callable[[], None]) -> Iterator[str | None]:
        """Switch the watchdog on for the length of the block; give why that failed."""
        switch = self.folder / "guest" / f"{self.name}.watch"
        switch.touch()
        try:
            yield self._watchdog_failure(check, switch.stat().st_mtime_ns)
        finally:
            switch.unlink(missing_ok=True)
            time.sleep(_SWITCH_SECONDS)

    @contextlib.contextmanager
    def profiled(self) -> Iterator[None]:
        """Have the agent look where requests wait, for the length of the block."""
        switch = self.folder / "guest" / f"{self.name}.profile"
        switch.touch()
        time.sleep(_SWITCH_SECONDS)
        try:
            yield
        finally:
            switch.unlink(missing_ok=True)

    def _watchdog_failure(self, check: Callable[[], None], asked: int) -> str | None:
        began, failure = time.perf_counter(), self.folder / "guest" / f"unwatched-{self.name}.json"
        while time.perf_counter() - began < _WATCHDOG_TIMEOUT:
            check()
            time.sleep(_SWITCH_SECONDS / 5)
            if reason := read_agent_file(failure):
                return str(reason["why"])
            # its time says that watching has begun: it is there since an earlier time
            files = self.folder.glob(f"holds/{self.name}-*.jsonl")
            if any(file.stat().st_mtime_ns >= asked for file in files):
                return None
        return f"the watchdog did not start within {_WATCHDOG_TIMEOUT:g} s"
