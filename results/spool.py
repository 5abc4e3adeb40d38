"""Append lines so that a crash loses a second at most: a file per writer, never rewritten."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from results.records import encode_line

_FLUSH_INTERVAL = 0.5  # seconds; a crash loses what is younger
Line = TypeVar("Line")


class Spool:
    """An append-only file of records, one JSON line each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("ab", buffering=1 << 20)
        self.last_flush = time.perf_counter()

    def write(self, record: msgspec.Struct) -> None:
        """Add one line; it reaches the disk at the next flush."""
        self.file.write(encode_line(record) + b"\n")

    def flush_if_due(self, now: float) -> None:
        """Flush to the system, at most twice a second."""
        if now - self.last_flush >= _FLUSH_INTERVAL:
            self.file.flush()
            self.last_flush = now

    def close(self) -> None:
        """Write what is left."""
        self.file.close()


class SpoolReader:
    """Reads spools and counts unreadable lines, such as half a line after a crash."""

    def __init__(self) -> None:
        self.unreadable = 0

    def read(self, path: Path, decode: Callable[[bytes], Line]) -> Iterator[Line]:
        """Yield the lines of a spool that `decode` accepts, in order."""
        with path.open("rb") as file:
            for text in file:
                try:
                    line = decode(text)
                except ValueError:
                    self.unreadable += 1
                else:
                    yield line


def read_spool(path: Path, decode: Callable[[bytes], Line]) -> Iterator[Line]:
    """Yield the readable lines of a spool, in order."""
    return SpoolReader().read(path, decode)
