"""Connections to the property management system: awaited and pooled, or plain and blocking."""

import asyncio
import json
import socket
from typing import Any, Self

HOST = "127.0.0.1"


class Pool:
    """A fixed number of connections, handed out in turn."""

    def __init__(self, port: int, size: int) -> None:
        self.port = port
        self.size = size
        self.idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        for _ in range(self.size):
            self.idle.put_nowait(await asyncio.open_connection(HOST, self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        while not self.idle.empty():
            self.idle.get_nowait()[1].close()

    async def ask(self, command: str) -> Any:
        """Borrow a connection for one command."""
        reader, writer = await self.idle.get()
        try:
            writer.write(command.encode() + b"\n")
            return json.loads(await reader.readline())
        finally:
            self.idle.put_nowait((reader, writer))


class Connection:
    """One blocking connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, command: str) -> Any:
        """Send a command, wait for the line that answers it."""
        self.socket.sendall(command.encode() + b"\n")
        received = b""
        while not received.endswith(b"\n"):
            received += self.socket.recv(4096)
        return json.loads(received)
