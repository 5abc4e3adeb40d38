"""The identity service and the rates service, for the demo: HTTP and a line protocol, on loopback.

Prints its ports; ends as soon as its standard input does.
"""

import asyncio
import sys
import threading
import os
from asyncio import StreamReader, StreamWriter


async def serve_http(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer `GET /<milliseconds>/...` after so many milliseconds, over a connection that stays."""
    try:
        while line := await reader.readline():
            close = False
            while (header := await reader.readline()) not in (b"\r\n", b""):
                close |= header.lower().startswith(b"connection: close")
            delay = int(line.split(b"/")[1].split(b" ")[0])
            await asyncio.sleep(delay / 1000)
            body = b'{"kid": "k1", "key": "c2VjcmV0"}'
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (len(body), body)
            )
            await writer.drain()
            if close:
                break
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def serve_lines(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer each line, which is a number of milliseconds, after so long."""
    try:
        while line := await reader.readline():
            await asyncio.sleep(int(line) / 1000)
            writer.write(b"done\n")
    except ConnectionError:
        pass
    finally:
        writer.close()


def end_with_parent() -> None:
    """Wait for the end of the standard input."""
    sys.stdin.buffer.read()
    os._exit(0)


async def main() -> None:
    """Serve both."""
    http = await asyncio.start_server(serve_http, "127.0.0.1", 0, backlog=512)
    lines = await asyncio.start_server(serve_lines, "127.0.0.1", 0, backlog=512)
    ports = [server.sockets[0].getsockname()[1] for server in (http, lines)]
    print(*ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    asyncio.run(main())
