"""The API, version 2: every route wants a key."""

import asyncio
import secrets
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request

from bank.models import Money, Statement, Transfer
from bank.plumbing import BankError, NamedRoute
from bank.repository import Accounts
from bank.services import Exchange, Signer, Statements, Tariffs, audited

AccountId = Annotated[str, Path(pattern=r"^NL-\d{4}$", examples=["NL-4001"])]


async def keyed(request: Request, x_api_key: Annotated[str, Header()] = "") -> None:
    """Send away whoever has no key."""
    if not secrets.compare_digest(x_api_key.encode(), request.app.state.settings.api_key.encode()):
        raise HTTPException(401, "a key is needed")


v2 = APIRouter(prefix="/v2", dependencies=[Depends(keyed)], route_class=NamedRoute)
accounts = APIRouter(prefix="/accounts/{account_id}", route_class=NamedRoute)
partners = APIRouter(prefix="/partners", route_class=NamedRoute)


class Partner(StrEnum):
    """Whom we work with."""

    NORTH = "north"
    SOUTH = "south"


@accounts.get("/balance")
async def balance(account_id: AccountId, rows: Annotated[Accounts, Depends(audited)]) -> Money:
    """Tell what is left."""
    return rows.left(account_id)


@accounts.get("/statement", response_model=Statement)
async def statement(account_id: AccountId, statements: Annotated[Statements, Depends()]):
    """Write a statement."""
    return await statements.write(account_id)


@v2.post("/transfers", status_code=201)
async def transfer(wanted: Transfer, request: Request) -> Transfer:
    """Move money."""
    request.app.state.accounts.move(wanted)
    return wanted


@v2.get("/receipts/{receipt_id}")
async def receipt(receipt_id: Annotated[str, Path(pattern="^rcp_[0-9a-f]{24}$")]) -> Transfer:
    """Show the receipt of a transfer made since the start."""
    raise BankError(404, receipt_id)


@v2.get("/fees")
async def fee(tariffs: Annotated[Tariffs, Depends()], cents: Annotated[int, Query(ge=1)] = 12_000) -> Money:
    """Tell the fee of an amount."""
    return await tariffs.fee(cents)


@v2.get("/rates")
async def rate(exchange: Annotated[Exchange, Depends()], currency: str = "CHF") -> dict[str, float]:
    """Tell the rate of a currency."""
    return {currency: await exchange.rate(currency)}


@v2.get("/signatures")
async def signature(signer: Annotated[Signer, Depends()], reference: str = "INV-2025-17") -> dict[str, str]:
    """Sign a reference."""
    return {reference: signer.sign(reference)}


@v2.get("/quotas")
async def quotas(request: Request) -> dict[str, int]:
    """Tell what may still be spent today; only a few may ask at once."""
    async with request.app.state.gate:
        await asyncio.sleep(0.08)
        return {"card": 250_000, "wire": 1_000_000}


async def _call(number: int, attempt: int = 1) -> str:
    await asyncio.sleep(0.03 + 0.002 * number)
    if not attempt:
        raise ConnectionError("asleep")
    return f"partner {number} is awake"


@partners.get("")
async def everybody() -> list[str]:
    """Ask ten partners together."""
    return await asyncio.gather(*(_call(number) for number in range(10)))


@partners.get("/{partner}/health")
async def health(partner: Partner) -> dict[Partner, str]:
    """Ask one partner; the first call always wakes it up, so ask again a little later."""
    for attempt in range(3):
        try:
            return {partner: await _call(1, attempt)}
        except ConnectionError:
            await asyncio.sleep(0.04 * 2**attempt)
    raise BankError(503, partner)


v2.include_router(accounts)
v2.include_router(partners)
