"""The journal of who saw what, written by a thread of its own."""

import threading
import time
from pathlib import Path
from typing import Self


class Journal:
    """Entries in memory, written out again and again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: list[str] = []
        self.closed = threading.Event()
        self.writer = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        self.writer.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self.closed.set()
        self.writer.join()

    def _write(self) -> None:
        while not self.closed.wait(0.001):
            with self.lock:
                self._flush()

    def _flush(self) -> None:
        del self.entries[:-100]
        time.sleep(0.05)

    def note(self, entry: str) -> int:
        """Add an entry and count them."""
        self.lock.acquire()
        try:
            self.entries.append(entry)
            return len(self.entries)
        finally:
            self.lock.release()


def ring(bell: str) -> None:
    """Leave a mark that somebody rang."""
    Path(__file__).with_name("bell.txt").write_text(bell, encoding="utf-8")
