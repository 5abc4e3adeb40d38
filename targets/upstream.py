"""The slow service that other routes call: a small app, so that no request leaves the machine.

It runs in its own process: on a blocked event loop it could never answer the request that blocks
it. The parent opens the socket and passes it on, so the address is known at once and is free.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi import Path as PathParameter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

FAULT_TIMEOUT = 0.25  # seconds that a caller waits for an upstream that is known to fail


class Fault(StrEnum):
    """How a call of another service fails."""

    SLOW = "slow"  # no answer in time
    ERROR = "error"  # an error status
    GONE = "gone"  # no listener

    def url(self, upstream: str) -> str:
        """Return the URL that fails this way."""
        urls = {Fault.SLOW: f"{upstream}/delay/1", Fault.ERROR: f"{upstream}/status/500"}
        return urls.get(self, "http://127.0.0.1:1")  # only root may listen there, and nothing does


app = FastAPI(title="upstream")
app.state.connections = app.state.requests = app.state.reads = 0


class CountingProtocol(HttpToolsProtocol):
    """One connection to the upstream, which counts itself and its requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count a connection."""
        app.state.connections += 1
        super().connection_made(transport)

    def on_headers_complete(self) -> None:
        """Count a request."""
        app.state.requests += 1
        super().on_headers_complete()


@app.get("/get")
async def get(request: Request) -> dict[str, str | None]:
    """Echo where the call came from."""
    return {"origin": request.client.host if request.client else None, "url": str(request.url)}


@app.get("/json")
async def json() -> dict[str, list[dict[str, str]]]:
    """Return a small document."""
    return {"slides": [{"title": "One loop, many requests"}, {"title": "Never block it"}]}


@app.get("/delay/{seconds}")
async def delay(seconds: Annotated[float, PathParameter(ge=0, le=10)]) -> dict[str, float]:
    """Answer after `seconds`, for any number of requests at once."""
    await asyncio.sleep(seconds)
    return {"delay": seconds}


@app.get("/status/{code}")
async def status(code: Annotated[int, PathParameter(ge=400, le=599)]) -> None:
    """Fail with that status."""
    raise HTTPException(code)


@app.get("/counters")
async def read_counters() -> dict[str, int]:
    """Return connections and requests so far, without the reads of these counters."""
    state = app.state
    state.reads += 1  # each read has its own connection
    return {name: getattr(state, name) - state.reads for name in ("connections", "requests")}


async def fetch_counters(url: str) -> dict[str, int]:
    """Return what the upstream at an address has counted."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        counts: dict[str, int] = (await client.get(f"{url}/counters")).raise_for_status().json()
        return counts


@contextmanager
def bypass_proxies() -> Iterator[None]:
    """Let clients of this process reach this machine without a proxy, while the block runs."""
    # clients read the upper-case name only if this one is missing
    before = os.environ.get("no_proxy")
    others = before or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, [others, "127.0.0.1", "localhost", "::1"]))
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        os.environ.update({} if before is None else {"no_proxy": before})


@asynccontextmanager
async def run_upstream() -> AsyncIterator[str]:
    """Run the upstream while the block runs, and yield its address once it answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "targets.upstream", str(listener.fileno())],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            # the socket listens already; the answer comes as soon as the process is up
            await client.get("/get")
        with bypass_proxies():
            yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, None, 5)  # closes its stdin, and waits


def main() -> None:
    """Serve on the inherited socket `argv[1]` until the parent is gone, which closes our stdin."""
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    # uvicorn's own --fd takes every socket for a Unix one: TCP_NODELAY off, answers 40 ms late
    config = uvicorn.Config(app, http=CountingProtocol, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
