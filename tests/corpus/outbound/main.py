"""A shop window in front of slow partners: each is called by an async client."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx
from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the partner beside us, open the clients, and end them all."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("upstream.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    port, _ = map(int, process.stdout.readline().split())
    app.state.base = f"http://127.0.0.1:{port}"
    narrow = httpx.Limits(max_connections=10, max_keepalive_connections=10)
    few = httpx.Limits(max_connections=4)
    async with (
        httpx.AsyncClient(limits=narrow, timeout=httpx.Timeout(20, pool=None)) as partner,
        httpx.AsyncClient(limits=few, timeout=None) as agency,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as press,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=12)) as carrier,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=3)) as customs,
    ):
        app.state.partner, app.state.agency, app.state.press = partner, agency, press
        app.state.carrier, app.state.customs = carrier, customs
        yield
    process.stdin.close()
    process.wait(5)


app = FastAPI(title="Outbound", lifespan=lifespan)


@app.get("/catalogue")
async def catalogue(request: Request) -> dict[str, str]:
    """The partner's catalogue: 200 ms, over the client that all requests share."""
    state = request.app.state
    answer = await state.partner.get(f"{state.base}/200/catalogue")
    return {"catalogue": answer.json()["kid"]}


@app.get("/bundles")
async def bundles(request: Request) -> dict[str, int]:
    """Two of the carrier's answers at once for each request, 200 ms."""
    state = request.app.state

    async def fetch(part: str) -> str:
        async with state.carrier.get(f"{state.base}/200/{part}") as answer:
            return str((await answer.json())["kid"])

    return {"parts": len(await asyncio.gather(fetch("left"), fetch("right")))}


@app.get("/agencies")
async def agencies(request: Request) -> dict[str, str]:
    """An agency's answer: 250 ms, over a client with four connections."""
    state = request.app.state
    answer = await state.agency.get(f"{state.base}/250/agencies")
    return {"agency": answer.json()["kid"]}


@app.get("/parcels")
async def parcels(request: Request) -> dict[str, str]:
    """The carrier's answer: 180 ms, over aiohttp."""
    state = request.app.state
    async with state.carrier.get(f"{state.base}/180/parcels") as answer:
        found = await answer.json()
    return {"parcel": found["kid"]}


@app.get("/duties")
async def duties(request: Request) -> dict[str, str]:
    """The customs' answer: 250 ms, three connections to one host."""
    state = request.app.state
    async with state.customs.get(f"{state.base}/250/duties") as answer:
        found = await answer.json()
    return {"duty": found["kid"]}


@app.get("/reviews")
async def reviews(request: Request) -> dict[str, str]:
    """The press: 300 ms, as many connections as it takes."""
    state = request.app.state
    async with state.press.get(f"{state.base}/300/reviews") as answer:
        found = await answer.json()
    return {"review": found["kid"]}


@app.get("/window")
async def window() -> dict[str, int]:
    """The window itself: 200 ms awaited."""
    await asyncio.sleep(0.2)
    return {"items": 12}
