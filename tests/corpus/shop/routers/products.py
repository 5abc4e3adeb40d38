"""What the shop sells, and for how much."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel

from pricing import quotes

router = APIRouter(tags=["products"])


class Category(StrEnum):
    """Shelves of the shop."""

    BOOKS = "books"
    GAMES = "games"


class Product(BaseModel):
    """One thing to buy."""

    sku: str
    price: float


@router.get("/products")
async def shelf(category: Category, limit: Annotated[int, Query(ge=1, le=50)] = 3) -> list[Product]:
    """Show a shelf."""
    return [Product(sku=f"{category[:3].upper()}-{1000 + number}", price=9.5) for number in range(limit)]


@router.get("/products/{product_id}")
async def product(product_id: Annotated[int, Path(gt=999, examples=[1042])], request: Request) -> Product:
    """Show one product with the supplier's price."""
    answer = await request.state.client.get(f"/products/{product_id}")
    return Product(sku=f"BOO-{product_id}", price=answer.json()["price"])


@router.get("/quotes/{sku}")
async def quote(sku: Annotated[str, Path(pattern=r"^[A-Z]{3}-\d{4}$", examples=["BOO-1042"])], pieces: int = 10) -> Product:
    """Offer a price for many pieces."""
    return Product(sku=sku, price=quotes.offer(sku, pieces))
