"""The slow service that other routes call: a small app in a process of its own, so that nothing leaves the machine.

It must not live in the target's process: on a blocked event loop it could never answer the request that blocks it.
`running()` starts it beside the target and stops it again. The parent opens the socket and hands it down, so the
address is known at once and no two servers can fight for a port.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi import Path as PathParameter

app = FastAPI(title="upstream")


@app.get("/get")
async def get(request: Request) -> dict[str, str | None]:
    """Echo where the call came from."""
    return {"origin": request.client.host if request.client else None, "url": str(request.url)}


@app.get("/json")
async def json() -> dict[str, list[dict[str, str]]]:
    """Answer a small document."""
    return {"slides": [{"title": "One loop, many requests"}, {"title": "Never block it"}]}


@app.get("/delay/{seconds}")
async def delay(seconds: Annotated[float, PathParameter(ge=0, le=10)]) -> dict[str, float]:
    """Answer after `seconds`, however many ask at once."""
    await asyncio.sleep(seconds)
    return {"delay": seconds}


@asynccontextmanager
async def running() -> AsyncIterator[str]:
    """Run the upstream while the block runs, and give its address. Ready is asked for, never slept for."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "targets.upstream", "--fd", str(listener.fileno())],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            await client.get("/get")  # connects at once: the socket listens; answered as soon as it is up
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 5)


def main() -> None:
    """Serve on an inherited socket until the parent goes away, however it goes: its end of our stdin closes."""
    parser = argparse.ArgumentParser(prog="python -m targets.upstream", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket, inherited")
    arguments = parser.parse_args()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    # Not uvicorn's own --fd: that takes every socket for a Unix one, so TCP_NODELAY stays off and answers lag 40 ms.
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    server.run(sockets=[socket.socket(fileno=arguments.fd)])


if __name__ == "__main__":
    main()
