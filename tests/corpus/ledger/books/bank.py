"""The bank's terminal: a few lines, one call on each."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self


class Bank:
    """Calls the bank."""

    def __init__(self, lines: int) -> None:
        self.lines = ThreadPoolExecutor(lines, thread_name_prefix="bank")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        self.lines.shutdown()

    def rate(self, currency: str) -> float:
        """Ask for an exchange rate."""
        time.sleep(0.1)
        return 1.0 + len(currency) / 100
