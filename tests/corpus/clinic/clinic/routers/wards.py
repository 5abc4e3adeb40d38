"""Rooms and what is measured in them."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request

router = APIRouter(prefix="/wards")


def booking(room: Literal["a1", "a2"]) -> str:
    """Who has the room, says the old booking system."""
    time.sleep(0.1)
    return f"{room}: Smith"


@router.get("/rooms/{room}")
async def room(booked: Annotated[str, Depends(booking)]) -> dict[str, str]:
    """Show a room's booking."""
    return {"booked": booked}


@router.get("/vitals")
async def vitals(request: Request, bed: int = 1) -> dict[str, int]:
    """Read a bed's monitor."""
    async with request.app.state.monitors:
        await asyncio.sleep(0.15)
    return {"bed": bed, "pulse": 61}
