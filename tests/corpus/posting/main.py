"""An office of enquiries: one POST, which only looks things up, among its GETs."""

import asyncio
import time
from pathlib import Path

from fastapi import FastAPI

app = FastAPI(title="Posting")
OUTBOX = Path(__file__).with_name("outbox.txt")


@app.post("/enquiries")
async def enquire(topic: str = "parking") -> dict[str, str]:
    """Ask: 60 ms awaited; changes nothing."""
    await asyncio.sleep(0.06)
    return {"topic": topic, "answer": "yes"}


@app.post("/letters")
async def letters() -> dict[str, str]:
    """Send a letter, which cannot be taken back."""
    with OUTBOX.open("a", encoding="utf-8") as file:
        file.write("sent\n")
    return {"sent": "yes"}


@app.get("/topics")
async def topics() -> dict[str, int]:
    """The topics, at once."""
    return {"topics": 3}


@app.get("/desks")
def desks() -> dict[str, int]:
    """The desks: a thread waits 100 ms."""
    time.sleep(0.1)
    return {"desks": 6}


@app.get("/opening")
async def opening() -> dict[str, str]:
    """Opening hours, from a slow disk: 40 ms on the loop."""
    time.sleep(0.04)
    return {"opens": "9:00"}


@app.get("/waiting")
async def waiting() -> dict[str, int]:
    """Who waits: 90 ms awaited."""
    await asyncio.sleep(0.09)
    return {"waiting": 12}
