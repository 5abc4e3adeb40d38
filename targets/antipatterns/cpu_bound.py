"""Computations on the event loop, in threads, in processes, and saved."""

import functools
import re

from fastapi import APIRouter, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from targets.child_processes import compute_chain, hash_password

ROUNDS, HASH_ROUNDS = 300_000, 130_000  # about 30 ms each
SEARCHED_NAME = "a" * 20 + "!"
CATASTROPHIC, BOUNDED = re.compile(r"(a+)+"), re.compile(r"a{1,64}")
ROWS = [{"product": number, "row": number + 1} for number in range(6000)]
ENCODED_ROWS = JSONResponse(ROWS).body
KNOWN_BADGES = functools.lru_cache(1000)(hash_password)

router = APIRouter()


@router.get("/risk/busy")
async def risk_busy() -> int:
    """Compute on the event loop."""
    return compute_chain(ROUNDS)


@router.get("/risk/threads", response_model=None)
def risk_threads() -> int:
    """Compute in threads: the loop goes on, but the GIL lets one thread run at a time."""
    return compute_chain(ROUNDS)


@router.get("/risk")
async def risk(request: Request) -> int:
    """Compute in another process."""
    return await request.app.state.in_pool(compute_chain, ROUNDS)  # type: ignore[no-any-return]


@router.get("/login/busy")
async def login_busy() -> str:
    """Hash a password on the event loop."""
    return hash_password(HASH_ROUNDS)


@router.get("/login")
async def login(request: Request) -> str:
    """Hash it in one of as many threads as cores: the C code releases the GIL."""
    return await request.app.state.in_cores(  # type: ignore[no-any-return]
        hash_password, HASH_ROUNDS
    )


@router.get("/badge/hashed")
def badge_hashed() -> str:
    """Hash a password for each request, in threads: the loop is free, but the core is full."""
    return hash_password(HASH_ROUNDS)


@router.get("/badge")
def badge() -> str:
    """Hash it once, and remember the result."""
    return KNOWN_BADGES(HASH_ROUNDS)


@router.get("/search/busy")
async def search_busy() -> bool:
    """Match a pattern that tries every way to split a name."""
    return CATASTROPHIC.fullmatch(SEARCHED_NAME) is not None


@router.get("/search")
async def search() -> bool:
    """Match a bounded pattern, which can match in only one way."""
    return BOUNDED.fullmatch(SEARCHED_NAME) is not None


@router.get("/export/busy")
async def export_busy() -> Response:
    """Encode a long answer on the event loop, once per request."""
    return JSONResponse(jsonable_encoder(ROWS))


@router.get("/export")
async def export() -> Response:
    """Send bytes that were encoded once."""
    return Response(ENCODED_ROWS, media_type="application/json")
