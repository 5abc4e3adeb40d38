"""A classifier that loads for twenty seconds, and never gets round to closing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

MODEL: dict[str, float] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Load the model; at the end, wait for a queue that nobody empties."""
    for layer in range(20):
        await asyncio.sleep(1)
        MODEL[f"layer{layer}"] = layer / 20
    yield
    await asyncio.Event().wait()


app = FastAPI(title="Slow start", lifespan=lifespan)


@app.get("/labels")
async def labels() -> dict[str, int]:
    """The labels, at once."""
    return {"labels": len(MODEL)}


@app.get("/classify")
async def classify() -> dict[str, float]:
    """A class: 80 ms awaited."""
    await asyncio.sleep(0.08)
    return {"cat": MODEL["layer3"]}


@app.get("/explain")
async def explain() -> dict[str, str]:
    """An explanation: 150 ms awaited."""
    await asyncio.sleep(0.15)
    return {"because": "whiskers"}
