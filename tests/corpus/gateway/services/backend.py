"""A stand-in for the services behind, for development."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """Run the stand-in and give its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CODE, stdin=PIPE, stdout=PIPE)
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


CODE = r"""
import asyncio, sys

async def answer(reader, writer):
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        await asyncio.sleep(0.25)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"up": true}')
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
