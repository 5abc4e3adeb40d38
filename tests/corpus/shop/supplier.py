"""A stand-in for the supplier's HTTP service, for development."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """Run the stand-in and give its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=PIPE, stdout=PIPE)
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection: /rates/... within 80 ms, anything else within 200."""
    while request := await reader.readline():
        while (await reader.readline()).strip():
            pass
        await asyncio.sleep(0.08 if b"/rates/" in request else 0.2)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"price": 9.5}')
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until standard input closes."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
