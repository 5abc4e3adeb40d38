"""What we ask the model server for, and how much of it at once."""

import asyncio
from typing import Any

import httpx
import requests

EMBEDDINGS_AT_ONCE = 8


class Gateway:
    """The model server's API."""

    def __init__(self, http: httpx.AsyncClient, base_url: str) -> None:
        self.http = http
        self.base_url = base_url
        self.embedding_slots = asyncio.Semaphore(EMBEDDINGS_AT_ONCE)
        self.catalogue = asyncio.Lock()

    async def ask(self, path: str, **params: str) -> Any:
        """One question, one answer."""
        response = await self.http.get(path, params=params)
        response.raise_for_status()
        return response.json()

    async def chat(self, prompt: str) -> str:
        """Complete a prompt."""
        return str((await self.ask("/chat", prompt=prompt))["content"])

    async def embed(self, text: str) -> list[float]:
        """Embed a text; the server answers 429 to more than a few of us."""
        async with self.embedding_slots:
            return list((await self.ask("/embeddings", text=text))["vector"])

    async def models(self) -> list[str]:
        """Refresh the list of models, one refresh at a time."""
        async with self.catalogue:
            return list((await self.ask("/models"))["models"])

    def search(self, text: str) -> list[dict[str, Any]]:
        """Nearest neighbours; the vector store's client has no async version."""
        response = requests.get(f"{self.base_url}/search", params={"text": text}, timeout=10)
        return list(response.json()["hits"])
