"""The shop: catalogue, quotes, stock and orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

import supplier
from admin import admin
from pricing import quotes
from routers import live, orders, products, stock
from store import database


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open the supplier's line and the stock database for as long as the shop is open."""
    async with supplier.running() as port:
        quotes.connect(port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield {"client": client, "stock": database.opened()}


app = FastAPI(title="shop", lifespan=lifespan)
app.include_router(products.router, prefix="/api/v1")
app.include_router(stock.router, prefix="/api/v1")
app.include_router(orders.router, prefix="/api/v1")
app.include_router(live.router, prefix="/api/v1")
app.mount("/admin", admin)
