"""Reading a slow file in `async def`, in `def` and in a thread: all return the same answer.

The slow disk is a thread that writes slices into a named pipe (FIFO), one for each request. To read
it with `open` and `read` blocks in the operating system, as a network share does.
"""

import asyncio
import os
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, FastAPI, Request

from targets.lesson.waiting import Seconds

SLICE = bytes(range(256)) * 16
SLICE_COUNT = 8  # together they fit into any pipe, so that the disk never waits for its reader


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a folder for the slow files; remove it with the app."""
    with TemporaryDirectory(prefix="atonce-files-", ignore_cleanup_errors=True) as folder:
        app.state.slow_files = Path(folder)
        yield


router = APIRouter(tags=["files"], lifespan=lifespan)


@contextmanager
def slow_file(folder: Path, seconds: float) -> Iterator[Path]:
    """Create a file that takes `seconds` to read; file and disk are gone after the block."""
    path = folder / uuid4().hex
    os.mkfifo(path)
    try:
        # with a first reader, which never reads, neither disk nor real reader waits for the other
        # to open; once it is closed early, a disk that still writes stops
        with FileIO(path, opener=_open_nonblocking) as first, FileIO(path, "w") as file:
            disk = threading.Thread(target=write_slowly, args=(file, seconds))
            disk.start()
            try:
                yield path
            finally:
                first.close()
                disk.join()
    finally:
        path.unlink(missing_ok=True)


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # else it would wait for a writer


def write_slowly(file: FileIO, seconds: float) -> None:
    """Write a slice at a time, the last one after `seconds`, then the end of the file."""
    begin = time.perf_counter()
    with suppress(BrokenPipeError), file:
        for done in range(1, SLICE_COUNT + 1):
            time.sleep(max(0.0, begin + seconds * done / SLICE_COUNT - time.perf_counter()))
            file.write(SLICE)


def content_digest(content: bytes) -> dict[str, Any]:
    """Return the answer of every route: size and checksum of what it read."""
    return {"bytes": len(content), "crc32": zlib.crc32(content)}


@router.get("/file/broken-async", response_model=None)
async def file_in_async_def(request: Request, seconds: Seconds = 0.1) -> dict[str, Any]:
    """Read inside `async def`: the event loop stands still until the end of the file. 1 at once."""
    with (
        slow_file(request.app.state.slow_files, seconds) as path,
        open(path, "rb") as file,  # noqa: ASYNC230, PTH123 - the mistake itself
    ):
        return content_digest(file.read())


@router.get("/file/sync", response_model=None)
def file_in_def(request: Request, seconds: Seconds = 0.1) -> dict[str, Any]:
    """Read in `def`: a thread of the pool waits for the disk. 40 at once."""
    with slow_file(request.app.state.slow_files, seconds) as path, path.open("rb") as file:
        return content_digest(file.read())


@router.get("/file/to-thread", response_model=None)
async def file_in_thread(request: Request, seconds: Seconds = 0.1) -> dict[str, Any]:
    """Read in a thread of the loop's executor. cpus + 4 at once (at most 32)."""
    return await asyncio.to_thread(file_in_def, request, seconds)
