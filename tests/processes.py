"""Which processes a test started are still there: found by a word in their environment, whoever their parent is now."""

import contextlib
import os
import time
import uuid
from pathlib import Path

MARK = "ATONCE_TEST_MARK"


def new_mark() -> str:
    """A word for the environment of everything that one test starts."""
    return uuid.uuid4().hex


def alive(mark: str) -> list[str]:
    """Command lines of the processes that carry the mark, this one excepted."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(folder.name) != os.getpid() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                state = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def gone_within(mark: str, seconds: float) -> list[str]:
    """Wait until no marked process is left; those that still are when time is up."""
    deadline = time.perf_counter() + seconds
    while (left := alive(mark)) and time.perf_counter() < deadline:
        time.sleep(0.05)
    return left
