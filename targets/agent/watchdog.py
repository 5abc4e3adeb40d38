"""Finds out when the event loop is held, and by which stack: a thread that asks the loop for signs of life.

It asks every 10 ms. When no sign has come 5 ms later it looks at the stack of the loop's thread,
and again every 5 ms until the sign comes. A look stands for the time since the one before. Only a
thread that has the GIL can look, so C code that keeps it hides, but not the line that called it:
the interpreter changes threads right after the call, and the late look finds that line still. How
long nobody could look is said (`blind`).

A thread that waits for the GIL gets it by force only after the switch interval, and every call that
lets the GIL go begins that interval anew. With a long one, a look meets those calls and never the
Python between them, or comes when the hold is over. So the interval is 5 us while this thread runs.
Where a call was met asleep and other code ran before it, the function is named and no line of it.

Not all delay is the fault of the stack that is seen. Other threads may keep the GIL, other
processes the core: the loop is then in the middle of something innocent. So a look counts for as
long as the loop's thread ran, or slept without once waking up, as the system tells (a thread that
waits for the GIL wakes all the time); the rest is nobody's, and is written under an empty stack.
What the garbage collector took tells it itself, and has a stack of its own: it meets any line that
asks for memory, on any thread. A collection that the app has asked for (`gc.collect()`) is the work
of the line that did.
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
from .loop_thread import (
    STACK_SAMPLE_INTERVAL,
    GilAccess,
    LoopThread,
    classify_access,
    count_waits,
    is_between_calls,
    sharpen_timer,
)
from .stack_frames import GC_STACK, Frame, FrameFormatter
from .stack_samples import OpenHold, StackSample, correct_weights, split_sample

clock_seconds = time.perf_counter
_POLL_INTERVAL = 0.010  # seconds between a sign of life and the next question
_MIN_HOLD_SECONDS = 0.010  # seconds: who keeps the loop for less is not told
# seconds between two looks for the file `<act>.wait`, beside its own, that tells it to wait
_WAIT_FILE_INTERVAL = 0.1
# seconds after which a hold is written down as far as it is known: the process may be killed any
# moment
_MAX_HOLD_PIECE = 0.5
_HOLD_GAP = 1e-6  # seconds between one hold and the next; the pieces of one touch
# seconds that this thread waits for the GIL: less than a stretch of Python between two calls
_SWITCH_INTERVAL = 0.000005
_CROWDED_SWITCH_INTERVAL = (
    0.001  # the same while other threads compute: each change between them costs, too
)


class _GcTimer:
    """How long garbage collections took that nobody asked for; the interpreter calls it when one starts and stops."""

    def __init__(self) -> None:
        self.reported = 0.0
        self.state = (
            0.0,
            0.0,
            # seconds until now, and when the present one began: both at once, as threads may change any
            # time
        )

    def __call__(self, phase: str, _: object) -> None:
        """Runs within the collection: as little as can be. One that comes by itself does so because of too many objects."""
        took, begun = self.state
        if phase == "start":
            by_itself = gc.isenabled() and 0 < gc.get_threshold()[0] < gc.get_count()[0]
            self.state = took, clock_seconds() if by_itself else 0.0
        else:
            self.state = took + _long_pause(begun), 0.0

    def take_gc_time(self) -> float:
        """Seconds since it was last asked."""
        took, begun = self.state
        before, self.reported = self.reported, took + _long_pause(begun)
        return self.reported - before


def _long_pause(begun: float) -> float:
    """Seconds of a collection until now; short ones, of which there are many, are the work of who asks for memory."""
    took = clock_seconds() - begun if begun else 0.0
    return took if took > STACK_SAMPLE_INTERVAL else 0.0


class Watchdog:
    """Watches one loop from its first sign of life on; all but `answer` runs in the thread."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path, self.formatter = path, FrameFormatter(home)
        self.heartbeat, self.closing = threading.Lock(), threading.Event()
        self.heartbeat.acquire()
        self.answered_at = 0.0
        self.loop_depth = 0  # frames of the loop itself, below every task
        self.accounted_until = 0.0  # how far the time is accounted for
        self.sample_due = 0.0  # when the next look is planned
        self.gil_access = GilAccess.FREE  # how the GIL was had at the last look
        self.hold: OpenHold | None = None
        self.gc_timer = _GcTimer()
        self.is_stopped, self.thread = False, threading.Thread()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; to be called in the loop's thread."""
        self.loop, self.loop_thread = loop, LoopThread()
        self.resume()
        pause_in_forks(self)

    def stop(self) -> None:
        """End, and write what is left."""
        self.is_stopped = True
        self.pause()
        for descriptor in self.loop_thread.stat_files:
            os.close(descriptor)

    def pause(self) -> None:
        """End the thread, and write what is left."""
        self.closing.set()
        end_thread(self.thread)

    def resume(self) -> None:
        """A thread that watches, unless that is over."""
        if self.is_stopped:
            return
        self.closing.clear()
        if not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name="atonce-watch", daemon=True)
            self.thread.start()

    def send_heartbeat(self) -> None:
        """The sign of life; the first one also tells how deep the loop itself lies."""
        self.answered_at = clock_seconds()
        # Inspect's way reads the sources
        frame = None if self.loop_depth else sys._getframe(1)  # noqa: SLF001
        while frame is not None:
            self.loop_depth += 1
            frame = frame.f_back
        if self.heartbeat.locked():  # else a thread that a fork has ended had asked as well
            self.heartbeat.release()

    def run(self) -> None:
        """The thread: until told to stop, the loop ends, or the file cannot be written."""
        sharpen_timer()
        wait = self.path.with_name(f"{self.path.stem.rpartition('-')[0]}.wait")
        while wait.exists() and self.is_watching():
            self.closing.wait(_WAIT_FILE_INTERVAL)
        self.app_switch_interval = sys.getswitchinterval()
        gc.callbacks.append(self.gc_timer)
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
            self.write_holds()
        with contextlib.suppress(ValueError):  # the app has emptied the list
            gc.callbacks.remove(self.gc_timer)
        sys.setswitchinterval(self.app_switch_interval)

    def write_holds(self) -> None:
        """Question after question, as long as there is something to watch."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            self.loop.call_soon_threadsafe(self.send_heartbeat)
            while not self.heartbeat.acquire(timeout=_POLL_INTERVAL) and self.is_watching():
                pass  # still starting up
            while self.is_watching():
                self.poll_loop(file)

    def is_watching(self) -> bool:
        """Whether there is something to watch."""
        return self.loop.is_running() and not self.closing.is_set()

    def poll_loop(self, file: TextIO) -> None:
        """One pause, one question. A hold counts from the question on, or from the moment that we could not ask it."""
        self.reset()
        self.accounted_until = self.sample_due = clock_seconds() + _POLL_INTERVAL
        self.wait_noting_access(lambda: self.closing.wait(_POLL_INTERVAL))
        if clock_seconds() > self.sample_due + STACK_SAMPLE_INTERVAL:
            self.sample_stack(file)
        else:
            self.reset()
            self.accounted_until = clock_seconds()
        self.plan_sample()
        self.loop.call_soon_threadsafe(self.send_heartbeat)
        answered = False
        while not answered and self.is_watching():
            answered = self.wait_for_heartbeat()
            if not answered:
                self.sample_stack(file)
        if self.hold:
            self.finish_hold(
                file, self.hold, self.answered_at if answered else self.accounted_until
            )

    def plan_sample(self) -> None:
        """Choose a random moment: at regular ones the same line of a loop could be met each time."""
        # Not for secrets
        self.sample_due = clock_seconds() + STACK_SAMPLE_INTERVAL * random.uniform(0.6, 1.4)  # noqa: S311

    def wait_for_heartbeat(self) -> bool:
        """Until it comes, or a look is due."""
        answered = self.wait_noting_access(
            lambda: self.heartbeat.acquire(timeout=max(0.0, self.sample_due - clock_seconds()))
        )
        return answered or self.heartbeat.acquire(
            blocking=False
        )  # it may have come during the wait for the GIL

    def wait_noting_access(self, wait: Callable[[], bool]) -> bool:
        """Wait, and learn how the GIL came back."""
        waits = count_waits()
        sys.setswitchinterval(
            min(
                self.app_switch_interval,
                _CROWDED_SWITCH_INTERVAL if self.loop_thread.is_crowded else _SWITCH_INTERVAL,
            )
        )
        answered = wait()
        self.gil_access = classify_access(count_waits() - waits)
        return answered

    def reset(self) -> None:
        """What thread and collector did until now is nobody's hold."""
        self.loop_thread.take_cpu_time()
        self.gc_timer.take_gc_time()

    def sample_stack(self, file: TextIO) -> None:
        """Account for the time since the last look."""
        ours = (
            _GcTimer.__call__.__code__
        )  # where the interpreter changes threads after a collection
        raw = [frame for frame in self.loop_thread.stack() if frame[0] is not ours]
        stack = raw[
            : max(0, len(raw) - self.loop_depth)
        ]  # empty: the loop waits for events, or for the GIL after that
        if is_between_calls(stack):
            self.gil_access = GilAccess.FORCED
        task = asyncio.current_task(self.loop) if stack else None
        holder = weakref.ref(task) if task else bool(stack)
        now = clock_seconds()
        gap, late = now - self.accounted_until, now - self.sample_due
        collected = min(gap, self.gc_timer.take_gc_time())
        thread_time, kept_share = (
            self.loop_thread.own_time(gap),
            (1 - collected / gap) * bool(stack),
        )
        thread_time = thread_time._replace(
            run_seconds=thread_time.run_seconds * kept_share,
            sleep_seconds=thread_time.sleep_seconds * kept_share,
        )
        if self.hold is None or self.hold.holder != holder:
            if self.hold:
                self.write_hold(file, self.hold, self.accounted_until)
            self.hold = OpenHold(holder, self.accounted_until + _HOLD_GAP)
        self.hold.gc_seconds += collected
        self.hold.samples.append(
            StackSample(gap - collected - thread_time.run_seconds - thread_time.sleep_seconds, [])
        )
        self.hold.samples += split_sample(stack, self.gil_access, thread_time)
        self.hold.blind_seconds += (
            late - collected if late - collected > 2 * STACK_SAMPLE_INTERVAL else 0
        )
        self.accounted_until = now
        self.plan_sample()
        if now - self.hold.start > _MAX_HOLD_PIECE:
            self.write_hold(file, self.hold, now)
            self.hold = OpenHold(holder, now)

    def finish_hold(self, file: TextIO, hold: OpenHold, until: float) -> None:
        """The loop goes on: what has passed since the last look is as that saw it, but not for longer than a look stands for."""
        rest, last = (
            until - self.accounted_until,
            hold.samples[-1] if hold.samples else StackSample(0.0, []),
        )
        hold.gc_seconds += (collected := min(rest, self.gc_timer.take_gc_time()))
        rest -= collected
        known = min(rest, STACK_SAMPLE_INTERVAL)
        hold.samples += [last._replace(weight=known), StackSample(rest - known, [])]
        self.write_hold(file, hold, until)
        self.hold = None

    def write_hold(self, file: TextIO, hold: OpenHold, until: float) -> None:
        """One line, if the loop was held for long; it names nobody who held it for a short while only."""
        if until - hold.start < _MIN_HOLD_SECONDS - _HOLD_GAP:
            return
        shares: dict[tuple[Frame, ...], float] = defaultdict(float)
        context = "elsewhere"
        for weight, raw, is_known in correct_weights(hold.samples):
            stack, is_request = self.formatter.format_stack(raw)
            stack = stack if is_known else self.formatter.stack_without_line(raw, stack)
            shares[stack] += weight
            context = "request" if is_request else context
        if (
            sum(weight for stack, weight in shares.items() if stack) <= _MIN_HOLD_SECONDS
        ):  # one look and no proof is not enough
            shares, context = {(): until - hold.start - hold.gc_seconds}, "elsewhere"
        shares[GC_STACK] = hold.gc_seconds
        entries = [[round(weight, 6), stack] for stack, weight in shares.items() if weight > 0]
        line = [
            "hold",
            round(hold.start, 6),
            round(until, 6),
            context,
            round(hold.blind_seconds, 6),
            entries,
        ]
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()
