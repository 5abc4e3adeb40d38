"""Ends the agent's threads before a fork of the app, and starts them again after it.

Else Python 3.12 and newer would warn the app, and the child would inherit the threads' locks.
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

_FORK_TIMEOUT = 1.0  # seconds that a fork waits for a thread, at most
_LATE_COUNTING_PYTHON = (3, 13)  # this Python counts the threads only when all hooks have run
_THREAD_EXIT_TIMEOUT = 0.05  # seconds that the system may take to end a thread after Python has


class Pausable(Protocol):
    """An object with a thread of its own, and the loop that it serves."""

    loop: asyncio.AbstractEventLoop

    def pause(self) -> None:
        """End the thread, if it runs."""

    def resume(self) -> None:
        """Start the thread again, unless the object is stopped."""


def pause_in_forks(thread_owner: Pausable) -> None:
    """Pause the owner's thread in every fork, as long as the owner lives."""
    if not hasattr(os, "register_at_fork"):  # no forks here
        return
    # a child of a fork has none of its threads
    reference, owner_pid = weakref.ref(thread_owner), os.getpid()

    def pause_before_fork() -> None:
        if (live_owner := reference()) and os.getpid() == owner_pid:
            live_owner.pause()

    def resume_after_fork() -> None:
        if not (live_owner := reference()) or os.getpid() != owner_pid:
            return
        if sys.version_info[:2] == _LATE_COUNTING_PYTHON:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                live_owner.loop.call_soon_threadsafe(live_owner.resume)
        else:
            live_owner.resume()

    os.register_at_fork(before=pause_before_fork, after_in_parent=resume_after_fork)


def end_thread(thread: threading.Thread) -> None:
    """Wait until the thread is gone, also from the system's list of threads."""
    thread.join(_FORK_TIMEOUT)
    if sys.platform == "linux" and thread.native_id:
        task = Path(f"/proc/self/task/{thread.native_id}")
        until = time.monotonic() + _THREAD_EXIT_TIMEOUT
        while task.exists() and time.monotonic() < until:
            time.sleep(0.0001)
