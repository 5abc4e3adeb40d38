"""Documents: previews, metadata, search."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import library
from converter import PdfConverter, preview
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from metadata import ExifTool
from thumbnails import histogram
from tokens import cost

DocumentId = Annotated[int, Path(ge=1, le=10)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the helpers."""
    with ExifTool() as app.state.exiftool:
        app.state.converter = PdfConverter()
        yield


app = FastAPI(title="Documents", lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell the balancer that we are here."""
    return {"status": "ok"}


@app.get("/search")
async def search(q: Annotated[str, Query(max_length=80)] = "minutes of spring 2023 2024?") -> dict[str, Any]:
    """Find documents."""
    return library.search(q)


@app.get("/documents")
async def documents(copies: Annotated[int, Query(ge=1, le=1000)] = 700) -> Response:
    """Everything we hold, for the archive's nightly job."""
    return Response(library.dump(copies), media_type="application/json")


@app.get("/documents/{document_id}/outline")
async def outline(document_id: DocumentId) -> list[str]:
    """What the document is about."""
    return library.outline(document_id)


@app.get("/documents/{document_id}/tokens")
async def tokens(document_id: DocumentId) -> dict[str, float]:
    """What it would cost to summarise it."""
    return cost(library.TEXTS[document_id])


@app.get("/documents/{document_id}/preview")
async def first_page(document_id: DocumentId) -> dict[str, str]:
    """Render the first page."""
    return {"preview": preview(f"document-{document_id}.odt")}


@app.get("/documents/{document_id}/pdf")
async def pdf(document_id: DocumentId, request: Request) -> dict[str, str]:
    """Render the whole document."""
    return {"pdf": await request.app.state.converter.convert(f"document-{document_id}.odt")}


@app.get("/documents/{document_id}/metadata")
async def metadata(document_id: DocumentId, request: Request) -> dict[str, Any]:
    """What the file says about itself."""
    return dict(request.app.state.exiftool.read(f"document-{document_id}.pdf"))


@app.get("/documents/{document_id}/thumbnail")
def thumbnail(document_id: DocumentId) -> list[int]:
    """A histogram of the first page."""
    return histogram(document_id)


@app.get("/documents/{document_id}/download")
async def download(document_id: DocumentId) -> StreamingResponse:
    """The text, page by page."""

    async def pages() -> AsyncIterator[str]:
        for start in range(0, len(library.TEXTS[document_id]), 1000):
            yield library.TEXTS[document_id][start : start + 1000]
            await asyncio.sleep(0.05)

    return StreamingResponse(pages(), media_type="text/plain")
