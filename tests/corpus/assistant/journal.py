"""Usage, written down call by call."""

import threading
import time

SYNC_SECONDS = 0.05


class Journal:
    """An append-only list with a disk behind it; one writer or reader at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tokens = 0
        self.calls = 0

    def append(self, tokens: int) -> None:
        """Write one call and wait until it is on the disk."""
        with self.lock:
            self.tokens += tokens
            self.calls += 1
            time.sleep(SYNC_SECONDS)
