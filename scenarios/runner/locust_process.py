"""Talks with a running Locust: hands over jobs, reads its lines, and gives up a silent process.

Neither pipe may block us: a Locust that hangs reads no job, and a process that it started may keep
its pipe open.
"""

import os
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Literal

from scenarios.generator.job import Job

POLL_INTERVAL = 0.1  # seconds between two checks of it
# seconds without an event of the load engine, beyond those of a cell, after which Locust hangs
SILENCE_LIMIT = 60.0
_clock = time.perf_counter


class LocustProcess:
    """A Locust with both pipes. The state: its job, what of it is unsent, its last event's time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None  # noqa: S101 - both were requested
        assert process.stdout is not None  # noqa: S101
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout
        self.unsent, self.last_heard = b"", _clock()
        os.set_blocking(self.stdin.fileno(), False)
        self.job: Job | None = None

    def send_job(self, job: Job | None) -> None:
        """Give Locust a job; without one its standard input ends, and so does Locust."""
        self.job, self.last_heard = job, _clock()
        self.unsent += (job.to_json() + "\n").encode() if job else b""
        self._send_pending()

    def _send_pending(self) -> None:
        try:
            while self.unsent:
                self.unsent = self.unsent[os.write(self.stdin.fileno(), self.unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended; its exit code is read elsewhere
            self.unsent = b""
        if self.job is None:
            self.stdin.close()

    def longest_cell_time(self, part: Literal["drain", "whole"]) -> float:
        """Return the longest time (seconds) that any cell of the job needs, or its drain."""
        cells = self.job.cells if self.job else ()
        drains = [cell.drain for cell in cells]
        loads = [max(cell.warm_up + cell.window, cell.longest) for cell in cells]
        times = map(sum, zip(drains, loads, strict=True)) if part == "whole" else drains
        return max(times, default=0.0)

    def is_hanging(self) -> bool:
        """Return whether it has sent nothing for longer than any cell takes."""
        return _clock() - self.last_heard > SILENCE_LIMIT + self.longest_cell_time("whole")

    def read_lines(self) -> Iterator[str]:
        """Yield each line as it comes, and an empty one at least every tenth of a second.

        Read without a buffer: a line that came along with the one before would wait in there,
        unseen by `select`.
        """
        rest = b""
        while True:
            writers = [self.stdin] if self.unsent else []
            # checked before the pipe is read: its last output is read then
            has_ended = self.process.poll() is not None
            readers, writers, _ = select.select([self.stdout], writers, [], POLL_INTERVAL)
            if writers:
                self._send_pending()
            if not readers:
                if has_ended:
                    return
                yield ""
                continue
            piece = os.read(self.stdout.fileno(), 1 << 16)
            *lines, rest = (rest + piece).split(b"\n")
            yield from (f"{line.decode('utf-8', errors='replace')}\n" for line in lines)
            if not piece:
                select.select([], [], [], POLL_INTERVAL * (not has_ended))
                yield ""
                if has_ended:
                    return
