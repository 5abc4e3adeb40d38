"""What the bank does, one class per trade, put together by FastAPI."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

from fastapi import Request

from bank import wire
from bank.models import Money, Statement
from bank.plumbing import BankError
from bank.repository import Accounts


async def audited(request: Request) -> AsyncIterator[Accounts]:
    """Lend the accounts to one request, and note in the journal that it had them."""
    try:
        yield request.app.state.accounts
    finally:
        request.app.state.journal.commit(request.url.path)


class Statements:
    """Writes statements."""

    def __init__(self, request: Request) -> None:
        self._rows: Accounts = request.app.state.accounts

    async def write(self, account: str) -> Statement:
        """Write one, interest included."""
        pages = await self._rows.pages(account)
        owed = sum(self._interest(posting.amount.cents) for page in pages for posting in page.postings)
        return Statement(account=account, pages=pages, interest=Money(cents=owed // 1_000_000))

    @staticmethod
    def _interest(cents: int, days: int = 1900) -> int:
        grown = cents * 1_000_000
        for day in range(days):
            grown += grown * (3 + day % 2) // 100_000
        return grown - cents * 1_000_000


class Tariffs:
    """Looks fees up in a table that is on lease."""

    async def fee(self, cents: int) -> Money:
        """Find the fee of an amount; the lease is given back whatever happens."""
        try:
            await asyncio.sleep(0.06)
            return Money(cents=max(cents // 200, 5))
        finally:
            time.sleep(0.04)


class Exchange:
    """Asks the clearing house for rates."""

    def __init__(self, request: Request) -> None:
        self._house = wire.Client(request.app.state.clearing_port)

    async def rate(self, currency: str) -> float:
        """Ask for the rate of one currency."""
        return float(self._house.lookup(f"rate.{currency}"))


class Signer:
    """Signs references."""

    def __init__(self, request: Request) -> None:
        self._salt: bytes = request.app.state.settings.salt

    def sign(self, reference: str) -> str:
        """Derive a signature that is dear to guess."""
        return hashlib.scrypt(reference.encode(), salt=self._salt, n=2**14, r=8, p=1, maxmem=2**26).hex()


class Gate:
    """Lets a few in and sends the others away."""

    def __init__(self, most: int) -> None:
        self._left = most

    async def __aenter__(self) -> None:
        """Come in, or be sent away."""
        if not self._left:
            raise BankError(429, "too many at once")
        self._left -= 1

    async def __aexit__(self, *_error: object) -> None:
        """Make room."""
        self._left += 1
