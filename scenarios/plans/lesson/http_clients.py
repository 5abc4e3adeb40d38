"""One call of another service, with each HTTP client.

`requests` on the loop and in a thread, `httpx` shared and per request, `aiohttp`.
"""

from dataclasses import replace

from results.schema import base_variant
from scenarios.plans.cells import both_neighbours
from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session

_DELAY = 0.2  # seconds that the upstream takes
_USERS = 48  # more than there are threads, and far fewer than a pool has connections
# seconds of a window that gives the rate its interval: eight pieces of five rounds, and a margin
_RATE_WINDOW = 43 * _DELAY
# calls at once with a client per request, at least: loading certificates takes all of a core
_PER_REQUEST_CALLS = 6
# httpx checks every connection at every call: twice as many, once they send in step, fill a core
_HTTPX_USERS = 24
_FAULTS = ("slow", "error", "gone")
_AIOHTTP_REQUESTS = ("/aiohttp/counters", *(f"/aiohttp/{fault}" for fault in _FAULTS))
_EXTRA_REQUESTS = (
    "/client/lifecycle",
    "/client/keep-alive",
    *(f"/client/httpx/{fault}" for fault in _FAULTS),
    *(f"/client/requests-def/{fault}" for fault in _FAULTS),
)


def _http_client_session(
    variant: str,
    path: str,
    concurrency: float,
    *,
    users: int = _USERS,
    extra_requests: tuple[str, ...] = ("/client/counters",),
) -> Session:
    """Return the session of a route that makes one call; the driver reads the counters as well."""
    session = lesson_session(
        variant,
        f"{path}?seconds={_DELAY:g}",
        f'{{"delay":{_DELAY:g}}}',
        seconds=_DELAY,
        users=users,
        concurrency=concurrency,
        extra_requests=extra_requests,
    )
    alone, crowd = session.cells
    crowd = replace(crowd, window=max(crowd.window, _RATE_WINDOW))
    if concurrency < users and base_variant(variant) == "async":  # the client blocks the loop
        crowd = replace(crowd, neighbours=both_neighbours(crowd.warm_up))
    return replace(session, cells=(alone, crowd))


SESSIONS = (
    _http_client_session("broken-async requests", "/client/requests", 1, users=6),
    _http_client_session("sync requests", "/client/requests-def", 40),
    _http_client_session("async httpx", "/client/httpx", _HTTPX_USERS, users=_HTTPX_USERS),
    _http_client_session(
        "async httpx-per-request",
        "/client/httpx-per-request",
        _PER_REQUEST_CALLS,
        users=_HTTPX_USERS,
    ),
    _http_client_session("async aiohttp", "/aiohttp", _USERS, extra_requests=_AIOHTTP_REQUESTS),
    Session("clients", 0.0, (), extra_requests=_EXTRA_REQUESTS, has_lesson_routes=True),
)
