"""Keeps the guest's threads out of the app's forks.

A process with threads that forks is warned from Python 3.12 on, and its child inherits what a thread
was about to put back. So they end before a fork and begin again after it; the app's own threads are
its own affair, and so is the warning that they earn.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Protocol

PATIENCE = 1.0  # seconds that a fork waits for a thread, at most
COUNTS_LATE = (3, 13)  # this Python counts the threads only when all hooks have run
GONE_WITHIN = 0.05  # seconds that the system may take to end a thread that Python has done with


class Pausable(Protocol):
    """Something with a thread of its own, and the loop that it is for."""

    loop: asyncio.AbstractEventLoop

    def pause(self) -> None:
        """End the thread, if there is one."""

    def resume(self) -> None:
        """Begin again, unless it is over."""


def pause_in_forks(one: Pausable) -> None:
    """From now on, as long as it lives."""
    if not hasattr(os, "register_at_fork"):  # no forks here
        return
    known, owner = weakref.ref(one), os.getpid()  # a child that forks has none of its threads

    def before() -> None:
        if (found := known()) and os.getpid() == owner:
            found.pause()

    def after() -> None:
        if not (found := known()) or os.getpid() != owner:
            return
        if sys.version_info[:2] == COUNTS_LATE:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                found.loop.call_soon_threadsafe(found.resume)
        else:
            found.resume()

    os.register_at_fork(before=before, after_in_parent=after)


def end_thread(thread: threading.Thread) -> None:
    """Wait until it is gone, for the system too, which counts the threads."""
    thread.join(PATIENCE)
    if sys.platform == "linux" and thread.native_id:
        task = Path(f"/proc/self/task/{thread.native_id}")
        until = time.monotonic() + GONE_WITHIN
        while task.exists() and time.monotonic() < until:
            time.sleep(0.0001)
