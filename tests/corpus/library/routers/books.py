"""The catalogue."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import neighbours
import storage

router = APIRouter(prefix="/books", tags=["books"])
Isbn = Annotated[str, Path(pattern=r"^978\d{10}$", examples=["9780000000123"])]


class Book(BaseModel):
    """A title of the catalogue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"isbn": "9780000000123", "title": "A title", "subjects": ["sea"]}]})

    isbn: str
    title: str
    subjects: list[str]


@router.get("")
async def catalogue(limit: Annotated[int, Query(ge=1, le=1000)] = 500) -> list[Book]:
    """List the catalogue."""
    return [Book(isbn=f"978{number:010d}", title=f"Volume {number}", subjects=["sea", "travel"]) for number in range(limit)]


@router.get("/{isbn}/history")
async def history(isbn: Isbn, session: Annotated[Session, Depends(storage.session)]) -> dict[str, int]:
    """Count how often a book came back late."""
    query = select(func.count()).where(storage.Loan.isbn == isbn, storage.Loan.remark.like("%rather late%"))
    return {"late": session.scalar(query)}


@router.get("/{isbn}/copies")
async def copies(isbn: Isbn, elsewhere: Annotated[int, Depends(neighbours.copies_elsewhere)]) -> dict[str, int | str]:
    """Count the copies, here and elsewhere."""
    return {"isbn": isbn, "here": 1, "elsewhere": elsewhere}


@router.get("/{isbn}/similar")
async def similar(isbn: Isbn, request: Request) -> list[str]:
    """Recommend what others read: three shelves, asked one after the other."""
    found = []
    for shelf in ("novels", "travel", "science"):
        async with request.app.state.http.get(f"/similar/{shelf}") as answer:
            found.append(f"{isbn}-{shelf}-{(await answer.json())['copies']}")
    return found


@router.get("/{isbn}/cover")
async def cover(isbn: Isbn, request: Request) -> dict[str, str]:
    """Describe the cover."""
    return {"cover": await asyncio.to_thread(neighbours.cover, request.app.state.consortium, isbn)}
