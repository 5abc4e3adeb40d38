"""For those who write."""

import os
import secrets
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

router = APIRouter(tags=["internal"])
INBOX = Path(__file__).parent.parent / "letters.jsonl"
TOKEN = os.environ.get("NEWSROOM_TOKEN") or secrets.token_hex()


class Letter(BaseModel):
    """What a reader has to say."""

    name: str = Field(examples=["A. Reader"])
    text: str = Field(examples=["You forgot the bridge."], max_length=2000)


async def editor(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
    """Let editors in."""
    if not secrets.compare_digest(bearer.credentials, TOKEN):
        raise HTTPException(401, "not an editor")


@router.get("/drafts", dependencies=[Depends(editor)])
async def drafts() -> list[str]:
    """List what is not yet printed."""
    return ["bridge", "budget"]


@router.post("/letters", status_code=202)
async def letter(received: Letter) -> dict[str, str]:
    """Take a letter to the editor."""
    with INBOX.open("a", encoding="utf-8") as inbox:
        inbox.write(received.model_dump_json() + "\n")
    return {"thanks": received.name}
