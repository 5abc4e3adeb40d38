"""A server that notes what it gets, hangs on request, and may leave its connections behind.

Arguments: port, log file. `/quick` is answered after 5 ms, `/stuck/N` for the first N requests. Of
SIGTERM it dies, but a child of it keeps the connections open: nobody answers there any more.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1"


class TinyProtocol(asyncio.Protocol):
    """One connection; requests fit one packet. `seen` counts them for all connections."""

    def __init__(self, log: Path, seen: Counter[str]) -> None:
        self.log, self.seen = log, seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it to answer."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Note path, id and token; answer, or never."""
        head, *lines = data.decode("latin-1").split("\r\n")
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        path = head.split()[1]
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{path} {fields['x-atonce-id']} {fields.get('x-token', '-')}\n")
        self.seen[path] += 1
        if path.startswith("/stuck/") and self.seen[path] > int(path.rpartition("/")[2]):
            return
        asyncio.get_running_loop().call_later(0.005, self.transport.write, ANSWER)  # type: ignore[attr-defined]


async def serve() -> None:
    """Answer until SIGTERM."""
    loop, seen = asyncio.get_running_loop(), Counter[str]()
    connect = partial(TinyProtocol, Path(sys.argv[2]), seen)
    server = await loop.create_server(connect, "127.0.0.1", int(sys.argv[1]), backlog=500)

    def leave() -> None:
        server.close()
        if os.fork() == 0:
            time.sleep(60)  # ended by its group, with the test
        os._exit(0)

    loop.add_signal_handler(signal.SIGTERM, leave)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
