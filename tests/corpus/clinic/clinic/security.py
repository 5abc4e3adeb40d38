"""Who may come in."""

import json
from typing import Annotated
from urllib.request import urlopen

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

bearer = HTTPBearer(auto_error=False)


async def require_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """Name whoever holds the token."""
    if credentials is None or credentials.credentials != "clinic-token":
        raise HTTPException(401, "log in first", headers={"WWW-Authenticate": "Bearer"})
    return "reception"


def fetch_keys(port: int) -> list[str]:
    """Public keys that records are signed with."""
    with urlopen(f"http://127.0.0.1:{port}/keys", timeout=10) as answer:
        return json.load(answer)["keys"]


async def signed_by(request: Request, user: Annotated[str, Depends(require_token)]) -> str:
    """Make sure that the user's key is known."""
    if "k1" not in fetch_keys(request.app.state.keys):
        raise HTTPException(403, "unknown key")
    return user
