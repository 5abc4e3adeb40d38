"""Accounts: users, sessions, API keys, and the back office."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from audit import AuditMiddleware, CollectorHandler, trail
from dependencies import bearer, current_tenant, current_user
from directory import directory
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from keys import SigningKeys
from passwords import derive, matches


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what all requests share."""
    with directory() as base_url:
        async with httpx.AsyncClient(base_url=base_url) as http:
            handler = CollectorHandler(base_url)
            trail.setLevel(logging.INFO)
            trail.addHandler(handler)
            app.state.directory = base_url
            app.state.http = http
            app.state.keys = SigningKeys(base_url)
            app.state.api_key = derive("ak_demo")
            yield
            trail.removeHandler(handler)


app = FastAPI(title="Accounts", lifespan=lifespan)
app.add_middleware(AuditMiddleware)
router = APIRouter(dependencies=[Depends(bearer)])


@router.get("/me")
async def me(user: Annotated[str, Depends(current_user)]) -> dict[str, str]:
    """Who the token belongs to."""
    return {"user": user}


@router.get("/api-keys/verify")
async def verify(request: Request, key: str = "ak_demo") -> dict[str, bool]:
    """Tell a partner's gateway whether a key is good."""
    return {"valid": matches(key, request.app.state.api_key)}


@router.get("/profile")
async def profile(tenant: Annotated[dict[str, str], Depends(current_tenant)]) -> dict[str, str]:
    """Describe the tenant."""
    return tenant


@router.get("/sessions")
async def sessions(request: Request) -> list[dict[str, Any]]:
    """Where the user is logged in."""
    response = await request.app.state.http.get("/sessions")
    return list(response.json())


@router.get("/admin/users")
async def users(page: int = 1) -> dict[str, Any]:
    """List users for the back office."""
    return {"page": page, "users": ["ada", "grace", "barbara"]}


app.include_router(router)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell the balancer that we are here."""
    return {"status": "ok"}


@app.get("/version")
def version() -> dict[str, str]:
    """What is deployed."""
    return {"version": "2.4.1"}


@app.websocket("/notifications")
async def notifications(socket: WebSocket) -> None:
    """Greet; the rest is pushed by other services."""
    await socket.accept()
    await socket.send_json({"unread": 0})
    await socket.close()
