"""What the other libraries have."""

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import requests
from fastapi import Request


async def copies_elsewhere(request: Request, isbn: str) -> int:
    """Count the copies on other libraries' shelves."""
    answer = requests.get(f"{request.app.state.consortium}/copies/{isbn}", timeout=10)
    answer.raise_for_status()
    return answer.json()["copies"]


def cover(base: str, isbn: str) -> str:
    """Describe the cover; slow."""
    connection = HTTPConnection(urlsplit(base).netloc, timeout=10)
    try:
        connection.request("GET", f"/covers/{isbn}")
        return json.loads(connection.getresponse().read())["cover"]
    finally:
        connection.close()
