"""Rates and reports."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

router = APIRouter()


@router.get("/rates")
async def rate(currency: Annotated[str, Query(pattern="^(EUR|USD|CHF)$", examples=["CHF"])], request: Request) -> dict[str, float]:
    """Ask the bank for a rate."""
    bank = request.app.state.bank
    return {currency: await asyncio.get_running_loop().run_in_executor(bank.lines, bank.rate, currency)}


@router.get("/reports/daily")
async def daily() -> dict[str, str]:
    """Wait for the report of the day."""
    await asyncio.sleep(1)
    return {"report": "nothing happened"}
