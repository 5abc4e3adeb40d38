"""A server with known true values: c places, D seconds each, first come, first served.

`/places/6?seconds=0.05` takes one of six places for 50 ms; every URL has its own places.
`freeze_at=3000` stops the process for a second at its 3000th request; the trace log has the times.
"""

import asyncio
import gc
import time
from collections import deque
from urllib.parse import parse_qsl

import anyio.to_thread  # noqa: F401 - not used, but the probe reads the pool's size from it

from targets.agent.probe import Probe, Receive, Scope, Send, current_trace, send_json
from targets.agent.trace_log import NANOS_PER_SECOND
from targets.agent.trace_log import clock_seconds as clock

_FREEZE_SECONDS = 1.0
# seconds that a timer may be late: asyncio rounds up to whole milliseconds, uvloop counts in them
_TIMER_TOLERANCE = 0.002


class _ReferenceServer:
    """The places and the request count of each URL; only the loop's thread changes them."""

    def __init__(self) -> None:
        self.places: dict[bytes, _PlacePool] = {}
        self.request_counts: dict[bytes, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's lifespan messages."""
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
            return
        query = dict(parse_qsl(scope["query_string"].decode()))
        try:
            kind, count_text = scope["path"].strip("/").split("/")
            place_count, seconds = int(count_text), float(query["seconds"])
            freeze_at = int(query.get("freeze_at", 0))
        except (ValueError, KeyError):
            kind, place_count, seconds, freeze_at = "", 0, 0.0, 0
        # as the example app allows
        if kind != "places" or place_count < 1 or not 0 < seconds <= 5:  # noqa: PLR2004
            await send_json(send, {"detail": "Example: /places/6?seconds=0.05"}, 404)
            return
        url = scope["raw_path"] + scope["query_string"]
        self.request_counts[url] = self.request_counts.get(url, 0) + 1
        if self.request_counts[url] == freeze_at:
            _freeze_process()
        await self.places.setdefault(url, _PlacePool(place_count)).occupy(seconds)
        await send_json(send, {"waited": seconds})


class _PlacePool:
    """Places taken in the order of arrival; `free_since` is when each free place became free."""

    def __init__(self, count: int) -> None:
        self.semaphore, self.free_since = asyncio.Semaphore(count), deque([0.0] * count)

    async def occupy(self, seconds: float) -> None:
        """Wait for a place and keep it for exactly `seconds` from when it was free."""
        trace, arrival = current_trace.get(), clock()
        async with self.semaphore:
            begin = max(arrival, self.free_since.popleft())
            await asyncio.sleep(max(0.0, begin + seconds - clock() - _TIMER_TOLERANCE))
            # no event marks this moment; the turning loop serves other requests
            while (end := clock()) < begin + seconds:  # noqa: ASYNC110
                await asyncio.sleep(0)
            self.free_since.append(end)
        if trace:
            trace.handler_start = round(begin * NANOS_PER_SECOND)
            trace.handler_end = round(end * NANOS_PER_SECOND)


def _freeze_process() -> None:
    begin = clock()
    time.sleep(_FREEZE_SECONDS)
    if app.trace_log:
        app.trace_log.lines.append({"kind": "frozen", "begin": begin, "end": clock()})


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    gc.freeze()
    ended = False
    while not ended:
        kind = (await receive())["type"]
        ended = kind == "lifespan.shutdown"
        await send({"type": f"{kind}.complete"})


app = Probe(_ReferenceServer())
