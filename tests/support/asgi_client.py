"""An app behind a client of this process: no server, no socket."""

import asyncio
from typing import Any

import httpx

HOME = "http://127.0.0.1:1"  # nothing listens there: nothing may leave the process


def served(app: Any) -> httpx.Client:
    """A client that the app answers in this process; an app's fault is a 500, as in a server."""

    async def answer(request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HOME) as client:
            return await client.request(
                request.method, request.url, headers=request.headers, content=request.content
            )

    def handle(request: httpx.Request) -> httpx.Response:
        response = asyncio.run(answer(request))
        known = "content-length" in response.headers
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            content=response.content if known else iter([response.content]),
        )

    return httpx.Client(transport=httpx.MockTransport(handle), base_url=HOME, trust_env=False)
