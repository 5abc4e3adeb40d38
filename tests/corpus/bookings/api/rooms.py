"""Rooms and slots."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request

from api.schemas import NewBooking, Stay

router = APIRouter(prefix="/api/v1")


@router.get("/slots")
async def slots(request: Request) -> list[str]:
    """When the spa is free."""
    return list(await request.app.state.pool.ask("SLOTS"))


@router.get("/calendar")
async def calendar(request: Request) -> dict[str, int]:
    """Arrivals by weekday."""

    def load() -> Any:
        with request.app.state.connect() as connection:
            return connection.ask("CALENDAR")

    return dict(await asyncio.get_running_loop().run_in_executor(None, load))


@router.get("/rooms/{room_id}")
async def room(room_id: Annotated[int, Path(ge=1, le=90)], request: Request) -> dict[str, Any]:
    """Describe a room, and note that somebody looked."""
    described = await request.app.state.wide_pool.ask(f"ROOM {room_id}")
    request.app.state.views.ask(f"SEEN {room_id}")
    return dict(described)


@router.get("/occupancy")
async def occupancy(request: Request, rooms: int = 400) -> dict[str, float]:
    """Share of weekend nights."""
    return {"weekend": request.app.state.occupancy.weekend_share(rooms)}


@router.get("/agenda", response_model=list[Stay])
async def agenda(request: Request) -> Any:
    """Every stay of the season."""
    return request.app.state.agenda


@router.get("/agenda/today", response_model=list[Stay])
async def today(request: Request, limit: int = 20) -> Any:
    """The next few stays."""
    return request.app.state.agenda[:limit]


@router.get("/invoices/{invoice_id}")
def invoice(invoice_id: int, request: Request) -> dict[str, float]:
    """One invoice."""
    with request.app.state.connect() as connection:
        return dict(connection.ask(f"INVOICE {invoice_id}"))


@router.get("/availability")
async def availability(request: Request) -> dict[str, int]:
    """How many rooms are free tonight."""
    return dict(await request.app.state.wide_pool.ask("FREE"))


@router.get("/bookings/{reference}")
async def booking(reference: str) -> dict[str, str]:
    """Find a booking by its reference."""
    raise HTTPException(404, f"No booking {reference}")


@router.post("/bookings", status_code=201)
async def book(wish: NewBooking) -> NewBooking:
    """Book a room."""
    return wish
