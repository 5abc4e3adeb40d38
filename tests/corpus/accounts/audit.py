"""The audit trail: a log handler that hands every record to the collector, and a middleware that writes to it."""

import logging
from http.client import HTTPConnection
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

trail = logging.getLogger("accounts.audit")


class CollectorHandler(logging.Handler):
    """Sends each record and waits for the receipt: the trail must be complete."""

    def __init__(self, base_url: str) -> None:
        super().__init__(logging.INFO)
        self.connection = HTTPConnection(urlsplit(base_url).netloc, timeout=5)

    def emit(self, record: logging.LogRecord) -> None:
        """Deliver one record."""
        self.connection.request("GET", "/audit", headers={"X-Entry": self.format(record)})
        receipt = self.connection.getresponse()
        receipt.read()


class AuditMiddleware(BaseHTTPMiddleware):
    """Notes who looked at what in the back office."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Write first, then serve."""
        if request.url.path.startswith("/admin"):
            trail.info("%s %s", request.method, request.url.path)
        response = await call_next(request)
        response.headers["X-Service"] = "accounts"
        return response
