"""How the gateway and its services are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, StreamingResponse

router = APIRouter()


@router.get("/status")
def status() -> dict[str, str]:
    """Say that the gateway is up."""
    return {"status": "up"}


@router.head("/status")
async def head_of_status() -> None:
    """The same, without words."""


@router.get("/health")
async def moved() -> RedirectResponse:
    """Lead to the new address."""
    return RedirectResponse("/status")


@router.get("/services/{service}")
async def service(service: Literal["mail", "print"], request: Request) -> dict[str, object]:
    """Ask a service behind how it is."""
    answer = await request.state.client.get(f"/{service}")
    return {"service": service, **answer.json()}


async def _beats() -> AsyncIterator[str]:
    while True:
        yield "data: beat\n\n"
        await asyncio.sleep(0.5)


@router.get("/events")
async def events() -> StreamingResponse:
    """Tell for ever that the gateway lives."""
    return StreamingResponse(_beats(), media_type="text/event-stream")
