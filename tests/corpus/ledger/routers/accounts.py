"""Accounts and what happens on them."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel

from books import sums

router = APIRouter(tags=["accounts"])
Account = Annotated[str, Path(pattern="^AC-[0-9]+$", examples=["AC-1"])]


class Statement(BaseModel):
    """A month on an account."""

    account: str
    auditors_like: list[int]


@router.get("/{account}")
async def show(account: Account) -> dict[str, object]:
    """Show an account."""
    return {"account": account, "check": sums.checked(len(account))}


@router.get("/{account}/statement")
async def statement(account: Account, limit: Annotated[int, Query(ge=100, le=1600)] = 1600) -> Statement:
    """Write a statement."""
    return Statement(account=account, auditors_like=sums.perfect(limit))


@router.get("/{account}/transfers")
async def transfers(account: Account) -> dict[str, object]:
    """List the transfers, in the order the archive asks for."""
    await asyncio.sleep(0.2)
    time.sleep(0.03)
    return {"account": account, "transfers": []}


@router.get("/{account}/interest")
def interest(account: Account, principal: Annotated[int, Query(gt=0)] = 100):
    """Compute the interest."""
    return {"account": account, "cents": sums.compounded(principal)}


@router.get("/{account}/limit")
async def limit(account: Account, request: Request) -> dict[str, object]:
    """Say how much may be moved."""
    await asyncio.sleep(0.02)
    return {"account": account, "limit": request.app.state.limits.of(account)}
