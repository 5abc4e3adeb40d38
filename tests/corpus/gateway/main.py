"""The gateway in front of a few older services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from middleware.legacy import LegacyAccounts
from middleware.stamp import Stamp
from services import backend, inspection, images, names, pages, status


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one client to the services behind."""
    async with backend.running() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield {"client": client}


app = FastAPI(title="gateway", openapi_url=None, lifespan=lifespan)
for module in (status, names, images, inspection, pages):
    app.include_router(module.router)
app.add_middleware(Stamp)
app.add_middleware(LegacyAccounts, prefix="/legacy")
