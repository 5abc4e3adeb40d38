"""Thumbnails, made by a program of the system."""

import subprocess
from typing import Annotated

from fastapi import APIRouter, Path

router = APIRouter()


def convert(name: str) -> str:
    """Run the converter; on this machine a placeholder stands in for it."""
    subprocess.run(["sleep", "0.1"], check=True)
    return f"{name}.thumb.png"


@router.get("/images/{name}/thumbnail")
async def thumbnail(name: Annotated[str, Path(examples=["cat"])]) -> dict[str, str]:
    """Make a thumbnail."""
    return {"file": convert(name)}
