"""Pages for people."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

router = APIRouter()


class Terms(BaseModel):
    """What callers agree to."""

    version: int
    text: str


@router.get("/terms", response_model=Terms)
async def terms():
    """Show the terms."""
    return HTMLResponse("<!doctype html><title>Terms</title><p>Under construction.</p>")
