"""Prices as they change."""

import asyncio

from fastapi import APIRouter, WebSocket

router = APIRouter()


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Send the price once a second."""
    await socket.accept()
    while True:
        await socket.send_json({"price": 9.5})
        await asyncio.sleep(1)
