"""Products, their prices, stock and reviews."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from repository import average_stars

router = APIRouter(prefix="/products", tags=["catalog"])
ProductId = Annotated[int, Path(ge=1, le=20)]


class Product(BaseModel):
    """What the shop sells."""

    id: int
    name: str
    price: float


PRODUCTS = {number: Product(id=number, name=f"Lamp No. {number}", price=19.0 + number) for number in range(1, 21)}


@router.get("")
async def products(limit: int = 10) -> list[Product]:
    """List what we sell."""
    return list(PRODUCTS.values())[:limit]


@router.get("/{product_id}/price")
async def price(product_id: ProductId, request: Request, currency: str = "usd") -> dict[str, float]:
    """Quote a price in another currency."""
    rate = request.app.state.rates.latest(currency)
    return {currency: round(PRODUCTS[product_id].price * rate, 2)}


@router.get("/{product_id}/stock")
async def stock(product_id: ProductId, request: Request) -> dict[str, Any]:
    """How many the warehouse has."""
    return dict(await request.app.state.warehouse.stock(product_id))


@router.get("/{product_id}/reviews")
async def reviews(product_id: ProductId, request: Request) -> dict[str, float]:
    """Average rating."""
    return {"stars": await average_stars(request.app.state.reviews, product_id)}
