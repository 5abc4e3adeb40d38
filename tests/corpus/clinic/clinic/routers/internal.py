"""For the clinic's own tools."""

from fastapi import APIRouter, Request

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.get("/audit")
async def audit(request: Request) -> dict[str, int]:
    """Note that the journal was looked at."""
    return {"entries": request.app.state.journal.note("looked at")}
