"""What the app is, told by the app itself: its framework, its routes, and a description of them that hides none.

FastAPI and Starlette are somebody else's: looked up in `sys.modules`, asked for what they may not
have in their version. What cannot be told is left out; the app is never worse off.
"""

import contextlib
import functools
import inspect
import json
import platform
import re
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata
from typing import Any

_WRAPPED_APP_NAMES = (
    "app",
    "other_asgi_app",
    "application",
    "asgi_app",
    "_app",
)  # where middleware keeps the app that it wraps
_HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def collect_app_info(app: Any, loop: Any) -> dict[str, Any]:
    """Everything, as JSON carries it."""
    inner = _unwrap_app(app)
    return {
        "framework": {name: _loaded_version(name) for name in ("fastapi", "starlette", "anyio")},
        "python": platform.python_version(),
        "loop": type(loop).__module__.partition(".")[0],
        "openapi": _openapi_document(inner),
        "routes": list(_describe_routes(inner)),
    }


def _loaded_version(package: str) -> str | None:
    """The version of a package that the app has loaded."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package) if package in sys.modules else None
    return None


def _unwrap_app(app: Any) -> Any:
    """The first app with routes below all middleware that was put around it by hand."""
    visited: list[Any] = []
    while app is not None and not hasattr(app, "routes") and app not in visited:
        visited.append(app)
        app = next(
            (inner for name in _WRAPPED_APP_NAMES if callable(inner := getattr(app, name, None))),
            None,
        )
    return app


def _flat_routes(app: Any) -> list[Any]:
    """The app's routes, those of included routers with their prefix; FastAPI keeps a tree since 0.137, a list before."""
    own_routes = getattr(app, "routes", None) or []
    from_tree = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    return list(from_tree(own_routes) if from_tree else own_routes)


def _is_route_kind(route: Any, *kinds: str) -> bool:
    """Whether a route, or the one it stands for, is one of Starlette's kinds."""
    routing = sys.modules.get("starlette.routing")
    wanted = tuple(getattr(routing, kind) for kind in kinds if hasattr(routing, kind))
    return isinstance(getattr(route, "original_route", route), wanted)


def _describe_routes(app: Any, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Every route with its full path; a mount only where one cannot look inside. FastAPI's own pages are not the user's."""
    for route in _flat_routes(app):
        mounted_app = (
            _unwrap_app(getattr(route, "app", None))
            if _is_route_kind(route, "Mount", "Host")
            else None
        )
        if mounted_app is not None and mounted_app.routes:
            yield from _describe_routes(mounted_app, prefix + getattr(route, "path", ""))
            continue
        kind = (
            "websocket"
            if _is_route_kind(route, "WebSocketRoute")
            else "http"
            if _is_route_kind(route, "Route")
            else "mount"
        )
        endpoint = getattr(route, "endpoint", None) or getattr(route, "app", None)
        if getattr(endpoint, "__module__", "") == "fastapi.applications":
            continue
        path = (
            route.path if kind == "mount" else getattr(route, "path_format", None) or route.path
        ) or "/"
        for method in _route_methods(route, endpoint) if kind == "http" else ["GET"]:
            hidden = getattr(route, "include_in_schema", True) is False
            yield {
                "method": method,
                "path": prefix + path,
                "kind": kind,
                "hidden": hidden,
                **_handler_info(route, method, endpoint),
            }


def _route_methods(route: Any, endpoint: Any) -> list[str]:
    """What a route answers to; not the HEAD that Starlette adds to each GET."""
    if inspect.isclass(endpoint):
        return [method for method in _HTTP_METHODS if hasattr(endpoint, method.lower())]
    declared = set(route.methods or ["GET"])
    return sorted(
        declared - {"HEAD"} if "GET" in declared and not hasattr(route, "dependant") else declared
    )


def _handler_info(route: Any, method: str, endpoint: Any) -> dict[str, Any]:
    """How a route is written, and where."""
    handler = getattr(endpoint, method.lower(), None) if inspect.isclass(endpoint) else endpoint
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not inspect.isroutine(handler):
        # Wanted for its code
        handler = getattr(type(handler), "__call__", None) if handler is not None else None  # noqa: B004
    code = getattr(inspect.unwrap(handler) if handler else None, "__code__", None)
    called = getattr(route, "dependant", None)  # FastAPI's own opinion, where it has one
    is_async: bool | None = getattr(called, "is_coroutine_callable", None)
    if is_async is None and code:
        is_async = inspect.iscoroutinefunction(handler)
    if code and inspect.isasyncgenfunction(handler):
        is_async = True
    name = f"{getattr(endpoint, '__module__', '?')}.{getattr(endpoint, '__qualname__', type(endpoint).__name__)}"
    return {
        "is_async": is_async,
        "endpoint": name,
        "file": code.co_filename if code else None,
        "line": code.co_firstlineno if code else None,
    }


def _openapi_document(app: Any) -> dict[str, Any] | None:
    """The app's OpenAPI document with its hidden routes and its mounted apps; None where nothing describes itself."""
    document = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the app will warn by itself
        with contextlib.suppress(Exception):
            document = _public_openapi(app)
        with contextlib.suppress(Exception):
            if missing := _undescribed_routes(app, document):
                document = _merge_documents(
                    document, _document_hidden_routes(app, missing, "_hidden." if document else "")
                )
    for mount in _flat_routes(app):
        if _is_route_kind(mount, "Mount") and (inner := _openapi_document(_unwrap_app(mount.app))):
            document = _merge_documents(
                document, _mount_document(inner, mount.path, re.sub(r"\W", "_", mount.path) + ".")
            )
    return document


def _public_openapi(app: Any) -> dict[str, Any]:
    """What the app says of itself; what it keeps of that is put back as it was."""
    kept = app.openapi_schema
    try:
        document: dict[str, Any] = json.loads(json.dumps(app.openapi(), default=str))
        return document
    finally:
        app.openapi_schema = kept


def _undescribed_routes(app: Any, document: dict[str, Any] | None) -> list[Any]:
    """The routes that a document leaves out."""
    paths = (document or {}).get("paths", {})
    return [
        route
        for route in _flat_routes(app)
        if hasattr(route, "dependant")
        and _is_route_kind(route, "Route")
        and any(
            method.lower() not in paths.get(getattr(route, "path_format", route.path), {})
            for method in route.methods
        )
    ]


def _document_hidden_routes(
    app: Any, missing_routes: list[Any], schema_prefix: str
) -> dict[str, Any]:
    """A document of our own, for whose time the hidden routes are not hidden."""
    hidden = [
        effective_route
        for effective_route in (
            getattr(route, "_effective_route", route) for route in missing_routes
        )
        if _is_hidden(effective_route)
    ]
    options = (
        {"separate_input_output_schemas": app.separate_input_output_schemas}
        if hasattr(app, "separate_input_output_schemas")
        else {}
    )
    try:
        for effective_route in hidden:
            effective_route.include_in_schema = True
        document = sys.modules["fastapi.openapi.utils"].get_openapi(
            title=app.title, version=app.version, routes=missing_routes, **options
        )
        return _mount_document(dict(document), "", schema_prefix)
    finally:
        for effective_route in hidden:
            effective_route.include_in_schema = False


def _is_hidden(route: Any) -> bool:
    """Whether a FastAPI route is kept out of the document; its pages (plain Starlette routes) are in none anyway."""
    return hasattr(route, "dependant") and getattr(route, "include_in_schema", True) is False


def _mount_document(document: dict[str, Any], prefix: str, schema_prefix: str) -> dict[str, Any]:
    """Another document, its paths below the prefix, its schemas under names with the mark."""
    renamed = json.loads(
        json.dumps(document).replace(
            '"#/components/schemas/', f'"#/components/schemas/{schema_prefix}'
        )
    )
    parts = renamed.get("components", {})
    parts["schemas"] = {
        schema_prefix + name: schema for name, schema in parts.get("schemas", {}).items()
    }
    return {
        **renamed,
        "paths": {prefix + path: item for path, item in renamed["paths"].items()},
        "components": parts,
    }


def _merge_documents(first: dict[str, Any] | None, second: dict[str, Any]) -> dict[str, Any]:
    """Two documents in one: where both speak of an operation or a component, the first does."""
    if first is None:
        return second
    for path, item in second.get("paths", {}).items():
        first.setdefault("paths", {})[path] = {**item, **first["paths"].get(path, {})}
    for section, entries in second.get("components", {}).items():
        parts = first.setdefault("components", {})
        parts[section] = {**entries, **parts.get(section, {})}
    return first
