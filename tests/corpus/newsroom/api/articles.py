"""Articles, for readers."""

from typing import Annotated

import httpx
from fastapi import APIRouter, BackgroundTasks, Path, Query, Request
from pydantic import BaseModel, Field, field_validator

from desk import agency
from desk.cache import Fresh

router = APIRouter(tags=["articles"])
FRONT = Fresh(lambda: agency.ask("/front"))


class Archived(BaseModel):
    """What to look for in the archive."""

    section: str = Field(default="politics", validate_default=True, examples=["politics"])
    year: int = Field(default=2025, ge=1900)

    @field_validator("section")
    @classmethod
    def exists(cls, section: str) -> str:
        """Accept the sections that the agency knows today."""
        if section not in agency.ask("/sections"):
            raise ValueError("no such section")
        return section


class Article(BaseModel):
    """Something to read."""

    slug: str
    text: str


@router.get("/front")
async def front() -> list[str]:
    """Show the front page."""
    return FRONT.read()


@router.get("/articles/{slug}")
async def article(
    slug: Annotated[str, Path(pattern="^[a-z-]+$", openapi_examples={"storm": {"value": "harbour-reopened"}})],
    request: Request,
    tasks: BackgroundTasks,
) -> Article:
    """Show an article, and tell the agency afterwards that it was read."""
    tasks.add_task(count, request.state.agency, slug)
    return Article(slug=slug, text="The harbour was reopened on Tuesday. " * 20)


async def count(client: httpx.AsyncClient, slug: str) -> None:
    """Count a reading."""
    await client.get(f"/reads/{slug}")


@router.get("/archive")
def archive(wanted: Annotated[Archived, Query()]) -> list[str]:
    """Look into the archive."""
    return [f"{wanted.section}-{wanted.year}-{number}" for number in range(3)]
