"""Neighbour routes, an `async` and a `def` one, which other load can slow down, and no-op routes.

None of them waits: a slow neighbour shows that another route holds the event loop or takes all
threads. The no-op routes show the cost of a request.
"""

from fastapi import APIRouter

router = APIRouter(tags=["neighbours"])


@router.get("/neighbour/async", response_model=None)
async def neighbour_async() -> dict[str, str]:
    """Run on the event loop: slow only when another route holds the loop."""
    return {"neighbour": "async"}


@router.get("/neighbour/def", response_model=None)
def neighbour_def() -> dict[str, str]:
    """Run in the thread pool: slow also when all threads are taken."""
    return {"neighbour": "def"}


@router.get("/noop/async", response_model=None)
async def noop_async() -> None:
    """Do nothing on the event loop: the cheapest request this stack can serve."""


@router.get("/noop/def", response_model=None)
def noop_def() -> None:
    """Do nothing in a thread: the same, and one hop into the thread pool and back."""
