"""What goes over the wire, and what can be set from outside."""

import os
from dataclasses import dataclass, field
from datetime import date

from pydantic import BaseModel, Field


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one app."""

    api_key: str = field(default_factory=lambda: os.environ.get("BANK_API_KEY", "till-7"))
    salt: bytes = b"counting-house"
    quotas_at_once: int = 6
    exports_at_once: int = 4


class Money(BaseModel):
    """An amount in cents."""

    cents: int
    currency: str = Field(default="EUR", min_length=3, max_length=3)


class Posting(BaseModel):
    """One line of a statement."""

    day: date
    amount: Money
    tags: list[str] = []


class Page(BaseModel):
    """Some lines of a statement, with what was there before."""

    opening: Money
    postings: list[Posting]


class Statement(BaseModel):
    """A whole statement."""

    account: str
    pages: list[Page]
    interest: Money


class Transfer(BaseModel):
    """Money that wants to go elsewhere."""

    source: str = Field(examples=["NL-4001"])
    target: str = Field(examples=["NL-4002"])
    amount: Money = Money(cents=100)
