"""A desk for returned goods: a POST with a body, named to the doctor, among routes that are not."""

import asyncio
import time
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI(title="Returns")
BOOK = Path(__file__).with_name("returns.txt")
INSPECTORS = asyncio.Semaphore(3)


class Parcel(BaseModel):
    """What comes back."""

    sku: str = Field(examples=["A-17"])
    weight: float = Field(gt=0, examples=[1.5])


@app.post("/quotes")
def quote(parcel: Parcel) -> dict[str, float]:
    """What a return would cost: a thread asks the carrier, 70 ms."""
    time.sleep(0.07)
    return {"price": 2 * parcel.weight}


@app.put("/returns/{sku}")
async def put_return(sku: str) -> dict[str, str]:
    """Book a return."""
    with BOOK.open("a", encoding="utf-8") as file:
        file.write(f"{sku}\n")
    return {"sku": sku}


@app.delete("/returns/{sku}")
async def delete_return(sku: str) -> dict[str, str]:
    """Cancel a return."""
    with BOOK.open("a", encoding="utf-8") as file:
        file.write(f"not {sku}\n")
    return {"sku": sku}


@app.get("/returns/{sku}")
async def get_return(sku: str) -> dict[str, str]:
    """A return: 50 ms awaited."""
    await asyncio.sleep(0.05)
    return {"sku": sku, "state": "on its way"}


@app.get("/inspections")
async def inspections() -> dict[str, int]:
    """One of three inspectors looks at it for 80 ms."""
    async with INSPECTORS:
        await asyncio.sleep(0.08)
    return {"inspectors": 3}
