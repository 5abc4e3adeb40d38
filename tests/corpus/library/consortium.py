"""A stand-in for the region's other libraries: slow, as they are."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BODY = b'{"copies": 2, "cover": "blue linen"}'
DELAYS = {b"/copies": 0.06, b"/similar": 0.05, b"/covers": 0.12}


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """Start the others and give the port they share."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=PIPE, stdout=PIPE)
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, each after its delay."""
    try:
        while request := await reader.readline():
            while (await reader.readline()).strip():
                pass
            path = request.split()[1]
            await asyncio.sleep(next((delay for start, delay in DELAYS.items() if path.startswith(start)), 0))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until standard input closes."""
    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
