"""Orders taken."""

import json
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel, Field

router = APIRouter(tags=["orders"])
OUTBOX = Path(__file__).parent.parent / "outbox.jsonl"


class Order(BaseModel):
    """What somebody wants."""

    sku: str = Field(examples=["BOO-1042"])
    pieces: int = 1


@router.post("/orders", status_code=201)
def order(wanted: Order) -> Order:
    """Take an order."""
    with OUTBOX.open("a") as outbox:
        outbox.write(json.dumps(wanted.model_dump()) + "\n")
    return wanted
