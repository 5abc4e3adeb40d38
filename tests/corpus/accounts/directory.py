"""The identity provider, the directory and the audit trail as a developer runs them: a stand-in in its own process."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LATENCY = {"/jwks": 0.12, "/tenants": 0.4, "/sessions": 0.3, "/audit": 0.05}
ANSWERS: dict[str, object] = {
    "/jwks": {"keys": [{"kid": "2024-11", "k": "c2VjcmV0"}]},
    "/tenants": {"tenant": "acme", "plan": "team"},
    "/sessions": [{"device": "laptop"}, {"device": "phone"}],
    "/audit": {"stored": True},
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak just enough HTTP/1.1 for a client that keeps its connection."""
    try:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode().partition("?")[0]
            await asyncio.sleep(LATENCY[path])
            body = json.dumps(ANSWERS[path]).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def serve() -> None:
    """Answer until our parent closes our standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def directory() -> Iterator[str]:
    """Run it and say where it listens."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    asyncio.run(serve())
