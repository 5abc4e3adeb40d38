"""The model server and the weather service, stood in for by one small process."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LATENCY = {"/chat": 2.0, "/embeddings": 0.1, "/models": 0.06, "/search": 0.15, "/limits": 0.03}
ANSWERS: dict[str, object] = {
    "/chat": {"content": "Forty-two."},
    "/embeddings": {"vector": [0.12, -0.4, 0.33]},
    "/models": {"models": ["small", "large"]},
    "/search": {"hits": [{"id": 7, "score": 0.91}, {"id": 3, "score": 0.84}]},
    "/limits": {"per_minute": 600},
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
def model_server() -> Iterator[str]:
    """Run it and say where it listens."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    asyncio.run(serve())
