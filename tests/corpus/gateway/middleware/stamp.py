"""Stamps every answer."""

import uuid

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response


class Stamp(BaseHTTPMiddleware):
    """Adds a number to find an answer again in the logs."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Stamp one answer."""
        response = await call_next(request)
        response.headers["X-Request-Id"] = uuid.uuid4().hex
        return response
