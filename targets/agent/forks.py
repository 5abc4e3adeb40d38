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

_FORK_TIMEOUT = 1.0  # seconds that a fork waits for a thread, at most
_LATE_COUNTING_PYTHON = (3, 13)  # this Python counts the threads only when all hooks have run
_THREAD_EXIT_TIMEOUT = 0.05  # seconds that the system may take to end a thread after Python has


class ForkSafeThread:
    """A thread that serves an event loop; it ends before each fork and starts again after it."""

    def __init__(self, name: str) -> None:
        self.thread_name, self.is_stopped = name, False
        self.pausing, self.thread = threading.Event(), threading.Thread()

    def run(self) -> None:
        """Run in the thread, until `pausing` is set."""
        raise NotImplementedError

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread. Call it in the loop's thread."""
        self.loop = loop
        self.resume()
        if not hasattr(os, "register_at_fork"):  # no forks here
            return
        # a child of a fork has none of its threads
        reference, owner_pid = weakref.ref(self), os.getpid()

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

    def stop(self) -> None:
        """End the thread for good."""
        self.is_stopped = True
        self.pause()

    def pause(self) -> None:
        """Wait until the thread is gone, also from the system's list of threads."""
        self.pausing.set()
        self.thread.join(_FORK_TIMEOUT)
        if sys.platform == "linux" and self.thread.native_id:
            task = Path(f"/proc/self/task/{self.thread.native_id}")
            until = time.monotonic() + _THREAD_EXIT_TIMEOUT
            while task.exists() and time.monotonic() < until:
                time.sleep(0.0001)

    def resume(self) -> None:
        """Start the thread, unless it is stopped or runs."""
        if self.is_stopped:
            return
        self.pausing.clear()
        if not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name=self.thread_name, daemon=True)
            self.thread.start()
