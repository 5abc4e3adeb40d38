"""The wire: one line, one question at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self


class Wire:
    """A connection that cannot be shared."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.busy = False

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[Self]:
        """Keep the line open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def latest(self) -> str:
        """Fetch the latest line."""
        if self.busy:
            raise RuntimeError("another question is in progress")
        self.busy = True
        try:
            self.writer.write(b"LATEST\n")
            return (await self.reader.readline()).decode().strip()
        finally:
            self.busy = False
