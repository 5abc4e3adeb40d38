"""Child processes on a leash: pinned to a core, stopped with everything they started, gone when their driver is gone.

Each servant leads a session of its own, so that Ctrl-C in the terminal reaches the driver only, and so that one signal
to its group ends its children too. On Linux the kernel kills it when the driver dies without a word.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal a process gets when its parent dies
Core = int | frozenset[int] | None  # where a servant may run; None: wherever its parent may
GRACE = 4.0  # seconds between asking a servant to stop and killing it


def leash(core: Core) -> Callable[[], None]:
    """What a child does between fork and exec: tie itself to its parent's life, and to its core."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def before_exec() -> None:
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None:
            os.sched_setaffinity(0, core if isinstance(core, frozenset) else {core})

    return before_exec


@contextlib.contextmanager
def servant(  # noqa: PLR0913 - a process has that many sides
    command: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    core: Core,
    stdin: int,
    stdout: int | None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A child process for the length of the block. All its words go to the log in `folder`, or to `stdout` when that is a pipe."""
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd or folder,
            env=dict(env),
            stdin=stdin,
            stdout=log if stdout is None else stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=leash(core),  # noqa: PLW1509 - the driver starts no thread before its servants
        )
    try:
        yield process
    finally:
        dismiss(process)


def dismiss(process: subprocess.Popen[str]) -> None:
    """Ask a servant to stop, then insist; nothing of its group stays."""
    try:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
    finally:  # even when an interruption comes while we wait
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
