"""The hotel's property management system, which speaks a line protocol; a stand-in in a process of its own."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ANSWERS: dict[str, tuple[float, object]] = {
    "SLOTS": (0.08, ["09:00", "10:30", "14:00"]),
    "CALENDAR": (0.12, {"monday": 3, "tuesday": 5}),
    "ROOM": (0.2, {"beds": 2, "floor": 3}),
    "SEEN": (0.04, "noted"),
    "INVOICE": (0.3, {"total": 210.5}),
    "FREE": (0.02, {"free": 7}),
    "RATES": (0.15, {"standard": 89.0}),
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One line in, one line out."""
    try:
        while line := await reader.readline():
            seconds, body = ANSWERS[line.decode().split(" ", 1)[0].strip()]
            await asyncio.sleep(seconds)
            writer.write(json.dumps(body).encode() + b"\n")
    except (asyncio.CancelledError, ConnectionError):
        pass
    writer.close()


async def serve() -> None:
    """Answer until our parent closes our standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def started() -> Iterator[int]:
    """Run it and say at which port it listens."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline()) if process.stdout else 0


if __name__ == "__main__":
    asyncio.run(serve())
