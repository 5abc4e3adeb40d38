"""The event loop's thread: its times, its stack, and how the watchdog got the GIL."""

import gc
import opcode
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from enum import Enum
from itertools import accumulate, chain, repeat, starmap, takewhile
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

from .stack_frames import RawFrame

try:
    from resource import RUSAGE_THREAD, getrusage

    os.confstr("CS_GNU_LIBC_VERSION")  # another C library may wait more often
    HAS_WAIT_COUNTS = True
except (ImportError, ValueError, OSError):  # the waits of one thread are not counted
    HAS_WAIT_COUNTS = False

_MIN_CPU_SECONDS = 0.001  # CPU seconds of all threads: with less, `is_crowded` keeps its value
STACK_SAMPLE_INTERVAL = 0.0025  # seconds without a heartbeat until the first sample of the stack
# sys._current_frames() and a collection inside it may wait for each other
_GC_CAN_DEADLOCK = sys.version_info < (3, 12)
_SWITCH_COUNT_PATTERN = re.compile(rb"\nvoluntary_ctxt_switches:\s+(\d+)")
_MAX_FREE_WAITS = 1  # waits of a thread that slept and got the GIL at once: its sleep
# instructions at which the interpreter checks whether to switch threads
_SWITCH_POINT_PREFIXES = ("RESUME", "JUMP_BACKWARD", "POP_JUMP_BACKWARD", "JUMP_ABSOLUTE")
_SWITCH_POINT_OPCODES = {
    number
    for name, number in opcode.opmap.items()
    if name.startswith(_SWITCH_POINT_PREFIXES) and not name.endswith("NO_INTERRUPT")
}


class GilAccess(Enum):
    """How a thread got the GIL after a sleep, which shows what the other threads did then."""

    FREE = "free"  # it was free: the loop's thread was in the stack's call, which releases it
    FORCED = "forced"  # another thread was made to release it, at any line: the stack is true
    ASLEEP = "asleep"  # it was free, and the loop's thread slept in the stack's call
    AWAKE = "awake"  # the stack's code ran: an earlier sleep belongs to another call
    HANDED_OVER = "handed over"  # the time before the stack's call, by unknown code


def count_waits() -> int:
    """Return how often the calling thread has waited; 0 if the system does not count."""
    return getrusage(RUSAGE_THREAD).ru_nvcsw if HAS_WAIT_COUNTS else 0


def classify_access(waits: int) -> GilAccess:
    """Return how a thread got the GIL, from its waits since it went to sleep."""
    # a forced switch usually takes one more wait
    return GilAccess.FREE if waits <= _MAX_FREE_WAITS else GilAccess.FORCED


def is_between_calls(stack: Sequence[RawFrame]) -> bool:
    """Return whether the innermost frame is where only a forced switch of threads stops one."""
    if not stack:
        return False
    code, last = stack[0]
    return 0 <= last < len(code.co_code) and code.co_code[last] in _SWITCH_POINT_OPCODES


class ThreadTime(NamedTuple):
    """Seconds that the loop's thread ran and slept, and whether it was asleep at the end."""

    run_seconds: float
    sleep_seconds: float
    is_asleep: bool


class LoopThread:
    """CPU, sleep and stack of the loop's thread since the last call; the counters need Linux."""

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.clock: int | None = None
        self.stat_files: list[int] = []
        folder = Path(f"/proc/self/task/{threading.get_native_id()}")
        # a chroot may lack /proc, a kernel the second file
        if sys.platform == "linux" and (folder / "status").exists():
            self.clock = time.pthread_getcpuclockid(self.ident)
            names = [name for name in ("status", "schedstat") if (folder / name).exists()]
            self.stat_files = [os.open(folder / name, os.O_RDONLY) for name in names]
        self.own_cpu = self.others_cpu = 0.0
        self.is_crowded = False
        self.switch_counts: list[bytes] = []
        self.core_wait = 0.0

    def take_cpu_time(self) -> tuple[float, float]:
        """Return CPU seconds since the last call: of the loop's thread, and of all but ours."""
        if self.clock is None:
            return 0.0, 0.0
        own_before, others_before = self.own_cpu, self.others_cpu
        self.own_cpu = time.clock_gettime(self.clock)
        self.others_cpu = time.process_time() - time.thread_time() - self.own_cpu
        ran, others = self.own_cpu - own_before, self.others_cpu - others_before
        if ran + others > _MIN_CPU_SECONDS:
            self.is_crowded = others > ran / 2
        return ran, others

    def read_waits(self) -> bool:
        """Count its waits for events and for a core; return whether it runs, or waits for a core.

        What it did in the time of a sample follows from the waits since the last call.
        """
        if not self.stat_files:
            return False
        status, *schedule = (os.pread(stat_file, 4096, 0) for stat_file in self.stat_files)
        self.switch_counts = _SWITCH_COUNT_PATTERN.findall(status)
        self.core_wait = int(schedule[0].split()[1]) / 1e9 if schedule else 0.0
        return b"\nState:\tR" in status

    def own_time(self, gap: float) -> ThreadTime:
        """Return what the thread did in the last `gap` seconds."""
        if self.clock is None:
            return ThreadTime(gap, 0.0, is_asleep=False)
        ran, others = self.take_cpu_time()
        counts_before, core_wait_before = self.switch_counts, self.core_wait
        waits_for_core = self.read_waits()
        kept = min(gap, ran)
        if self.switch_counts and counts_before == self.switch_counts and not waits_for_core:
            return ThreadTime(kept, gap - kept, is_asleep=True)  # in a call: it did not wake up
        waits_for_gil = others > max(ran, gap / 10)  # as far as is known
        slept = 0.0  # it woke: part of the sleep may be our doing
        has_schedule = len(self.stat_files) > 1
        if not waits_for_gil and (has_schedule or (not waits_for_core and ran < gap / 2)):
            slept = min(STACK_SAMPLE_INTERVAL, gap - kept - (self.core_wait - core_wait_before))
        return ThreadTime(kept, max(0.0, slept), is_asleep=not waits_for_core)

    def stack(self) -> list[RawFrame]:
        """Return the thread's stack, innermost frame first."""
        if not (_GC_CAN_DEADLOCK and gc.isenabled()):
            return read_stack(self.ident)
        gc.disable()
        try:
            return read_stack(self.ident)
        finally:
            gc.enable()


def read_stack(ident: int) -> list[RawFrame]:
    """Return the stack of a thread; empty once it has ended."""
    # in one call of C code, which keeps the GIL: CPython 3.11.7 crashes on the caller of a frame
    # that has ended; nothing else reads another thread's stack
    innermost = map(itemgetter(ident), starmap(sys._current_frames, [()]))  # noqa: SLF001
    frames = takewhile(bool, accumulate(chain(innermost, repeat("f_back")), getattr))
    try:
        return list(map(attrgetter("f_code", "f_lasti"), frames))
    except KeyError:
        return []
