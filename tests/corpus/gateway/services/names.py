"""Host names and old accounts."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Path, Request

router = APIRouter()


def lookup(name: str) -> str:
    """Ask the resolver, which takes its time."""
    time.sleep(0.15)
    return f"10.0.0.{len(name)}"


@router.get("/hosts/{name}")
async def host(name: Annotated[str, Path(min_length=3, max_length=20)]) -> dict[str, str]:
    """Find the address of a host."""
    return {"name": name, "address": await asyncio.to_thread(lookup, name)}


@router.get("/legacy/balance")
async def balance(request: Request) -> dict[str, str]:
    """Show whose balance it is."""
    return {"account": request.state.account}


@router.get("/metrics")
async def metrics() -> dict[str, float]:
    """Show how often names were found."""
    found = {"hits": 0, "asked": 0}
    return {"rate": found["hits"] / found["asked"]}
