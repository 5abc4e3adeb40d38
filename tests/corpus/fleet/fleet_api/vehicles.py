"""Vans and where they are."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

router = APIRouter(tags=["vehicles"])
TRIPS = File(__file__).parent.parent / "trips.jsonl"
VehicleId = Annotated[int, Path(ge=1, le=80, examples=[17])]


class Vehicle(BaseModel):
    """A van."""

    id: int
    plate: str
    seats: int = 3


class Position(BaseModel):
    """Where a van was last seen."""

    latitude: float
    longitude: float


class Trip(BaseModel):
    """A journey to be made."""

    destination: str = Field(examples=["Leipzig"])
    pallets: int = Field(default=1, ge=1)


FLEET = [Vehicle(id=number, plate=f"B-FL {100 + number}") for number in range(1, 81)]


@router.get("")
async def vehicles() -> list[Vehicle]:
    """List the fleet."""
    return FLEET


@router.get("/events")
async def events() -> StreamingResponse:
    """Report movements as they happen."""

    async def moves() -> AsyncIterator[str]:
        while True:
            yield "event: moved\ndata: 17\n\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(moves(), media_type="text/event-stream")


@router.get("/{vehicle_id}/position")
async def position(vehicle_id: VehicleId, request: Request) -> Position:
    """Locate a van."""
    latitude, longitude = request.app.state.cache.get(f"position:{vehicle_id}").split(",")
    return Position(latitude=latitude, longitude=longitude)


@router.post("/{vehicle_id}/trips", status_code=201)
def send(vehicle_id: VehicleId, trip: Trip) -> dict[str, int | str]:
    """Send a van away."""
    with TRIPS.open("a", encoding="utf-8") as trips:
        trips.write(trip.model_dump_json() + "\n")
    return {"vehicle": vehicle_id, "destination": trip.destination}
