"""The lesson's routes: its statements on real parts. A missing package answers 501.

One file per topic, each with a `router`; where it opens something for all requests, a `lifespan`;
and where it calls another service, its `FAILURES`: what is raised when that is too slow, answers an
error, or fails otherwise. `TOPIC_MODULES` is the only list of them: the start of the topic's paths,
and its file.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from types import ModuleType

from fastapi import APIRouter, FastAPI, HTTPException

INSTALL_HINT = "pip install 'atonce[lab]', or in a clone: pip install -e '.[lab]'"
TOPIC_MODULES: tuple[tuple[str, str], ...] = (
    ("/client", "http_clients"),
    ("/aiohttp", "aiohttp_client"),
    ("/users", "databases"),
    ("/file", "files"),
    ("/cpu", "cpu"),
    ("/pitfall", "forgotten_await"),
)


class LessonRoutes:
    """The lesson's routes whose packages are installed, and 501 for the others."""

    def __init__(self) -> None:
        self.modules: list[ModuleType] = []
        self.routers: list[APIRouter] = []
        self.failures: list[tuple[type[Exception], ...]] = []
        for prefix, name in TOPIC_MODULES:
            try:
                module = import_module(f"targets.lesson.{name}")
            except ModuleNotFoundError as absent:
                self.routers.append(unavailable_router(prefix, absent.name or "a package"))
            else:
                self.modules.append(module)
                self.routers.append(module.router)
                self.failures += [module.FAILURES] if hasattr(module, "FAILURES") else []

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Open what the topics share, and close it in reverse order."""
        async with AsyncExitStack() as stack:
            for module in self.modules:
                if hasattr(module, "lifespan"):
                    await stack.enter_async_context(module.lifespan(app))
            yield


def unavailable_router(prefix: str, package: str) -> APIRouter:
    """Routes that answer 501, with the package that they need."""
    router = APIRouter(tags=["not installed"])

    @router.get(prefix, include_in_schema=False)
    @router.get(prefix + "/{rest:path}", include_in_schema=False)
    async def absent(rest: str = "") -> None:
        raise HTTPException(
            501, f"GET {prefix}/{rest} needs {package}, which is not installed: {INSTALL_HINT}"
        )

    return router
