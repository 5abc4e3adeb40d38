"""The bundled variants, with a clock 5 ms ahead and one failure in fifty requests once warm."""

import asyncio
import itertools
import time

from fastapi import HTTPException

from targets.agent import probe
from targets.lesson.waiting import Seconds
from tests.support.faulty_apps import app_with

numbers = itertools.count()
probe.clock_ns = lambda: time.perf_counter_ns() + 5_000_000


async def sometimes_fails(seconds: Seconds = 0.1) -> dict[str, float]:
    """Two per cent errors."""
    await asyncio.sleep(seconds)
    if next(numbers) % 50 == 49:
        raise HTTPException(500, "planted")
    return {"waited": seconds}


app = app_with("/async", sometimes_fails)
