"""What the vans measured yesterday."""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from fastapi import APIRouter, Query

router = APIRouter(tags=["telemetry"])
FRAMES: dict[str, pd.DataFrame] = {}


def load(rows: int = 2_000_000) -> None:
    """Load yesterday's measurements."""
    random = np.random.default_rng(7)
    FRAMES["yesterday"] = pd.DataFrame(
        {
            "vehicle": random.integers(1, 81, rows),
            "hour": random.integers(0, 24, rows),
            "speed": random.normal(60, 15, rows),
            "fuel": random.normal(9, 2, rows),
        }
    )


@router.get("/summary")
async def summary(measure: Annotated[Literal["speed", "fuel"], Query()] = "speed") -> dict[int, float]:
    """Average of each hour, over all vans."""
    frame = FRAMES["yesterday"]
    means = frame.groupby(["vehicle", "hour"])[measure].mean()
    return means.groupby("hour").mean().round(2).to_dict()
