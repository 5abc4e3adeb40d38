"""Talks with a running Locust: hands over its scripts, reads its lines, and gives up one that says nothing any more.

Neither side of the talk may block us: a Locust that hangs reads no script, and what it has started may keep its pipe open.
"""

import os
import select
import subprocess
import time
from collections.abc import Iterator

from scenarios.generator.job import Script

POLL = 0.1  # seconds between two looks at it
SILENCE = 60.0  # seconds without a word of the stage, beyond those of a cell, after which Locust hangs
clock = time.perf_counter


class LocustProcess:
    """A Locust with both pipes. The mutable state: the script it plays, what of it is unsent, when it was last heard."""

    def __init__(self, process: subprocess.Popen[str], scripts: Iterator[Script]) -> None:
        assert process.stdin is not None  # noqa: S101 - both were asked for
        assert process.stdout is not None  # noqa: S101
        self.process, self.scripts = process, scripts
        self.stdin, self.stdout = process.stdin, process.stdout
        self.unsent, self.heard = b"", clock()
        os.set_blocking(self.stdin.fileno(), False)
        self.script: Script | None = None
        self.hand_over_next()

    def hand_over_next(self) -> None:
        """Give Locust its next script; when there is none, its standard input ends, and so does Locust."""
        self.script = next(self.scripts, None)
        self.unsent += (self.script.to_json() + "\n").encode() if self.script else b""
        self.send_rest()
        self.heard = clock()  # looking for the next script may have taken a while

    def send_rest(self) -> None:
        """Write as much of the script as Locust takes now."""
        try:
            while self.unsent:
                self.unsent = self.unsent[os.write(self.stdin.fileno(), self.unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended; its exit code is told elsewhere
            self.unsent = b""
        if self.script is None:
            self.stdin.close()

    def longest(self, name: str) -> float:
        """The longest time in seconds that any cell of the script needs for a part of it: `drain`, or `whole`."""
        cells = self.script.cells if self.script else ()
        whole = name == "whole"
        return max((cell.drain + max(cell.warm_up + cell.window, cell.longest) * whole for cell in cells), default=0.0)

    def hangs(self) -> bool:
        """Whether it has said nothing for longer than any cell takes."""
        return clock() - self.heard > SILENCE + self.longest("whole")

    def read_lines(self) -> Iterator[str]:
        """Each line as it comes, and an empty one at least every tenth of a second, until it has ended.

        Read without a buffer: a line that came along with the one before would wait in there, unseen by `select`.
        """
        rest = b""
        while True:
            writers = [self.stdin] if self.unsent else []
            has_ended = self.process.poll() is not None  # asked before the pipe: what it said last is read then
            readers, writers, _ = select.select([self.stdout], writers, [], POLL)
            if writers:
                self.send_rest()
            if not readers:
                if has_ended:
                    return
                yield ""
                continue
            piece = os.read(self.stdout.fileno(), 1 << 16)
            *lines, rest = (rest + piece).split(b"\n")
            yield from (f"{line.decode('utf-8', errors='replace')}\n" for line in lines)
            if not piece:
                select.select([], [], [], POLL * (not has_ended))
                yield ""
                if has_ended:
                    return
