"""The bundled app with a route to the upstream; one call in ten fails, in three ways by turns."""

import itertools
from typing import Any

from fastapi import Request

from targets import upstream
from targets.app import app
from targets.lesson.sleep_and_fetch import Client
from targets.lesson.waiting import Seconds

numbers = itertools.count()


@app.get("/calls", response_model=None)
async def calls(request: Request, client: Client, seconds: Seconds = 0.02) -> Any:
    """Call, or fail."""
    failed, at = divmod(next(numbers), 10)
    fault = list(upstream.Fault)[failed % 3]
    url = fault.url(request.app.state.upstream) if at == 9 else f"/delay/{seconds}"
    return (await client.get(url, timeout=upstream.FAULT_TIMEOUT)).raise_for_status().json()
