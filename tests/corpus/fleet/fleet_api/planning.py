"""Ways, distances and the weather on them."""

import json
import math
from enum import StrEnum
from http.client import HTTPConnection
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

router = APIRouter(tags=["planning"])


class Depot(StrEnum):
    """Where the vans start."""

    NORTH = "north"
    SOUTH = "south"


@router.get("/ways/{depot}")
async def way(depot: Depot, request: Request) -> dict[str, float | str]:
    """Ask the map service for the way to a depot."""
    async with request.app.state.slots:
        answer = await request.app.state.maps.get(f"/ways/{depot}")
    return {"depot": depot, "km": answer.json()["km"]}


def _kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    (north, east), (to_north, to_east) = [(math.radians(a), math.radians(b)) for a, b in (one, other)]
    half = math.sin((to_north - north) / 2) ** 2 + math.cos(north) * math.cos(to_north) * math.sin((to_east - east) / 2) ** 2
    return 12742 * math.asin(math.sqrt(half))


@router.get("/tour")
def tour(stops: Annotated[int, Query(ge=2, le=400)] = 225) -> dict[str, float]:
    """Order the stops by always going to the nearest one left."""
    left = [(47 + number * 37 % 101 / 20, 7 + number * 53 % 97 / 15) for number in range(stops)]
    here, total = left.pop(), 0.0
    while left:
        nearest = min(left, key=lambda stop: _kilometres(here, stop))
        total += _kilometres(here, nearest)
        left.remove(nearest)
        here = nearest
    return {"km": round(total, 1)}


def _wind(port: int, depot: Depot) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"/weather/{depot}")
        return json.loads(connection.getresponse().read())["wind"]
    finally:
        connection.close()


@router.get("/weather")
async def weather(depot: Depot, request: Request) -> dict[str, int]:
    """Ask for the wind at a depot, in a thread, because the service's client cannot await."""
    return {"wind": await run_in_threadpool(_wind, request.app.state.http_port, depot)}
