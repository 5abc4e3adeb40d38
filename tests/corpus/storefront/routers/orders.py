"""Orders: numbers for the back office, and shipping."""

from typing import Annotated

from clients import carrier_quotes
from database import SessionLocal, open_session
from fastapi import APIRouter, Depends, Request
from repository import totals_by_region
from sqlalchemy.orm import Session

router = APIRouter(tags=["orders"])


@router.get("/orders/report")
async def report(session: Annotated[Session, Depends(open_session)]) -> dict[str, float]:
    """Totals by region."""
    return totals_by_region(session, wait=0.1)


@router.get("/orders/summary")
def summary() -> dict[str, float]:
    """Total of everything."""
    with SessionLocal() as session:
        totals = totals_by_region(session, wait=0.2)
    return {"total": sum(totals.values())}


@router.get("/shipping/quotes")
def quotes(request: Request, weight: float = 1.5) -> dict[str, float]:
    """What the carriers ask for a parcel."""
    return carrier_quotes(request.app.state.partners, weight)
