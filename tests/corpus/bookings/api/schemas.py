"""What goes over the wire."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

START = date(2025, 1, 1)


class Guest(BaseModel):
    """Who stays."""

    name: str
    email: str


class Stay(BaseModel):
    """One stay of one guest in one room."""

    room: int
    arrival: date
    departure: date
    guest: Guest
    price: Decimal


class NewBooking(BaseModel):
    """A wish."""

    room: int
    arrival: date


def agenda(count: int) -> list[dict[str, Any]]:
    """Make up the agenda of a large house, as the rows of its database."""
    guest = {"name": "Ada Lovelace", "email": "ada@example.org"}
    nights = [START + timedelta(days=number % 365) for number in range(count)]
    return [
        {
            "room": number % 90,
            "arrival": night,
            "departure": night + timedelta(days=2),
            "guest": guest,
            "price": f"{80 + number % 40}.50",
        }
        for number, night in enumerate(nights)
    ]
