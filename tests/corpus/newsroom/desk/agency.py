"""A stand-in for the news agency: HTTP and the old wire, on one port."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection

PORT: list[int] = []
BODY = b'["politics", "sports", "arts"]'
DELAYS = {b"/front": 0.08, b"/sections": 0.05, b"/find": 0.1, b"/feed": 0.1, b"/reads": 0.04}


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """Start the agency and give its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=PIPE, stdout=PIPE)
    try:
        PORT[:] = [int(await process.stdout.readline())]
        yield PORT[0]
    finally:
        process.stdin.close()
        await process.wait()


def ask(path: str) -> list[str]:
    """Ask the agency and wait for its answer."""
    connection = HTTPConnection("127.0.0.1", PORT[0], timeout=10)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return json.load(response)
    finally:
        connection.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection: LATEST is the wire's word, everything else is HTTP."""
    while line := await reader.readline():
        if line == b"LATEST\n":
            await asyncio.sleep(0.06)
            writer.write(b"Harbour reopened after storm\n")
            continue
        while (await reader.readline()).strip():
            pass
        await asyncio.sleep(next(delay for path, delay in DELAYS.items() if path in line))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))
    writer.close()


async def main() -> None:
    """Serve until standard input closes."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
