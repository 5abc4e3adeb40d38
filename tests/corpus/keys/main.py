"""Tokens and balances: signing keys from an identity service, rates over an old line protocol."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.request import urlopen

import httpx
from fastapi import Depends, FastAPI

UPSTREAM: dict[str, int] = {}
LINES: list[socket.socket] = []
CLIENTS: list[httpx.AsyncClient] = []
JWKS: dict[str, Any] = {"at": 0.0, "key": None}
SESSION: dict[str, Any] = {"at": 0.0, "secret": ""}
FLAGS: dict[str, Any] = {"at": 0.0, "flags": {}}
AWAITED: dict[str, Any] = {"at": 0.0, "key": None}
CALLS = {"prices": 0}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Start the services beside us, and end them with us."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("upstream.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    UPSTREAM["http"], UPSTREAM["lines"] = map(int, process.stdout.readline().split())
    LINES.append(socket.create_connection(("127.0.0.1", UPSTREAM["lines"])))
    CLIENTS.append(httpx.AsyncClient(timeout=10))
    try:
        yield
    finally:
        await CLIENTS.pop().aclose()
        LINES.pop().close()
        process.stdin.close()
        process.wait(5)


app = FastAPI(title="Keys", lifespan=lifespan)


async def signing_key() -> str:
    """The signing key, fetched again when it is older than 3 s."""
    if time.monotonic() - JWKS["at"] > 3:
        with urlopen(f"http://127.0.0.1:{UPSTREAM['http']}/140/jwks") as answer:
            JWKS["key"] = json.load(answer)["key"]
        JWKS["at"] = time.monotonic()
    return str(JWKS["key"])


@app.get("/me")
async def me(key: Annotated[str, Depends(signing_key)]) -> dict[str, str]:
    """Who asks: the token is checked with the signing key."""
    await asyncio.sleep(0.02)
    return {"user": "ada", "key": key}


def rotate() -> None:
    """Derive a new secret; the vault takes its time."""
    time.sleep(0.09)
    SESSION["at"], SESSION["secret"] = time.monotonic(), "s3cret"


@app.get("/sessions")
async def sessions() -> dict[str, str]:
    """A session, with a secret that is at most 2 s old."""
    if time.monotonic() - SESSION["at"] > 2:
        rotate()
    await asyncio.sleep(0.04)
    return {"session": SESSION["secret"]}


@app.get("/prices")
async def prices() -> dict[str, int]:
    """A price; one of 25 requests reads the list again."""
    CALLS["prices"] += 1
    if CALLS["prices"] % 25 == 0:
        LINES[0].sendall(b"120\n")
        refreshed = LINES[0].recv(64)
        assert refreshed == b"done\n"
    await asyncio.sleep(0.03)
    return {"price": 12}


@app.get("/balances")
async def balances() -> dict[str, str]:
    """Ask the old system, 12 ms, and then the ledger, 110 ms."""
    LINES[0].sendall(b"12\n")
    answer = LINES[0].recv(64)
    await asyncio.sleep(0.11)
    return {"balance": answer.decode().strip()}


@app.get("/statements")
async def statements() -> dict[str, str]:
    """First the ledger, 180 ms; then the old system, 30 ms: looks like a pool of seven."""
    await asyncio.sleep(0.18)
    LINES[0].sendall(b"30\n")
    booked = LINES[0].recv(16)
    return {"statement": booked.decode().strip()}


async def awaited_key() -> str:
    """The same key, fetched by an async client."""
    if time.monotonic() - AWAITED["at"] > 3:
        AWAITED["at"] = time.monotonic()
        answer = await CLIENTS[0].get(f"http://127.0.0.1:{UPSTREAM['http']}/140/jwks")
        AWAITED["key"] = answer.json()["key"]
    return str(AWAITED["key"] or "c2VjcmV0")


@app.get("/profile")
async def profile(key: Annotated[str, Depends(awaited_key)]) -> dict[str, str]:
    """A profile, under a key that is awaited."""
    await asyncio.sleep(0.02)
    return {"profile": "ada", "key": key}


@app.get("/flags")
def flags() -> dict[str, int]:
    """Feature flags, read again in this thread when they are older than 2 s."""
    if time.monotonic() - FLAGS["at"] > 2:
        FLAGS["at"] = time.monotonic()
        with urlopen(f"http://127.0.0.1:{UPSTREAM['http']}/100/flags") as response:
            FLAGS["flags"] = json.load(response)
    time.sleep(0.05)
    return {"flags": len(FLAGS["flags"] or {"kid": "", "key": ""})}


@app.get("/limits")
async def limits() -> dict[str, int]:
    """Limits: 122 ms awaited."""
    await asyncio.sleep(0.012)
    await asyncio.sleep(0.11)
    return {"limit": 100}
