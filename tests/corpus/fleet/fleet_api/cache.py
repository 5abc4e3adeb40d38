"""A small client of the cache server."""

import socket
from types import TracebackType
from typing import Self


class Cache:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.replies = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.replies.close()
        self.socket.close()

    def command(self, *words: str) -> str:
        """Send a command and give its reply."""
        self.socket.sendall(" ".join(words).encode() + b"\r\n")
        reply = self.replies.readline().decode().strip()
        if not reply.startswith("+"):
            raise RuntimeError(reply)
        return reply[1:]

    def get(self, key: str) -> str:
        """Value of a key."""
        return self.command("GET", key)
