"""A log that survives power cuts: a thread writes whatever has gathered, then asks the disk to keep it."""

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Log:
    """Takes lines without waiting."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def note(self, line: str) -> None:
        """Write a line, soon."""
        self._lines.put(line)

    def _write(self, path: Path) -> None:
        with path.open("a", encoding="utf-8") as file:
            while (line := self._lines.get()) is not None:
                file.write(f"{line}\n")
                if self._lines.empty():
                    file.flush()
                    os.fsync(file.fileno())

    @contextmanager
    def kept(self, path: Path) -> Iterator[None]:
        """Keep the log in a file."""
        writer = threading.Thread(target=self._write, args=(path,), name="log")
        writer.start()
        try:
            yield
        finally:
            self._lines.put(None)
            writer.join()
