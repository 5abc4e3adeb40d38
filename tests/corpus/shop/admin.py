"""The back office, an app of its own."""

import time

from fastapi import FastAPI

admin = FastAPI(title="back office")


@admin.get("/health")
def health() -> dict[str, str]:
    """Say that the shop is open."""
    return {"status": "open"}


def wait_for_export(name: str, polls: int = 2) -> str:
    """Poll until the export is written."""
    for _ in range(polls):
        time.sleep(0.06)
    return f"{name}.csv"


@admin.get("/report")
async def report(name: str = "sales") -> dict[str, str]:
    """Name the file of the newest export."""
    return {"file": wait_for_export(name)}
