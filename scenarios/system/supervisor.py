"""Stands between us and one child process: writes its words to the log, masked, leaves nobody behind.

A process of its own, so that it can outlive us. It reads its orders, in JSON, from a socket whose
other end only the driver holds: when that closes, the driver is done or dead, and all that descends
from here is ended. On Linux whoever loses its parent becomes a child of the supervisor, in whatever
session it is, so "no child is left" is the whole truth; elsewhere descendants are remembered once a
second. How long an asked child may take is the driver's business.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

from scenarios.system.private_log import PIECE, Words

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
IS_LINUX = sys.platform == "linux"
UNREAD = 1 << 20  # bytes that an app may say before somebody reads; a new pipe has room for 64 KiB
SIZE = 12  # digits that say how long the orders are
GRACE = 2.0  # seconds to tidy up for those whom nobody had asked to end: a folder, a container
NOT_STARTED = 127  # as a shell says that a command cannot be run


class Supervisor:
    """One child.

    The mutable state: its exit code once it has ended, whether that was asked for, who descends from
    it, and when all of them are killed.
    """

    def __init__(self, driver: socket.socket, orders: dict[str, Any]) -> None:
        self.driver, self.orders = driver, orders
        self.selector = selectors.DefaultSelector()
        self.code: int | None = None
        self.is_asked = self.is_over = False
        self.deadline: float | None = None
        self.kin: set[psutil.Process] = set()
        self.words = Words(orders["log"], tuple(orders["secrets"])) if orders["log"] else None
        self.source, sink = os.pipe() if self.words else (-1, 1)
        if self.words and IS_LINUX:
            with contextlib.suppress(OSError):  # more than this person may have
                fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, UNREAD)
        signals, wake = os.pipe()
        for end in (signals, wake, *([self.source] if self.words else [])):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # its number comes through `signals`
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.listen(signals, lambda: self.hear(os.read(signals, 64)))
        self.listen(driver.fileno(), self.obey)
        self.pid = self.start(sink)
        if self.words:
            os.close(sink)
            self.listen(self.source, self.read_words)

    def listen(self, source: int, heed: Callable[[], object]) -> None:
        """Call somebody when there is something to read."""
        self.selector.register(source, selectors.EVENT_READ, heed)

    def start(self, sink: int) -> int:
        """Start the child, which goes if we go; its number."""
        libc = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None
        if libc:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        cores = self.orders["cores"]

        def before_exec() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is ignored here stays ignored in the app
            if libc:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if cores:
                os.sched_setaffinity(0, cores)

        child = subprocess.Popen(
            self.orders["command"],
            cwd=self.orders["cwd"],
            env=self.orders["env"],
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - there is no thread here
        )
        child.returncode = 0  # its end is seen here, among those of all others
        return child.pid

    def supervise(self) -> int:
        """Until nobody is left; the child's exit code."""
        while not self.is_over:
            for key, _ in self.selector.select(self.seconds_to_wait()):
                key.data()
            if not IS_LINUX:  # where nobody tells of the end of who is not our own child
                self.is_over = not self.descendants() and self.code is not None
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self.kill_all()
        if self.words:
            self.read_backlog()
            self.words.take(b"", is_last=True)
        return self.code or 0

    def seconds_to_wait(self) -> float | None:
        """Until something must be done even when nothing happens."""
        if self.deadline is not None:
            return max(0.0, self.deadline - time.monotonic())
        return None if IS_LINUX else 1.0

    def hear(self, numbers: bytes) -> None:
        """Signals have come: to be handed on, or because somebody has ended."""
        if signal.SIGTERM in numbers:
            self.is_asked = True
            family = self.descendants()  # known before the child leaves the others without a parent
            self.end(signal.SIGTERM, [one for one in family if self.code is not None or one.pid == self.pid])
        if signal.SIGCHLD in numbers:
            self.bury(os.WNOHANG)

    def obey(self) -> None:
        """The driver wants to know that all is written that was said so far; or it has gone."""
        try:
            asked = self.driver.recv(1)
        except OSError:
            asked = b""
        if not asked:
            self.selector.unregister(self.driver.fileno())
            self.end_all()
            return
        self.read_backlog()
        with contextlib.suppress(OSError):
            self.driver.send(asked)

    def read_backlog(self) -> None:
        """All that was said until now; a child that goes on talking is read on later."""
        for _ in range(1 + UNREAD // PIECE):
            if not self.words or not self.read_words():
                return

    def read_words(self) -> bool:
        """A piece of what the child says; False where it says nothing now, or never again."""
        try:
            piece = os.read(self.source, PIECE)
        except BlockingIOError:  # it was read since the selector saw it
            return False
        if piece and self.words:
            self.words.take(piece)
        elif self.source in self.selector.get_map():
            self.selector.unregister(self.source)
        return bool(piece)

    def bury(self, how: int) -> None:
        """Take note of those who have ended. When the child has, the others follow it."""
        was_running = self.code is None
        try:
            while True:
                pid, status = os.waitpid(-1, how)
                if not pid:
                    break
                if pid == self.pid:
                    self.code = os.waitstatus_to_exitcode(status)
                if not how:
                    return
        except ChildProcessError:
            self.is_over = self.is_over or not self.descendants()
        if was_running and self.code is not None and not self.is_over:
            if self.is_asked:
                self.end(signal.SIGTERM, self.descendants())
            else:
                self.end_all()

    def descendants(self) -> list[psutil.Process]:
        """Who is still there of all that descend from here, as far as they were ever seen."""
        found = psutil.Process().children(recursive=True)
        self.kin = {*found, *(one for one in self.kin if one.is_running())}
        return list(self.kin)

    @staticmethod
    def end(number: int, whom: list[psutil.Process]) -> None:
        """Send a signal; never to a process that has got the number of one that was meant."""
        for one in whom:
            with contextlib.suppress(psutil.Error):
                one.send_signal(number)

    def end_all(self) -> None:
        """Kill all that descend from here; after a moment to tidy up where nobody had asked them."""
        grace = 0.0 if self.is_asked else GRACE
        if grace:
            self.end(signal.SIGTERM, self.descendants())
        self.deadline = time.monotonic() + grace

    def kill_all(self) -> None:
        """Kill all that descend from here, whoever is born meanwhile."""
        while not self.is_over:
            self.end(signal.SIGKILL, self.descendants())
            self.bury(0)


def main() -> None:
    """Supervise one child, then end as it did."""
    driver = socket.socket(fileno=int(sys.argv[1]))
    driver.set_inheritable(False)
    try:
        size = int(driver.recv(SIZE, socket.MSG_WAITALL))
        orders = json.loads(driver.recv(size, socket.MSG_WAITALL))
    except ValueError:  # the driver was gone before it could say all
        return
    try:
        supervisor = Supervisor(driver, orders)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{orders['command'][0]} cannot be started ({error})", file=sys.stderr)
        raise SystemExit(NOT_STARTED) from None
    code = supervisor.supervise()
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # nobody can heed SIGKILL, nor ignore it
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
