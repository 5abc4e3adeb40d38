"""Stand-ins for what runs outside: a cache server that is far away, and the HTTP services of others."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def started() -> Iterator[tuple[int, int]]:
    """Start both; give the cache's port and the HTTP port."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        cache, http = process.stdout.readline().split()
        try:
            yield int(cache), int(http)
        finally:
            process.stdin.close()


async def cached(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """GET a key: 30 ms of network, then its value."""
    while command := await reader.readline():
        await asyncio.sleep(0.03)
        writer.write(b"+52.52,13.40\r\n" if command.startswith(b"GET ") else b"-ERR\r\n")
    writer.close()


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Weather takes 200 ms, a way 120 ms."""
    while request := await reader.readline():
        while (await reader.readline()).strip():
            pass
        await asyncio.sleep(0.2 if b"/weather" in request else 0.12)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n{"wind": 4, "km": 12.5}')
    writer.close()


async def main() -> None:
    """Serve until standard input closes."""
    servers = [await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000) for serve in (cached, answered)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
