"""Accounts of the old system, which allows one call every now and then."""

import time

from starlette.types import ASGIApp, Receive, Scope, Send


class LegacyAccounts:
    """Looks the account up before the old routes see the request."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["path"].startswith(self.prefix):
            scope["state"]["account"] = self.account()
        await self.app(scope, receive, send)

    def account(self, pause: float = 0.08) -> str:
        """Keep the distance that the old system asks for."""
        time.sleep(pause)
        return "DE-77"
