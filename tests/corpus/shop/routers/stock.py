"""What is left, and where it comes from."""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Request

from store import database

router = APIRouter(tags=["stock"])


@router.get("/stock/{warehouse}")
async def stock(
    warehouse: Annotated[str, Path(min_length=2, max_length=12, openapi_examples={"north": {"value": "north"}})], request: Request
) -> dict[str, int]:
    """Count the pieces in a warehouse."""
    return {warehouse: database.pieces(request.state.stock)}


@router.get("/suppliers")
def suppliers():
    """Ask around who delivers."""
    time.sleep(0.1)
    return ["Acme", "Umbrella"]
