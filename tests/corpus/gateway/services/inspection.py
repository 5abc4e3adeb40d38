"""Looks at what callers say they are."""

import re
from typing import Annotated

from fastapi import APIRouter, Query

router = APIRouter()
PRODUCTS = re.compile(r"^(\w+\s?)+;$")


@router.get("/agents")
async def agent(said: Annotated[str, Query(max_length=64, examples=["MozillaCompatibleXYZ"])]) -> dict[str, bool]:
    """Tell whether the agent names its products properly."""
    proper = PRODUCTS.match(said)
    return {"proper": proper is not None}
