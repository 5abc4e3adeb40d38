"""Finds out when the event loop is held, and by which stack: a thread that asks the loop for signs of life.

It asks every 10 ms. When no sign has come 5 ms later it looks at the stack of the loop's thread, and again every 5 ms until
the sign comes. A look stands for the time since the one before. Only a thread that has the GIL can look, so C code that
keeps it hides, but not the line that called it: the interpreter changes threads right after the call, and the late look finds
that line still. How long nobody could look is said (`blind`).

A thread that waits for the GIL gets it by force only after the switch interval, and every call that
lets the GIL go begins that interval anew. With a long one, a look meets those calls and never the
Python between them, or comes when the hold is over. So the interval is 5 us while this thread runs.
Where a call was met asleep and other code ran before it, the function is named and no line of it.

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
import random
import sys
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from .forks import end_thread, pause_in_forks
from .loop_thread import LOOK, Access, LoopThread, access_after, count_waits, is_between_calls, sharpen_timer
from .stack_frames import COLLECTOR, Frame, Words
from .stack_samples import Hold, Look, looks_of, true_weights

seconds = time.perf_counter
TICK = 0.010  # seconds between a sign of life and the next question
HELD = 0.010  # seconds: who keeps the loop for less is not told
PATIENCE = 0.1  # seconds between two looks for the file `<act>.wait`, beside its own, that tells it to wait
PIECE = 0.5  # seconds after which a hold is written down as far as it is known: the process may be killed any moment
APART = 1e-6  # seconds between one hold and the next; the pieces of one touch
SWITCH = 0.000005  # seconds that this thread waits for the GIL: less than a stretch of Python between two calls
CROWDED_SWITCH = 0.001  # the same while other threads compute: each change between them costs, too


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


class Watch:
    """Watches one loop from its first sign of life on; all but `answer` runs in the thread."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path, self.words = path, Words(home)
        self.sign, self.closing = threading.Lock(), threading.Event()
        self.sign.acquire()
        self.answered = 0.0
        self.depth = 0  # frames of the loop itself, below every task
        self.seen = 0.0  # how far the time is accounted for
        self.due = 0.0  # when the next look is planned
        self.access = Access.FREE  # how the GIL was had at the last look
        self.hold: Hold | None = None
        self.collector = Collector()
        self.is_over, self.thread = False, threading.Thread()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; to be called in the loop's thread."""
        self.loop, self.watched = loop, LoopThread()
        self.resume()
        pause_in_forks(self)

    def stop(self) -> None:
        """End, and write what is left."""
        self.is_over = True
        self.pause()
        for told in self.watched.told:
            os.close(told)

    def pause(self) -> None:
        """End the thread, and write what is left."""
        self.closing.set()
        end_thread(self.thread)

    def resume(self) -> None:
        """A thread that watches, unless that is over."""
        if self.is_over:
            return
        self.closing.clear()
        if not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name="atonce-watch", daemon=True)
            self.thread.start()

    def answer(self) -> None:
        """The sign of life; the first one also tells how deep the loop itself lies."""
        self.answered = seconds()
        frame = None if self.depth else sys._getframe(1)  # noqa: SLF001 - inspect's way reads the sources
        while frame is not None:
            self.depth += 1
            frame = frame.f_back
        if self.sign.locked():  # else a thread that a fork has ended had asked as well
            self.sign.release()

    def run(self) -> None:
        """The thread: until told to stop, the loop ends, or the file cannot be written."""
        sharpen_timer()
        wait = self.path.with_name(f"{self.path.stem.rpartition('-')[0]}.wait")
        while wait.exists() and self.goes_on():
            self.closing.wait(PATIENCE)
        self.usual = sys.getswitchinterval()
        gc.callbacks.append(self.collector)
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
            self.write_holds()
        with contextlib.suppress(ValueError):  # the app has emptied the list
            gc.callbacks.remove(self.collector)
        sys.setswitchinterval(self.usual)

    def write_holds(self) -> None:
        """Question after question, as long as there is something to watch."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            self.loop.call_soon_threadsafe(self.answer)
            while not self.sign.acquire(timeout=TICK) and self.goes_on():
                pass  # still starting up
            while self.goes_on():
                self.ask(file)

    def goes_on(self) -> bool:
        """Whether there is something to watch."""
        return self.loop.is_running() and not self.closing.is_set()

    def ask(self, file: TextIO) -> None:
        """One pause, one question. A hold counts from the question on, or from the moment that we could not ask it."""
        self.forget()
        self.seen = self.due = seconds() + TICK
        self.sleep(lambda: self.closing.wait(TICK))
        if seconds() > self.due + LOOK:
            self.look(file)
        else:
            self.forget()
            self.seen = seconds()
        self.plan_look()
        self.loop.call_soon_threadsafe(self.answer)
        answered = False
        while not answered and self.goes_on():
            answered = self.wait_for_sign()
            if not answered:
                self.look(file)
        if self.hold:
            self.end(file, self.hold, self.answered if answered else self.seen)

    def plan_look(self) -> None:
        """Choose a random moment: at regular ones the same line of a loop could be met each time."""
        self.due = seconds() + LOOK * random.uniform(0.6, 1.4)  # noqa: S311 - not for secrets

    def wait_for_sign(self) -> bool:
        """Until it comes, or a look is due."""
        answered = self.sleep(lambda: self.sign.acquire(timeout=max(0.0, self.due - seconds())))
        return answered or self.sign.acquire(blocking=False)  # it may have come during the wait for the GIL

    def sleep(self, wait: Callable[[], bool]) -> bool:
        """Wait, and learn how the GIL came back."""
        waits = count_waits()
        sys.setswitchinterval(min(self.usual, CROWDED_SWITCH if self.watched.is_crowded else SWITCH))
        answered = wait()
        self.access = access_after(count_waits() - waits)
        return answered

    def forget(self) -> None:
        """What thread and collector did until now is nobody's hold."""
        self.watched.ran_since()
        self.collector.took_since()

    def look(self, file: TextIO) -> None:
        """Account for the time since the last look."""
        ours = Collector.__call__.__code__  # where the interpreter changes threads after a collection
        raw = [one for one in self.watched.stack() if one[0] is not ours]
        stack = raw[: max(0, len(raw) - self.depth)]  # empty: the loop waits for events, or for the GIL after that
        if is_between_calls(stack):
            self.access = Access.FORCED
        task = asyncio.current_task(self.loop) if stack else None
        who = weakref.ref(task) if task else bool(stack)
        now = seconds()
        gap, late = now - self.seen, now - self.due
        collected = min(gap, self.collector.took_since())
        own, part = self.watched.own(gap), (1 - collected / gap) * bool(stack)
        own = own._replace(ran=own.ran * part, slept=own.slept * part)
        if self.hold is None or self.hold.who != who:
            if self.hold:
                self.write(file, self.hold, self.seen)
            self.hold = Hold(who, self.seen + APART)
        self.hold.collected += collected
        self.hold.looks.append(Look(gap - collected - own.ran - own.slept, []))
        self.hold.looks += looks_of(stack, self.access, own)
        self.hold.blind += late - collected if late - collected > 2 * LOOK else 0
        self.seen = now
        self.plan_look()
        if now - self.hold.start > PIECE:
            self.write(file, self.hold, now)
            self.hold = Hold(who, now)

    def end(self, file: TextIO, hold: Hold, until: float) -> None:
        """The loop goes on: what has passed since the last look is as that saw it, but not for longer than a look stands for."""
        rest, last = until - self.seen, hold.looks[-1] if hold.looks else Look(0.0, [])
        hold.collected += (collected := min(rest, self.collector.took_since()))
        rest -= collected
        known = min(rest, LOOK)
        hold.looks += [last._replace(weight=known), Look(rest - known, [])]
        self.write(file, hold, until)
        self.hold = None

    def write(self, file: TextIO, hold: Hold, until: float) -> None:
        """One line, if the loop was held for long; it names nobody who held it for a short while only."""
        if until - hold.start < HELD - APART:
            return
        shares: dict[tuple[Frame, ...], float] = defaultdict(float)
        place = "elsewhere"
        for weight, raw, is_known in true_weights(hold.looks):
            stack, is_request = self.words.of(raw)
            stack = stack if is_known else self.words.without_line(raw, stack)
            shares[stack] += weight
            place = "request" if is_request else place
        if sum(weight for stack, weight in shares.items() if stack) <= HELD:  # one look and no proof is not enough
            shares, place = {(): until - hold.start - hold.collected}, "elsewhere"
        shares[COLLECTOR] = hold.collected
        told = [[round(weight, 6), stack] for stack, weight in shares.items() if weight > 0]
        line = ["hold", round(hold.start, 6), round(until, 6), place, round(hold.blind, 6), told]
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()
