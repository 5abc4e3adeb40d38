"""Two calls of another service, under `asyncio.gather` and one after the other."""

import asyncio
from typing import Any

from fastapi import APIRouter

from targets.lesson.sleep_and_fetch import Client
from targets.lesson.waiting import Seconds

router = APIRouter(tags=["lesson"])


@router.get("/concurrent")
async def concurrent(client: Client, seconds: Seconds = 1.0) -> dict[str, Any]:
    """Make two calls of one second each under `gather`: together they take one second, not two."""
    first, second = await asyncio.gather(
        client.get(f"/delay/{seconds}"), client.get(f"/delay/{seconds}")
    )
    return {"statuses": [first.status_code, second.status_code]}


@router.get("/in-turn")
async def in_turn(client: Client, seconds: Seconds = 1.0) -> dict[str, Any]:
    """Make the same two calls one after another; the loop is free during both."""
    first, second = await client.get(f"/delay/{seconds}"), await client.get(f"/delay/{seconds}")
    return {"statuses": [first.status_code, second.status_code]}
