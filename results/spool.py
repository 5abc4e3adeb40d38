"""Append lines so that a crash loses a second at most: a file per writer, never rewritten.

Each line is a JSON list whose first item names its kind. The last line of a killed writer may be
incomplete; `read_spool` leaves it out and reports it.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_MIN_ITEMS = 2  # every line has more
_FLUSH_INTERVAL = 0.5  # seconds; a crash loses what is younger


class Spool:
    """An append-only file of JSON lines."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a", encoding="utf-8", buffering=1 << 20)
        self.last_flush = time.perf_counter()

    def write(self, *line: Any) -> None:
        """Add one line; it reaches the disk at the next flush."""
        self.file.write(json.dumps(line) + "\n")

    def flush_if_due(self, now: float) -> None:
        """Flush to the system, at most twice a second."""
        if now - self.last_flush >= _FLUSH_INTERVAL:
            self.file.flush()
            self.last_flush = now

    def close(self) -> None:
        """Write what is left."""
        self.file.close()


def read_spool(
    path: Path, unreadable: list[str] | None = None, keep: Callable[[str], bool] = bool
) -> Iterator[list[Any]]:
    """The complete lines of a spool that `keep` accepts, in order.

    Lines that cannot be read, such as half a line after a crash, go to `unreadable`.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from _parse_lines(filter(keep, file), [] if unreadable is None else unreadable)


def read_spool_end(path: Path, count: int, keep: Callable[[str], bool]) -> Iterator[list[Any]]:
    """The last `count` lines of a spool that `keep` accepts."""
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from _parse_lines(deque(filter(keep, file), count), [])


def _parse_lines(texts: Iterable[str], unreadable: list[str]) -> Iterator[list[Any]]:
    """Parse each text as a line; texts that are none go to `unreadable`."""
    for text in texts:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line = None
        if isinstance(line, list) and len(line) > _MIN_ITEMS:
            yield line
        else:
            unreadable.append(text)
