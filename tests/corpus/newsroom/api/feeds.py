"""Headlines, feeds and searches."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

from fastapi import APIRouter, Depends, Query, Request

from desk import agency

router = APIRouter(tags=["feeds"])
WORDS = ["harbour", "storm", "vote", "budget", "school", "bridge", "summer", "market", "strike", "river", "museum", "coach"]


@router.get("/headlines")
async def headlines(top: Annotated[int, Query(ge=1, le=20)] = 5) -> list[str]:
    """Rank what today's lines speak of."""
    lines = [f"{WORDS[number % 12]} {WORDS[number * 5 % 11]} {WORDS[number * 7 % 9]}" for number in range(2000)]
    words = Counter(word for line in lines for word in line.split())
    return [word for word, _times in words.most_common(top)]


def template() -> Iterator[TextIO]:
    """Open the feed's template, and close it afterwards."""
    with Path(__file__).with_name("__init__.py").open(encoding="utf-8") as opened:
        yield opened


@router.get("/feed")
async def feed(request: Request, page: Annotated[TextIO, Depends(template)]) -> dict[str, str | list[str]]:
    """Fetch the agency's feed and fill it in."""
    answer = await request.state.agency.get("/feed")
    return {"title": page.readline().strip(), "lines": answer.json()}


@router.get("/search")
async def search(request: Request, q: Annotated[str, Query(min_length=2, examples=["storm"])]) -> list[str]:
    """Search the agency's archive, whose client cannot await: three threads do it."""
    loop = asyncio.get_running_loop()
    return [f"{q} in {section}" for section in await loop.run_in_executor(request.state.searchers, agency.ask, "/find")]


@router.get("/latest")
async def latest(request: Request) -> dict[str, str]:
    """Show the latest line of the wire."""
    return {"line": await request.state.wire.latest()}
