"""Finds out when the event loop is held, and by which stack: a thread that asks the loop for signs of life.

It asks every 10 ms. When no sign has come 5 ms later it looks at the stack of the loop's thread, and again every 5 ms until
the sign comes. A look stands for the time since the one before. Only a thread that has the GIL can look, so C code that
keeps it hides, but not the line that called it: the interpreter changes threads right after the call, and the late look finds
that line still. How long nobody could look is said (`blind`).

Not all delay is the fault of the stack that is seen. Other threads may keep the GIL, other processes the core: the loop is
then in the middle of something innocent. So a look counts for as long as the loop's thread ran, or slept without once
waking up, as the system tells (a thread that waits for the GIL wakes all the time); the rest is nobody's, and is written under
an empty stack. What the garbage collector took tells it itself, and has a stack of its own: it meets any line that asks for memory,
on any thread. A collection that the app has asked for (`gc.collect()`) is the work of the line that did.
"""

import asyncio
import contextlib
import gc
import json
import os
import re
import sys
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from .frames import COLLECTOR, Frame, Raw, Words

seconds = time.perf_counter
TICK = 0.010  # seconds between a sign of life and the next question
LOOK = 0.005  # seconds until the loop is looked at for want of a sign
HELD = 0.010  # seconds: who keeps the loop for less is not told
PIECE = 0.5  # seconds after which a hold is written down as far as it is known: the process may be killed any moment
APART = 1e-6  # seconds between one hold and the next; the pieces of one touch
SWITCH = 0.001  # seconds that a look waits for the GIL; by default 5 ms, in which who computes has often come to an end
GC_MAY_LOCK = sys.version_info < (3, 12)  # sys._current_frames() and a collection inside it may wait for each other
NAPS = re.compile(rb"\nvoluntary_ctxt_switches:\s+(\d+)")


class LoopThread:
    """What the system knows of the loop's thread since it was last asked; Linux tells, elsewhere all time counts as its own."""

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.clock: int | None = None
        self.told: list[int] = []
        if sys.platform == "linux":
            self.clock = time.pthread_getcpuclockid(self.ident)
            folder = Path(f"/proc/self/task/{threading.get_native_id()}")
            names = [name for name in ("status", "schedstat") if (folder / name).exists()]  # not every kernel counts the second
            self.told = [os.open(folder / name, os.O_RDONLY) for name in names]
        self.ran = self.others = 0.0
        self.naps: list[bytes] = []
        self.queued = 0.0

    def ran_since(self) -> tuple[float, float]:
        """CPU seconds since it was last asked: its own, and those of all other threads but ours."""
        if self.clock is None:
            return 0.0, 0.0
        was = self.ran, self.others
        self.ran = time.clock_gettime(self.clock)
        self.others = time.process_time() - time.thread_time() - self.ran
        return self.ran - was[0], self.others - was[1]

    def own(self, gap: float) -> float:
        """How many of the last `gap` seconds it used itself."""
        if self.clock is None:
            return gap
        ran, others = self.ran_since()
        status, *schedule = (os.pread(told, 4096, 0) for told in self.told)
        naps, self.naps = self.naps, NAPS.findall(status)
        queued, self.queued = self.queued, int(schedule[0].split()[1]) / 1e9 if schedule else 0.0  # runnable, on no core
        waits_for_core = b"\nState:\tR" in status
        if self.naps and naps == self.naps and not waits_for_core:
            return gap  # in a call of its own: it has not woken once
        waits_for_gil = others > max(ran, gap / 10)  # for all that is known
        sleeps = not waits_for_core and not waits_for_gil and ran < gap / 2
        slept = min(gap, LOOK) - (self.queued - queued) if sleeps else 0  # and woke: part of it may have been for us
        return max(slept, min(gap, ran))

    def stack(self) -> list[Raw]:
        """Where it is, innermost frame first."""
        pause = GC_MAY_LOCK and gc.isenabled()
        if pause:
            gc.disable()
        try:
            frame = sys._current_frames().get(self.ident)  # noqa: SLF001 - there is no other way
        finally:
            if pause:
                gc.enable()
        found = []
        while frame is not None:
            if frame.f_code is not Collector.__call__.__code__:  # where the interpreter changes threads after a collection
                found.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        return found


class Collector:
    """How long garbage collections took that nobody asked for; the interpreter calls it when one starts and stops."""

    def __init__(self) -> None:
        self.told = 0.0
        self.known = 0.0, 0.0  # seconds until now, and when the present one began: both at once, as threads may change any time

    def __call__(self, phase: str, _: object) -> None:
        """Runs within the collection: as little as can be. One that comes by itself does so because of too many objects."""
        took, begun = self.known
        if phase == "start":
            by_itself = gc.isenabled() and 0 < gc.get_threshold()[0] < gc.get_count()[0]
            self.known = took, seconds() if by_itself else 0.0
        else:
            self.known = took + worth_telling(begun), 0.0

    def took_since(self) -> float:
        """Seconds since it was last asked."""
        took, begun = self.known
        before, self.told = self.told, took + worth_telling(begun)
        return self.told - before


def worth_telling(begun: float) -> float:
    """Seconds of a collection until now; short ones, of which there are many, are the work of who asks for memory."""
    took = seconds() - begun if begun else 0.0
    return took if took > LOOK else 0.0


@dataclass
class Hold:
    """Time that one task, or callback, keeps the loop."""

    who: Hashable
    start: float
    blind: float = 0.0
    collected: float = 0.0
    looks: list[tuple[float, list[Raw]]] = field(default_factory=list)


class Watch:
    """Watches one loop from its first sign of life on; all but `answer` runs in the thread."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path, self.words = path, Words(home)
        self.sign, self.closing = threading.Lock(), False
        self.sign.acquire()
        self.answered = 0.0
        self.depth = 0  # frames of the loop itself, below every task
        self.seen = 0.0  # how far the time is accounted for
        self.due = 0.0  # when the next look is planned
        self.hold: Hold | None = None
        self.collector = Collector()
        self.thread = threading.Thread(target=self.run, name="atonce-watch", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; to be called in the loop's thread."""
        self.loop, self.watched = loop, LoopThread()
        self.switch = sys.getswitchinterval()
        sys.setswitchinterval(min(self.switch, SWITCH))
        gc.callbacks.append(self.collector)
        self.thread.start()

    def stop(self) -> None:
        """End, and write what is left."""
        self.closing = True
        self.thread.join(1)
        with contextlib.suppress(ValueError):  # the app has emptied the list
            gc.callbacks.remove(self.collector)
        sys.setswitchinterval(self.switch)

    def answer(self) -> None:
        """The sign of life; the first one also tells how deep the loop itself lies."""
        self.answered = seconds()
        frame = None if self.depth else sys._getframe(1)  # noqa: SLF001 - inspect's way reads the sources
        while frame is not None:
            self.depth += 1
            frame = frame.f_back
        self.sign.release()

    def run(self) -> None:
        """The thread: until told to stop, the loop ends, or the file cannot be written."""
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                self.loop.call_soon_threadsafe(self.answer)
                while not self.sign.acquire(timeout=TICK) and self.goes_on():
                    pass  # still starting up
                while self.goes_on():
                    self.ask(file)
        for told in self.watched.told:
            os.close(told)

    def goes_on(self) -> bool:
        """Whether there is something to watch."""
        return self.loop.is_running() and not self.closing

    def ask(self, file: TextIO) -> None:
        """One pause, one question. A hold counts from the question on, or from the moment that we could not ask it."""
        self.forget()
        self.seen = self.due = seconds() + TICK
        time.sleep(TICK)
        if seconds() > self.due + LOOK:
            self.look(file)
        else:
            self.forget()
            self.seen = seconds()
        self.due = seconds() + LOOK
        self.loop.call_soon_threadsafe(self.answer)
        answered = False
        while not answered and self.goes_on():
            answered = self.sign.acquire(timeout=LOOK) or self.sign.acquire(blocking=False)  # it may have come meanwhile
            if not answered:
                self.look(file)
        if self.hold:
            self.end(file, self.hold, self.answered if answered else self.seen)

    def forget(self) -> None:
        """What thread and collector did until now is nobody's hold."""
        self.watched.ran_since()
        self.collector.took_since()

    def look(self, file: TextIO) -> None:
        """Account for the time since the last look."""
        raw = self.watched.stack()
        stack = raw[: max(0, len(raw) - self.depth)]  # empty: the loop waits for events, or for the GIL after that
        task = asyncio.current_task(self.loop) if stack else None
        who = weakref.ref(task) if task else bool(stack)
        now = seconds()
        gap, late = now - self.seen, now - self.due
        collected = min(gap, self.collector.took_since())
        own = self.watched.own(gap) * (1 - collected / gap) * bool(stack)
        if self.hold is None or self.hold.who != who:
            if self.hold:
                self.write(file, self.hold, self.seen)
            self.hold = Hold(who, self.seen + APART)
        self.hold.collected += collected
        self.hold.looks += [(gap - collected - own, []), (own, stack)]
        self.hold.blind += late - collected if late - collected > 2 * LOOK else 0
        self.seen, self.due = now, now + LOOK
        if now - self.hold.start > PIECE:
            self.write(file, self.hold, now)
            self.hold = Hold(who, now)

    def end(self, file: TextIO, hold: Hold, until: float) -> None:
        """The loop goes on: what has passed since the last look is as that saw it, but not for longer than a look stands for."""
        rest, stack = until - self.seen, hold.looks[-1][1] if hold.looks else []
        hold.collected += (collected := min(rest, self.collector.took_since()))
        rest -= collected
        known = min(rest, LOOK)
        hold.looks += [(known, stack), (rest - known, [])]
        self.write(file, hold, until)
        self.hold = None

    def write(self, file: TextIO, hold: Hold, until: float) -> None:
        """One line, if the loop was held for long; it names nobody who held it for a short while only."""
        if until - hold.start < HELD - APART:
            return
        shares: dict[tuple[Frame, ...], float] = defaultdict(float)
        place = "elsewhere"
        for weight, raw in hold.looks:
            stack, is_request = self.words.of(raw)
            shares[stack] += weight
            place = "request" if is_request else place
        if sum(weight for stack, weight in shares.items() if stack) <= HELD:  # one look and no proof is not enough
            shares, place = {(): until - hold.start - hold.collected}, "elsewhere"
        shares[COLLECTOR] = hold.collected
        told = [[round(weight, 6), stack] for stack, weight in shares.items() if weight > 0]
        line = ["hold", round(hold.start, 6), round(until, 6), place, round(hold.blind, 6), told]
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()
