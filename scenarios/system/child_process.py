"""Child processes: pinned to a core, stopped with all they started, gone when their driver is gone.

Each has a supervisor (`supervisor.py`), which ends as its child does and outlives us just long
enough to clean up. It leads a session of its own, so that Ctrl-C reaches the driver only.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from scenarios.system.private_log import append_private, open_private
from scenarios.system.supervisor import ChildSpec

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
CoreSet = int | frozenset[int] | None  # where a child may run; None: wherever its parent may
STOP_TIMEOUT = 10.0  # seconds between SIGTERM and SIGKILL
_KILL_TIMEOUT = 10.0  # seconds to wait even for a process that is stuck in the kernel


class SupervisedProcess(subprocess.Popen[str]):
    """A supervised child: it ends like any process, and all its descendants end with it."""

    def __init__(self, spec: ChildSpec, log: Path, stdin: int, stdout: int | None) -> None:
        self.was_killed = False
        self.driver, child_socket = socket.socketpair()
        self.driver.settimeout(_KILL_TIMEOUT)
        payload, errors = json.dumps(asdict(spec)).encode(), open_private(log)
        module = ["-P", "-m", "scenarios.system.supervisor"]
        try:
            super().__init__(
                [sys.executable, *module, str(child_socket.fileno())],
                env=child_env(),
                stdin=stdin,
                stdout=subprocess.DEVNULL if stdout is None else stdout,
                stderr=errors,
                text=True,
                start_new_session=True,
                pass_fds=[child_socket.fileno()],
            )
        finally:
            child_socket.close()
            os.close(errors)
        with contextlib.suppress(OSError):  # it has ended already; its exit code is seen elsewhere
            self.driver.sendall(b"%012d%s" % (len(payload), payload))

    def flush_log(self) -> None:
        """Wait until all its output so far is in the log."""
        with contextlib.suppress(OSError):
            self.driver.send(b"?")
            self.driver.recv(1)

    def stop(self, timeout: float) -> None:
        """Terminate it, and kill it after `timeout` seconds."""
        try:
            if self.poll() is None:
                self.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.wait(timeout)
            self.was_killed = self.poll() is None
        finally:  # even when an interruption comes while we wait
            self.driver.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(_KILL_TIMEOUT)
            self.kill()
        for pipe in (self.stdin, self.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError, BlockingIOError):
                    pipe.close()


@contextlib.contextmanager
def supervised_process(  # noqa: PLR0913 - a process has that many sides
    command: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    core: CoreSet,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    cwd: Path | None = None,
    secrets: Sequence[str] = (),
    stop_within: float = STOP_TIMEOUT,
) -> Iterator[SupervisedProcess]:
    """Run a child for the length of the block; it writes to `folder`'s log, or to `stdout`."""
    log = folder / "log.txt"
    cores = sorted({core} if isinstance(core, int) else core or ())
    log_path = str(log) if stdout is None else None
    spec = ChildSpec(command, str(cwd or folder), dict(env), cores, log_path, secrets)
    process = SupervisedProcess(spec, log, stdin, stdout)
    try:
        yield process
    finally:
        process.stop(stop_within)
        if process.was_killed:
            why = f"or a process of it, still ran {stop_within:g} s after SIGTERM and was killed"
            append_private(log, f"atonce: {Path(command[0]).name}, {why}.\n")


def child_env() -> dict[str, str]:
    """Return our environment with our packages first on the path."""
    paths = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
