"""An assistant: chat, retrieval, tools."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from backend import model_server
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from gateway import Gateway
from journal import Journal
from prompts import render, summarise
from tools.weather import forecast


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what all requests share."""
    with model_server() as base_url:
        async with httpx.AsyncClient(base_url=base_url, timeout=30) as http:
            app.state.gateway = Gateway(http, base_url)
            app.state.journal = Journal()
            yield


app = FastAPI(title="Assistant", lifespan=lifespan)


def get_gateway(request: Request) -> Gateway:
    """Hand out the gateway."""
    return request.app.state.gateway  # type: ignore[no-any-return]


Model = Annotated[Gateway, Depends(get_gateway)]


@app.get("/")
async def root() -> dict[str, str]:
    """Say hello."""
    return {"service": "assistant"}


@app.get("/chat")
async def chat(gateway: Model, prompt: str = "What is the answer?") -> dict[str, str]:
    """Complete a prompt."""
    return {"answer": await gateway.chat(prompt)}


@app.get("/embeddings")
async def embeddings(gateway: Model, text: str = "hello") -> list[float]:
    """Embed a text."""
    return await gateway.embed(text)


@app.get("/models")
async def models(gateway: Model) -> list[str]:
    """List the models."""
    return await gateway.models()


@app.get("/retrieval")
async def retrieval(gateway: Model, text: str = "hello") -> list[dict[str, Any]]:
    """Find the nearest notes."""
    return await asyncio.to_thread(gateway.search, text)


@app.get("/limits")
async def limits(gateway: Model) -> dict[str, int]:
    """What the model server allows."""
    return dict(await gateway.ask("/limits"))


@app.get("/prompts/render")
async def prompt(question: str = "What is the answer?", sources: Annotated[int, Query(le=2000)] = 1000) -> dict[str, int]:
    """How long the prompt will be."""
    return {"characters": len(render(question, sources))}


@app.get("/summary")
async def summary(text: str = "A long text about many things that somebody should really read") -> dict[str, str]:
    """Shorten a text."""
    return {"summary": f"{summarise(text)}", "length": str(len(text))}


@app.get("/tools/weather")
async def weather(city: str = "hamburg") -> dict[str, Any]:
    """Call the weather tool."""
    return forecast(city)


@app.get("/usage")
async def usage(request: Request) -> dict[str, int]:
    """Note this call, then say what was used so far."""
    journal: Journal = request.app.state.journal
    await asyncio.to_thread(journal.append, 10)
    with journal.lock:
        return {"tokens": journal.tokens, "calls": journal.calls}


@app.get("/stream")
async def stream(prompt: str = "Count to five") -> StreamingResponse:
    """Complete a prompt, word by word."""

    async def words() -> AsyncIterator[str]:
        for word in [*prompt.split(), "[DONE]"]:
            yield f"data: {word}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(words(), media_type="text/event-stream")
