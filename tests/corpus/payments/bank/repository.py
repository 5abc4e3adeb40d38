"""Accounts, and the journal in which a thread of its own writes who looked at them."""

import asyncio
import queue
import threading
import time
from pathlib import Path

from bank.models import Money, Page, Posting, Transfer
from bank.plumbing import BankError

BOOK = Path(__file__).parent.parent / "transfers.jsonl"


class Journal:
    """Keeps entries in order on slow storage."""

    def __init__(self) -> None:
        self._entries: queue.SimpleQueue[tuple[str, threading.Event]] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="journal", daemon=True).start()

    def _write(self) -> None:
        while True:
            _, done = self._entries.get()
            time.sleep(0.045)
            done.set()

    def commit(self, entry: str) -> None:
        """Come back when the entry is written."""
        done = threading.Event()
        self._entries.put((entry, done))
        done.wait(timeout=5)


class Accounts:
    """The accounts there are."""

    def __init__(self) -> None:
        self._rows = {f"NL-{4000 + number}": 12_345 * number for number in range(1, 9)}

    def left(self, account: str) -> Money:
        """Count what is left in an account."""
        if account not in self._rows:
            raise BankError(404, account)
        return Money(cents=self._rows[account])

    async def pages(self, account: str) -> list[Page]:
        """Fetch a statement's pages from the archive."""
        await asyncio.sleep(0.025)
        lines = [Posting(day=f"2025-03-{day:02}", amount=Money(cents=day * 7), tags=["card"]) for day in range(1, 11)]
        return [Page(opening=self.left(account), postings=lines) for _ in range(3)]

    def move(self, transfer: Transfer) -> None:
        """Write a transfer down."""
        with BOOK.open("a", encoding="utf-8") as book:
            book.write(transfer.model_dump_json() + "\n")
