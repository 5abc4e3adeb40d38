"""Supervises one child process: writes its output to the log, masked, and leaves none behind.

It is a process of its own, so that it can outlive us. It reads its task, in JSON, from a socket
whose other end only the driver has: when that closes, the driver is done or dead, and the
supervisor ends all descendants. On Linux a process that loses its parent becomes a child of the
supervisor, so that it misses none; elsewhere it lists the descendants once a second. The driver
decides how long a child may take to stop.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from scenarios.system.private_log import CHUNK_BYTES, LogWriter

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_IS_LINUX = sys.platform == "linux"
# bytes that an app may write before they are read; a new pipe has room for 64 KiB
_PIPE_BYTES = 1 << 20
_LENGTH_DIGITS = 12  # digits of the length of the task
# seconds to clean up for processes that got no SIGTERM before: a folder, a container
_GRACE_SECONDS = 2.0
_NOT_STARTED = 127  # as a shell says that a command cannot be run


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start a child; its output goes to a log, without secrets, or to our own stdout."""

    command: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    cores: Sequence[int]  # empty: wherever we may run
    log: str | None
    secrets: Sequence[str]


class Supervisor:
    """Supervises one child. The mutable state: its exit code, its descendants, a stop request."""

    def __init__(self, driver: socket.socket, spec: ChildSpec) -> None:
        self.driver, self.spec = driver, spec
        self.selector = selectors.DefaultSelector()
        self.exit_code: int | None = None
        self.is_stop_requested = self.is_finished = False
        self.deadline: float | None = None
        self.known_descendants: set[psutil.Process] = set()
        self.log_writer = LogWriter(spec.log, tuple(spec.secrets)) if spec.log else None
        self.source, sink = os.pipe() if self.log_writer else (-1, 1)
        if self.log_writer and _IS_LINUX:
            with contextlib.suppress(OSError):  # more than this user may have
                fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        signals, wake = os.pipe()
        for end in (signals, wake, *([self.source] if self.log_writer else [])):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # its number comes through `signals`
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        register, readable = self.selector.register, selectors.EVENT_READ
        register(signals, readable, lambda: self._handle_signals(os.read(signals, 64)))
        register(driver.fileno(), readable, self._handle_driver)
        self.pid = self._start_child(sink)
        if self.log_writer:
            os.close(sink)
            register(self.source, readable, self.read_output)

    def _start_child(self, sink: int) -> int:
        """Start the child, which ends if we end; return its process id."""
        libc = ctypes.CDLL(None, use_errno=True) if _IS_LINUX else None
        if libc:
            libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        cores = self.spec.cores

        def before_exec() -> None:
            # what is ignored here stays ignored in the app
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if libc:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if cores:
                os.sched_setaffinity(0, cores)

        child = subprocess.Popen(
            self.spec.command,
            cwd=self.spec.cwd,
            env=self.spec.env,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - there is no thread here
        )
        child.returncode = 0  # we see its end here, among those of all others
        return child.pid

    def supervise(self) -> int:
        """Run until no process is left; return the child's exit code."""
        while not self.is_finished:
            for key, _ in self.selector.select(self._select_timeout()):
                key.data()
            if not _IS_LINUX:  # where only the end of our own child is signalled
                self.is_finished = not self._descendants() and self.exit_code is not None
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._kill_all()
        if self.log_writer:
            self.read_backlog()
            self.log_writer.add_chunk(b"", is_last=True)
        return self.exit_code or 0

    def _select_timeout(self) -> float | None:
        if self.deadline is not None:
            return max(0.0, self.deadline - time.monotonic())
        return None if _IS_LINUX else 1.0

    def _handle_signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers:
            self.is_stop_requested = True
            # listed before the child leaves the others without a parent
            running = self._descendants()
            child = {process for process in running if process.pid == self.pid}
            _signal_processes(child if self.exit_code is None else running, signal.SIGTERM)
        if signal.SIGCHLD in numbers:
            self._reap_children(os.WNOHANG)

    def _handle_driver(self) -> None:
        """Write all output so far when the driver requests it; end all when it has gone."""
        try:
            request = self.driver.recv(1)
        except OSError:
            request = b""
        if request:
            self.read_backlog()
            with contextlib.suppress(OSError):
                self.driver.send(request)
        else:
            self.selector.unregister(self.driver.fileno())
            self._terminate_all()

    def read_backlog(self) -> None:
        """Read all output until now; a child that goes on writing is read on later."""
        for _ in range(1 + _PIPE_BYTES // CHUNK_BYTES):
            if not self.log_writer or not self.read_output():
                return

    def read_output(self) -> bool:
        """Read a piece of the child's output; return False where there is none."""
        try:
            chunk = os.read(self.source, CHUNK_BYTES)
        except BlockingIOError:  # it was read since the selector saw it
            return False
        if chunk and self.log_writer:
            self.log_writer.add_chunk(chunk)
        elif self.source in self.selector.get_map():
            self.selector.unregister(self.source)
        return bool(chunk)

    def _reap_children(self, wait_options: int) -> None:
        """Reap processes that have ended. When the child has, end the others."""
        was_running = self.exit_code is None
        try:
            while True:
                pid, status = os.waitpid(-1, wait_options)
                if not pid:
                    break
                if pid == self.pid:
                    self.exit_code = os.waitstatus_to_exitcode(status)
                if not wait_options:
                    return
        except ChildProcessError:
            self.is_finished = self.is_finished or not self._descendants()
        if was_running and self.exit_code is not None and not self.is_finished:
            if self.is_stop_requested:
                _signal_processes(self._descendants(), signal.SIGTERM)
            else:
                self._terminate_all()

    def _descendants(self) -> set[psutil.Process]:
        """Return all descendants that are still running, as far as they were ever seen."""
        children = psutil.Process().children(recursive=True)
        running = (process for process in self.known_descendants if process.is_running())
        self.known_descendants = {*children, *running}
        return self.known_descendants

    def _terminate_all(self) -> None:
        """Kill all descendants, after a moment to clean up if they got no SIGTERM before."""
        grace = 0.0 if self.is_stop_requested else _GRACE_SECONDS
        if grace:
            _signal_processes(self._descendants(), signal.SIGTERM)
        self.deadline = time.monotonic() + grace

    def _kill_all(self) -> None:
        while not self.is_finished:
            _signal_processes(self._descendants(), signal.SIGKILL)
            self._reap_children(0)


def _signal_processes(processes: set[psutil.Process], number: int) -> None:
    """Send a signal; never to another process that has the same number now."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def main() -> None:
    """Supervise one child, then end as it did."""
    driver = socket.socket(fileno=int(sys.argv[1]))
    driver.set_inheritable(False)
    try:
        size = int(driver.recv(_LENGTH_DIGITS, socket.MSG_WAITALL))
        spec = ChildSpec(**json.loads(driver.recv(size, socket.MSG_WAITALL)))
    except ValueError:  # the driver was gone before it could send all
        return
    try:
        supervisor = Supervisor(driver, spec)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{spec.command[0]} cannot be started ({error})", file=sys.stderr)
        raise SystemExit(_NOT_STARTED) from None
    code = supervisor.supervise()
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL can be neither handled nor ignored
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
