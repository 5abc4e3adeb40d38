"""Reading a file in `async def`, and in a thread."""

from reports.claims.model import Claim
from reports.claims.routes import EXECUTOR, THREAD_POOL, crowd_needs, fills_pool, holds_loop

_INLINE, _DEF, _THREAD = "broken-async file", "sync file", "to-thread file"

FILE_READ_BLOCKS = Claim(
    id="file-read-blocks",
    sentence="A slow file read in `async def` freezes every request; in a thread it does not.",
    source="async def vs def in FastAPI",
    needs=crowd_needs(_INLINE, _DEF, _THREAD),
    parts=(holds_loop(_INLINE), fills_pool(_DEF, THREAD_POOL), fills_pool(_THREAD, EXECUTOR)),
    why="read() blocks its thread until the disk has answered; a worker thread may be blocked",
)
