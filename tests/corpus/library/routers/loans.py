"""Borrowing."""

from pathlib import Path
from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

router = APIRouter(prefix="/loans", tags=["loans"])
LEDGER = Path(__file__).parent.parent / "loans.jsonl"
OPEN: dict[UUID, "Loan"] = {}


class Loan(BaseModel):
    """A book that somebody takes home."""

    isbn: str = Field(examples=["9780000000123"])
    card: str = Field(examples=["C-1042"])


@router.post("", status_code=201)
def lend(loan: Loan) -> UUID:
    """Lend a book."""
    number = uuid4()
    OPEN[number] = loan
    with LEDGER.open("a", encoding="utf-8") as ledger:
        ledger.write(loan.model_dump_json() + "\n")
    return number


@router.get("/{loan_id}")
async def loan(loan_id: UUID) -> Loan:
    """Show an open loan."""
    if loan_id not in OPEN:
        raise HTTPException(404, "no such loan")
    return OPEN[loan_id]
