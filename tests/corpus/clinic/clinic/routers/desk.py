"""What the reception asks for."""

import asyncio
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator

from clinic.journal import ring
from clinic.security import require_token, signed_by

router = APIRouter()


class Specialty(StrEnum):
    """What doctors are good at."""

    HEART = "heart"
    SKIN = "skin"


def with_check_digits(code: str) -> str:
    """Refuse a code whose check digits are wrong."""
    if 97 - int(code[3:11]) % 97 != int(code[12:]):
        raise ValueError("wrong check digits")
    return code


@router.get("/me")
def me(user: Annotated[str, Depends(require_token)]) -> dict[str, str]:
    """Say who is logged in."""
    return {"user": user}


@router.get("/patients/{patient_id}")
async def patient(
    patient_id: Annotated[int, Path(ge=1, examples=[17])], user: Annotated[str, Depends(signed_by)]
) -> dict[str, object]:
    """Show a patient's record."""
    await asyncio.sleep(0.005)
    return {"patient": patient_id, "seen_by": user}


@router.get("/doctors")
async def doctors(specialty: Specialty, page: int = 1) -> dict[str, object]:
    """Find doctors."""
    await asyncio.sleep(0.12)
    return {"specialty": specialty, "page": page, "doctors": ["Grey", "House"]}


@router.get("/appointments")
async def appointments(request: Request) -> list[str]:
    """Read the one calendar."""
    async with request.app.state.calendar:
        await asyncio.sleep(0.1)
    return ["09:00", "09:20"]


@router.get("/prescriptions")
async def prescription(
    code: Annotated[str, Query(pattern=r"^RX-\d{8}-\d{2}$"), AfterValidator(with_check_digits)],
) -> dict[str, str]:
    """Look a prescription up."""
    return {"code": code}


@router.post("/bell")
async def bell(room: str = "1") -> dict[str, str]:
    """Call a nurse."""
    ring(room)
    return {"called": room}
