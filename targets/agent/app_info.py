"""What the app is, from the app itself: its framework, its routes, a complete OpenAPI document.

FastAPI and Starlette are those in `sys.modules`, of any version: an attribute may be missing.
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

# where middleware keeps the app that it wraps
_WRAPPED_APP_NAMES = ("app", "other_asgi_app", "application", "asgi_app", "_app")
_HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def collect_app_info(app: Any, loop: Any) -> dict[str, Any]:
    """Return all facts about the app, ready for JSON."""
    inner = _unwrap_app(app)
    return {
        "framework": {name: _loaded_version(name) for name in ("fastapi", "starlette", "anyio")},
        "python": platform.python_version(),
        "loop": type(loop).__module__.partition(".")[0],
        "openapi": _openapi_document(inner),
        "routes": list(_describe_routes(inner)),
    }


def _loaded_version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package) if package in sys.modules else None
    return None


def _unwrap_app(app: Any) -> Any:
    visited: list[Any] = []
    while app is not None and not hasattr(app, "routes") and app not in visited:
        visited.append(app)
        wrapped = (getattr(app, name, None) for name in _WRAPPED_APP_NAMES)
        app = next(filter(callable, wrapped), None)
    return app


def _flat_routes(app: Any) -> list[Any]:
    """Return the app's routes, with the prefixes of included routers."""
    own_routes = getattr(app, "routes", None) or []
    # FastAPI keeps a tree since 0.137, a list before
    from_tree = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    return list(from_tree(own_routes) if from_tree else own_routes)


def _is_route_kind(route: Any, *kinds: str) -> bool:
    """Return whether a route, or the one that it wraps, is of one of Starlette's kinds."""
    routing = sys.modules.get("starlette.routing")
    wanted = tuple(getattr(routing, kind) for kind in kinds if hasattr(routing, kind))
    return isinstance(getattr(route, "original_route", route), wanted)


def _describe_routes(app: Any, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Yield every route but FastAPI's own pages; of a mount its routes, if they are known."""
    for route in _flat_routes(app):
        if _is_route_kind(route, "Mount", "Host"):
            mounted_app = _unwrap_app(getattr(route, "app", None))
            if mounted_app is not None and mounted_app.routes:
                yield from _describe_routes(mounted_app, prefix + getattr(route, "path", ""))
                continue
        kinds = {"websocket": "WebSocketRoute", "http": "Route"}
        kind = next((kind for kind, name in kinds.items() if _is_route_kind(route, name)), "mount")
        endpoint = getattr(route, "endpoint", None) or getattr(route, "app", None)
        if getattr(endpoint, "__module__", "") == "fastapi.applications":
            continue
        full_path = None if kind == "mount" else getattr(route, "path_format", None)
        for method in _route_methods(route, endpoint) if kind == "http" else ["GET"]:
            yield {
                "method": method,
                "path": prefix + (full_path or route.path or "/"),
                "kind": kind,
                "hidden": getattr(route, "include_in_schema", True) is False,
                **_handler_info(route, method, endpoint),
            }


def _route_methods(route: Any, endpoint: Any) -> list[str]:
    if inspect.isclass(endpoint):
        return [method for method in _HTTP_METHODS if hasattr(endpoint, method.lower())]
    declared = set(route.methods or ["GET"])
    is_added = "GET" in declared and not hasattr(route, "dependant")
    return sorted(declared - {"HEAD"} if is_added else declared)


def _handler_info(route: Any, method: str, endpoint: Any) -> dict[str, Any]:
    handler = getattr(endpoint, method.lower(), None) if inspect.isclass(endpoint) else endpoint
    while isinstance(handler, functools.partial):
        handler = handler.func
    if handler is not None and not inspect.isroutine(handler):
        handler = getattr(type(handler), "__call__", None)  # noqa: B004 - wanted for its code
    code = getattr(inspect.unwrap(handler) if handler else None, "__code__", None)
    called = getattr(route, "dependant", None)  # what FastAPI says, if anything
    is_async: bool | None = getattr(called, "is_coroutine_callable", None)
    if is_async is None and code:
        is_async = inspect.iscoroutinefunction(handler)
    if code and inspect.isasyncgenfunction(handler):
        is_async = True
    name = getattr(endpoint, "__qualname__", type(endpoint).__name__)
    return {
        "is_async": is_async,
        "endpoint": f"{getattr(endpoint, '__module__', '?')}.{name}",
        "file": code.co_filename if code else None,
        "line": code.co_firstlineno if code else None,
    }


def _openapi_document(app: Any) -> dict[str, Any] | None:
    """Return the document with hidden routes and mounted apps, or None if there is none."""
    document = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the app itself will warn
        with contextlib.suppress(Exception):
            document = _public_openapi(app)
        with contextlib.suppress(Exception):
            if missing := _undescribed_routes(app, document):
                hidden = _document_hidden_routes(app, missing, "_hidden." if document else "")
                document = _merge_documents(document, hidden)
    for mount in _flat_routes(app):
        if _is_route_kind(mount, "Mount") and (inner := _openapi_document(_unwrap_app(mount.app))):
            schema_prefix = re.sub(r"\W", "_", mount.path) + "."
            document = _merge_documents(document, _mount_document(inner, mount.path, schema_prefix))
    return document


def _public_openapi(app: Any) -> dict[str, Any]:
    kept = app.openapi_schema
    try:
        document: dict[str, Any] = json.loads(json.dumps(app.openapi(), default=str))
        return document
    finally:
        app.openapi_schema = kept


def _undescribed_routes(app: Any, document: dict[str, Any] | None) -> list[Any]:
    paths = (document or {}).get("paths", {})

    def is_described(route: Any) -> bool:
        described = paths.get(getattr(route, "path_format", route.path), {})
        return all(method.lower() in described for method in route.methods)

    return [
        route
        for route in _flat_routes(app)
        if hasattr(route, "dependant") and _is_route_kind(route, "Route")
        if not is_described(route)
    ]


def _document_hidden_routes(app: Any, missing: list[Any], schema_prefix: str) -> dict[str, Any]:
    """Document the missing routes, with the hidden ones made visible for this time."""
    routes = [getattr(route, "_effective_route", route) for route in missing]
    hidden = [route for route in routes if getattr(route, "include_in_schema", True) is False]
    option = "separate_input_output_schemas"
    options = {option: getattr(app, option)} if hasattr(app, option) else {}
    try:
        for route in hidden:
            route.include_in_schema = True
        document = sys.modules["fastapi.openapi.utils"].get_openapi(
            title=app.title, version=app.version, routes=missing, **options
        )
        return _mount_document(dict(document), "", schema_prefix)
    finally:
        for route in hidden:
            route.include_in_schema = False


def _mount_document(document: dict[str, Any], prefix: str, schema_prefix: str) -> dict[str, Any]:
    """Return the document, `prefix` before its paths and `schema_prefix` before its schemas."""
    reference = '"#/components/schemas/'
    text = json.dumps(document).replace(reference, reference + schema_prefix)
    renamed: dict[str, Any] = json.loads(text)
    parts = renamed.setdefault("components", {})
    schemas = parts.get("schemas", {}).items()
    parts["schemas"] = {schema_prefix + name: schema for name, schema in schemas}
    renamed["paths"] = {prefix + path: item for path, item in renamed["paths"].items()}
    return renamed


def _merge_documents(first: dict[str, Any] | None, second: dict[str, Any]) -> dict[str, Any]:
    if first is None:
        return second
    for section in ("paths", "components"):
        merged = first.setdefault(section, {})
        for name, entries in second.get(section, {}).items():
            # the first one counts where both describe a part
            merged[name] = {**entries, **merged.get(name, {})}
    return first
