"""Finds out when a stack holds the event loop, and which: a thread checks the loop's heartbeats.

The loop beats by itself, 6 ms after the last beat, for a while after a hold 2 ms, and at once after
a late beat, as the next hold may follow. The thread wakes after a beat was due. If the beat has not
come, it samples the stack of the loop's thread 2.5 ms after that, and again every 2.5 ms. A sample
stands for the time since the last. A hold began at some moment of the pause before the beat: in the
mean in its middle. To sample it needs the GIL: C code that keeps the GIL delays the sample (`blind`
says how long). The late sample still has the line of that call, as the interpreter changes threads
right after the call.

A thread gets the GIL by force only after the switch interval, and every call that releases the GIL
starts this interval anew: so it is 15 us while a beat is late. If other code ran before a call
that sleeps, the stack names the function without a line.

Other threads may keep the GIL, other processes the core. So a sample counts for as long as the
loop's thread ran, or slept without waking up (a thread that waits for the GIL wakes all the time);
the rest has an empty stack. Automatic garbage collections can happen at any line, so they have a
stack of their own; `gc.collect()` counts to its line.
"""

import asyncio
import contextlib
import gc
import json
import math
import os
import random
import sys
import threading
import time
import weakref
from collections import defaultdict
from pathlib import Path
from typing import TextIO

from .forks import ForkSafeThread
from .loop_thread import (
    STACK_SAMPLE_INTERVAL,
    GilAccess,
    LoopThread,
    classify_access,
    count_waits,
    is_between_calls,
)
from .stack_frames import GC_STACK, Frame, FrameFormatter
from .stack_samples import OpenHold, StackSample, correct_weights, split_sample

clock_seconds = time.perf_counter
_POLL_INTERVAL = 0.006  # seconds between a heartbeat and the next
_ALERT_INTERVAL, _ALERT_SECONDS = 0.002, 0.25  # the same, and for how long after a hold
_SHORT_TURN = 0.001  # seconds that a heartbeat may be late after a hold before it counts as late
_LONG_TURN = 0.0015  # the same at other times
_MIN_SAMPLE_GAP = 0.0005  # seconds that the first sample stands for, at least
_MIN_HOLD_SECONDS = 0.004  # it writes no shorter hold
_MAX_LATENESS = 0.010  # seconds that a sample may be late by chance; a later one was blind
_MIN_COLLECTION = 0.005  # seconds of a garbage collection that does not count to its line
_MAX_HOLD_PIECE = 0.5  # seconds of a hold that a killed process may lose
_HOLD_GAP = 1e-6  # seconds between one hold and the next; the pieces of one touch
# seconds: less than Python code takes between two calls, and more than a thread that waits for the
# GIL needs to check for it, which would take the core from the thread that has the GIL
_SWITCH_INTERVAL = 0.000015
_CALM_SWITCH_INTERVAL = 0.0001  # while no beat is late: the app soon releases the GIL by itself
_CROWDED_SWITCH_INTERVAL = 0.001  # while other threads compute, as each switch costs them time


class _GcTimer:
    """Times automatic garbage collections; the interpreter calls it at their start and end."""

    def __init__(self) -> None:
        self.reported = 0.0
        # seconds so far, and the current one's begin: one tuple, as threads may switch at any time
        self.state = (0.0, 0.0)

    def __call__(self, phase: str, _: object) -> None:
        """Note a start or end, quickly: it runs inside the collection."""
        took, begun = self.state
        if phase == "start":
            # an automatic collection starts because of too many objects
            by_itself = gc.isenabled() and 0 < gc.get_threshold()[0] < gc.get_count()[0]
            self.state = took, clock_seconds() if by_itself else 0.0
        else:
            self.state = took + _long_pause(begun), 0.0

    def take_gc_time(self) -> float:
        took, begun = self.state
        before, self.reported = self.reported, took + _long_pause(begun)
        return self.reported - before


def _long_pause(begun: float) -> float:
    """Return the seconds of a collection so far; 0 if short, as it then counts to its line."""
    took = clock_seconds() - begun if begun else 0.0
    return took if took > _MIN_COLLECTION else 0.0


class Watchdog(ForkSafeThread):
    """Watches one loop from its first heartbeat on; only `_beat` runs in the loop."""

    def __init__(self, path: Path, home: Path) -> None:
        super().__init__("atonce-watch")
        self.path, self.formatter = path, FrameFormatter(home)
        self.beats: object = None  # whose heartbeats go on: each `run` has its own
        self.beat_at = 0.0  # the last heartbeat
        self.beat_due = math.inf  # the next one
        self.is_late = False  # whether the thread looks for what delays it
        self.late_beat_at = 0.0  # when that came
        self.loop_depth = 0  # frames of the loop itself, below every task
        self.accounted_until = 0.0  # samples account for all time until then
        self.sample_due = 0.0  # when the next sample is planned
        self.late_task: weakref.ref[asyncio.Task[object]] | None = None  # as the beat was late
        self.head = 0.0  # seconds before the samples that the next hold probably took
        self.poll_pause = _POLL_INTERVAL  # before the next heartbeat
        self.written_at = -_ALERT_SECONDS  # when the last hold was written
        self.gil_access = GilAccess.FREE  # how this thread got the GIL at the last sample
        self.hold: OpenHold | None = None
        self.gc_timer = _GcTimer()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to watch. Call it in the loop's thread."""
        self.loop_thread = LoopThread()
        super().start(loop)

    def stop(self) -> None:
        """Stop, and write what is left."""
        super().stop()
        for descriptor in self.loop_thread.stat_files:
            os.close(descriptor)

    def _beat(self, beats: object) -> None:
        """Beat in the loop, and again after the pause; at once if this beat was late."""
        if beats is not self.beats:  # its thread has ended
            return
        # `inspect` would read the sources
        frame = None if self.loop_depth else sys._getframe(1)  # noqa: SLF001
        while frame is not None:  # the first beat measures the loop's own stack depth
            self.loop_depth += 1
            frame = frame.f_back
        now = clock_seconds()
        pause = 0.0 if now > self.beat_due + _SHORT_TURN else self.poll_pause
        self.beat_at, self.beat_due = now, now + pause
        if self.is_late:
            self.late_beat_at, self.is_late = now, False
        self.loop.call_later(pause, self._beat, beats)

    def run(self) -> None:
        """Run the thread until stopped, the loop ends, or the file cannot be written."""
        with contextlib.suppress(OSError):  # by default Linux may wake a thread 50 us late
            slack = Path(f"/proc/{threading.get_native_id()}/timerslack_ns")
            slack.write_text("1", encoding="ascii")
        self.app_switch_interval = sys.getswitchinterval()
        gc.callbacks.append(self.gc_timer)
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
            self._write_holds()
        self.beats = None
        with contextlib.suppress(ValueError):  # the app has emptied the list
            gc.callbacks.remove(self.gc_timer)
        sys.setswitchinterval(self.app_switch_interval)

    def _write_holds(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.beats, self.beat_due = object(), math.inf
        self.loop.call_soon_threadsafe(self._beat, self.beats)
        while self.beat_due == math.inf and self._is_watching():
            time.sleep(_ALERT_INTERVAL)  # the loop does not run yet, or something holds it
        self.path.touch()  # the driver sees by its time that watching has begun
        with self.path.open("a", encoding="utf-8") as file:
            while self._is_watching():
                self._poll_loop(file)

    def _is_watching(self) -> bool:
        return self.loop.is_running() and not self.pausing.is_set()

    def _poll_loop(self, file: TextIO) -> None:
        """Sleep until the next heartbeat should have come; if it has not, sample the stack."""
        self.reset()
        now = clock_seconds()
        since = now - self.written_at
        is_alert = since < _ALERT_SECONDS
        self.poll_pause = _ALERT_INTERVAL if is_alert else _POLL_INTERVAL
        tolerance = _SHORT_TURN if is_alert else _LONG_TURN
        pause = 0.0 if since < _ALERT_INTERVAL else self.poll_pause
        planned = max(self.beat_due + tolerance, now + pause)
        self._sleep_until(planned)
        self.is_late = True  # before the look: it may come at any moment
        if clock_seconds() >= self.beat_due + tolerance:
            self._watch_hold(file, planned)
        self.is_late = False

    def _watch_hold(self, file: TextIO, planned: float) -> None:
        """Sample the stack until the late heartbeat comes."""
        due, last_beat = self.beat_due, self.beat_at
        is_blind = clock_seconds() > planned + STACK_SAMPLE_INTERVAL
        if not is_blind:
            self.loop_thread.read_waits()
            self.reset()
        self.accounted_until = self.sample_due = max(planned, due) if is_blind else clock_seconds()
        self.head = self.accounted_until - (last_beat + due) / 2
        task = asyncio.current_task(self.loop)
        self.late_task = weakref.ref(task) if task else None
        if not is_blind:
            self._plan_sample(due)
            self.sample_due = max(self.sample_due, self.accounted_until + _MIN_SAMPLE_GAP)
        elif self.is_late:
            self.sample_stack(file)
        while self.is_late and self._is_watching():
            self._sleep_until(self.sample_due)
            if self.is_late:
                self.sample_stack(file)
        if self.hold:
            until = self.accounted_until if self.is_late else self.late_beat_at
            self.finish_hold(file, self.hold, until)

    def _plan_sample(self, now: float) -> None:
        """Choose a random moment, as regular ones could meet the same line of a loop each time."""
        jitter = random.uniform(0.6, 1.4)  # noqa: S311
        self.sample_due = now + STACK_SAMPLE_INTERVAL * jitter

    def _sleep_until(self, moment: float) -> None:
        """Sleep, and note how the GIL was got then."""
        waits, interval = count_waits(), _SWITCH_INTERVAL if self.is_late else _CALM_SWITCH_INTERVAL
        if self.loop_thread.is_crowded:
            interval = _CROWDED_SWITCH_INTERVAL
        sys.setswitchinterval(min(self.app_switch_interval, interval))
        time.sleep(max(0.0, moment - clock_seconds()))
        self.gil_access = classify_access(count_waits() - waits)

    def reset(self) -> None:
        """Forget what thread and collector did until now, outside any hold."""
        self.loop_thread.take_cpu_time()
        self.gc_timer.take_gc_time()

    def sample_stack(self, file: TextIO) -> None:
        """Sample the stack for the time since the last sample."""
        now = clock_seconds()  # first: the loop's thread waits for this one from here on
        ours = _GcTimer.__call__.__code__  # threads change here after a collection
        raw = [frame for frame in self.loop_thread.stack() if frame[0] is not ours]
        # it is empty while the loop waits for events, or for the GIL after that
        stack = raw[: max(0, len(raw) - self.loop_depth)]
        if is_between_calls(stack):
            self.gil_access = GilAccess.FORCED
        task = asyncio.current_task(self.loop) if stack else None
        holder = weakref.ref(task) if task else bool(stack)
        gap, late = now - self.accounted_until, now - self.sample_due
        collected = min(gap, self.gc_timer.take_gc_time())
        own, kept_share = self.loop_thread.own_time(gap), (1 - collected / gap) * bool(stack)
        own = own._replace(
            run_seconds=own.run_seconds * kept_share, sleep_seconds=own.sleep_seconds * kept_share
        )
        if self.hold is None:
            self.poll_pause = _ALERT_INTERVAL
            head = self.head if self.late_task in (None, holder) else 0.0
            self.hold = OpenHold(holder, self.accounted_until + _HOLD_GAP, head=head)
        elif self.hold.holder != holder:
            self._write_hold(file, self.hold, self.accounted_until)
            self.hold = OpenHold(holder, self.accounted_until + _HOLD_GAP)
        else:
            self.hold.add_head(self.accounted_until)
        hold = self.hold
        hold.gc_seconds += collected
        hold.ran_seconds += own.run_seconds
        hold.samples.append(StackSample(gap - collected - own.run_seconds - own.sleep_seconds, []))
        hold.samples += split_sample(stack, self.gil_access, own)
        if late - collected > _MAX_LATENESS:
            hold.blind_seconds += late - collected
        self.accounted_until = now
        self._plan_sample(now)
        if now - hold.start > _MAX_HOLD_PIECE:
            self._write_hold(file, hold, now)
            self.hold = OpenHold(holder, now)

    def finish_hold(self, file: TextIO, hold: OpenHold, until: float) -> None:
        """Close a hold: the rest counts as the last sample, for one sample interval at most."""
        if until < self.accounted_until:  # the last sample came when the hold was over
            hold.cut(self.accounted_until - until)
        rest = max(0.0, until - self.accounted_until)
        last = hold.samples[-1] if hold.samples else StackSample(0.0, [])
        collected = min(rest, self.gc_timer.take_gc_time())
        known = min(rest - collected, STACK_SAMPLE_INTERVAL)
        hold.gc_seconds += collected
        hold.samples += [last._replace(weight=known), StackSample(rest - collected - known, [])]
        hold.add_head(until)
        self._write_hold(file, hold, until)
        self.hold = None

    def _write_hold(self, file: TextIO, hold: OpenHold, until: float) -> None:
        """Write a line for a long hold, without its stacks if they account for too little of it."""
        if until - hold.start < _MIN_HOLD_SECONDS - _HOLD_GAP:
            return
        shares: dict[tuple[Frame, ...], float] = defaultdict(float)
        context = "elsewhere"
        for weight, raw, is_known in correct_weights(hold.samples):
            stack, is_request = self.formatter.format_stack(raw)
            stack = stack if is_known else self.formatter.stack_without_line(raw, stack)
            shares[stack] += weight
            context = "request" if is_request else context
        # a single sample proves nothing
        if sum(weight for stack, weight in shares.items() if stack) <= _MIN_HOLD_SECONDS:
            shares, context = {(): until - hold.start - hold.gc_seconds}, "elsewhere"
        shares[GC_STACK] = hold.gc_seconds
        stacks = [
            {"seconds": round(weight, 6), "frames": [frame._asdict() for frame in stack]}
            for stack, weight in shares.items()
            if weight > 0
        ]
        line = {
            "kind": "hold",
            "start": round(hold.start, 6),
            "end": round(until, 6),
            "context": context,
            "blind": round(hold.blind_seconds, 6),
            "ran": round(hold.ran_seconds, 6) if self.loop_thread.clock is not None else None,
            "stacks": stacks,
        }
        self.written_at = clock_seconds()
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()
