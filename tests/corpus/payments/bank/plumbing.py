"""What every request passes through, and how it is told what went wrong."""

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BankError(Exception):
    """Something the caller may know about: a status and a word."""


async def tell(_request: Request, error: BankError) -> JSONResponse:
    """Tell the caller."""
    status, word = error.args
    return JSONResponse({"error": word}, status_code=status)


class RequestNumber:
    """Gives every answer a number (pure ASGI)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-number", b"%d" % next(self._numbers)))
            await send(message)

        await self._app(scope, receive, numbered)


class NoStore(BaseHTTPMiddleware):
    """Keeps answers out of caches."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Mark the answer."""
        response = await call_next(request)
        response.headers["cache-control"] = "no-store"
        return response


class NamedRoute(APIRoute):
    """Names itself in its answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the usual handler."""
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            response = await usual(request)
            response.headers["x-route"] = self.name
            return response

        return handle
