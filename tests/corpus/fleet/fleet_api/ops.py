"""For those who keep the fleet running; an app of its own."""

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

ops = FastAPI(title="Fleet operations", docs_url=None)
router = APIRouter(prefix="/status")


class Status(BaseModel):
    """Whether the service is well."""

    healthy: bool
    release: str


@router.get("/live", response_model=Status)
def live() -> dict[str, bool | str]:
    """Say that the service lives."""
    return {"healthy": True, "release": "2026.2"}


ops.include_router(router)
