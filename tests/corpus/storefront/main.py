"""The storefront's API."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosqlite
import database
import httpx
from clients import RatesClient, WarehouseClient
from fastapi import FastAPI
from partners import sandbox
from routers import catalog, orders


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what all requests share."""
    database.create_tables()
    with sandbox() as partners:
        async with httpx.AsyncClient(base_url=partners) as http, aiosqlite.connect(database.PATH) as reviews:
            await reviews.create_function("latency", 1, time.sleep)
            app.state.partners = partners
            app.state.rates = RatesClient(partners)
            app.state.warehouse = WarehouseClient(http)
            app.state.reviews = reviews
            yield
    database.close()


app = FastAPI(title="Storefront", lifespan=lifespan)
app.include_router(catalog.router)
app.include_router(orders.router)
