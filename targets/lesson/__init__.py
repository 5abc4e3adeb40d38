"""The lesson's routes: its statements on real parts. Without its package, a topic answers 501.

One file per topic, each with a `router`, whose lifespan opens what its requests share. `FAILURES`
are the library's exceptions for a service that is too slow, answers an error, or fails otherwise.
"""

from collections.abc import Iterator
from importlib import import_module

from fastapi import APIRouter, HTTPException

INSTALL_HINT = "pip install 'atonce[lab]', or in a clone: pip install -e '.[lab]'"
TOPIC_MODULES = (  # the start of a topic's paths, and its file
    ("/client", "http_clients"),
    ("/aiohttp", "aiohttp_client"),
    ("/users", "databases"),
    ("/file", "files"),
    ("/cpu", "cpu"),
    ("/pitfall", "forgotten_await"),
)


def load_topics() -> Iterator[tuple[APIRouter, tuple[type[Exception], ...]]]:
    """Import the topics; yield the routes of each, or 501 for them, and its failures."""
    for prefix, name in TOPIC_MODULES:
        try:
            module = import_module(f"targets.lesson.{name}")
        except ModuleNotFoundError as absent:
            yield unavailable_router(prefix, absent.name or "a package"), ()
        else:
            yield module.router, getattr(module, "FAILURES", ())


def unavailable_router(prefix: str, package: str) -> APIRouter:
    """Return routes that answer 501 and name the package that they need."""
    router, why = APIRouter(), f"needs {package}, which is not installed: {INSTALL_HINT}"

    @router.get(prefix, include_in_schema=False)
    @router.get(prefix + "/{rest:path}", include_in_schema=False)
    async def absent(rest: str = "") -> None:
        raise HTTPException(501, f"GET {prefix}/{rest} {why}")

    return router
