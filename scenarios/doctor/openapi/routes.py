"""Selects the routes to examine: those that change nothing, or those that the user names."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from results.errors import UsageError
from scenarios.doctor.openapi.candidates import EXAMPLE_KEYS, is_type_only
from scenarios.doctor.openapi.json_schema import resolve_reference
from scenarios.doctor.openapi.request_builder import PATH_PARAMETER, DeclaredRoute, build_request
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import RouteSelection, suggest_names
from scenarios.plans.custom import HTTP_METHODS, parse_route

_SAFE_METHODS = ("GET", "HEAD")
_NON_HTTP_METHODS = ("WEBSOCKET", "MOUNT")
_ANY_PREFIX = ""  # in place of the path before a parameter
_Constraints = tuple[str | None, ...]
_Place = tuple[str, str]  # a parameter's name, and the path before it
_Details = Mapping[_Place, Mapping[_Constraints, dict[str, Any]]]


def select_route_requests(
    openapi: Any,
    handlers: list[dict[str, Any]] | None,
    selection: RouteSelection,
    check: Callable[[], None] = lambda: None,
) -> list[RouteRequest]:
    """Return the requests of the routes to examine, in the app's order. Raises UsageError.

    `openapi` and `handlers` are None if unavailable; `check` raises when the user interrupts.
    """
    document = openapi if isinstance(openapi, dict) else {}
    routes = _declared_routes(document, handlers)
    parameters = [parameter["name"] for route in routes for parameter in route.parameters()]
    if unknown := [name for name in selection.params if name not in parameters]:
        similar = suggest_names(unknown[0], parameters)
        why = f"no route has a parameter {unknown[0]!r}"
        raise UsageError(f"invalid --param: {why}. Similar: {similar}.")
    if not routes and not selection.routes:
        is_listed = document or handlers is not None
        unlisted = "No routes: no OpenAPI document at /openapi.json or linked in /docs or /redoc"
        known = "The app declares no routes" if is_listed else unlisted
        raise UsageError(f"{known}. Name a request: --route 'GET /items/1'")
    named = {
        route.name: route
        for name in selection.routes
        for route in _find_named_routes(name, routes, document)
    }
    chosen = [
        route
        for route in (named.values() if selection.routes else _default_routes(routes))
        if _is_matching(route, selection.only or ("*",))
        and not _is_matching(route, selection.exclude)
    ]
    if not chosen:
        hint = ""
        if unsafe := unsafe_routes(openapi, handlers):
            hint = f" {len(unsafe)} may change data and must be named: --route '{unsafe[0]}'."
        raise UsageError(f"No route is left to examine, of {len(routes)} declared.{hint}")
    names = [route.name.partition("?")[0] for route in chosen]
    if unused := [name for name in selection.bodies if name not in names]:
        raise UsageError(
            f"invalid --body: {unused[0]} is not examined. Add --route '{unused[0]}'. Examined:"
            f" {suggest_names(unused[0], names)}."
        )
    route_requests = []
    for route in chosen:
        check()
        route_requests.append(build_request(route, selection))
    return route_requests


def unsafe_routes(openapi: Any, handlers: list[dict[str, Any]] | None) -> list[str]:
    """Return the routes that may change data: examined only when named."""
    harmless = (*_SAFE_METHODS, *_NON_HTTP_METHODS, "OPTIONS")
    routes = _declared_routes(openapi if isinstance(openapi, dict) else {}, handlers)
    return [route.name for route in routes if route.method not in harmless]


def _declared_routes(
    document: dict[str, Any], handlers: list[dict[str, Any]] | None
) -> list[DeclaredRoute]:
    """Return every route once: the app info has the order, the document has the parameters."""
    operations = _share_parameter_details(_declared_operations(document), document)
    entries: dict[str, tuple[str, dict[str, Any]]] = {}
    for handler in handlers or []:
        template = handler["path"] or "/"
        method = handler["method"] if handler["kind"] == "http" else handler["kind"].upper()
        name = f"{method} " + PATH_PARAMETER.sub(r"{\1}", template)
        entries.setdefault(name, (template, handler))
    for name in operations:
        entries.setdefault(name, (name.partition(" ")[2], {}))
    return [
        DeclaredRoute(name, template, document, operations.get(name, {}), handler)
        for name, (template, handler) in entries.items()
        if name.partition(" ")[2].startswith("/") and name.isprintable()
    ]


def _declared_operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operations of a document by route, with the resolved parameters of their paths."""
    paths = document.get("paths")
    operations = {}
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        for method, operation in (item if isinstance(item, dict) else {}).items():
            if method.upper() in HTTP_METHODS and isinstance(operation, dict):
                lists = (item.get("parameters"), operation.get("parameters"))
                listed = chain.from_iterable(it for it in lists if isinstance(it, list))
                parameters = [resolve_reference(document, parameter) for parameter in listed]
                operations[f"{method.upper()} {path}"] = {**operation, "parameters": parameters}
    return operations


def _share_parameter_details(
    operations: dict[str, dict[str, Any]], document: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Add to each path parameter its matching declarations in other routes, nearest path first.

    If a route and its dependency both declare a parameter, FastAPI's document has only one of them.
    """
    details: dict[_Place, dict[_Constraints, dict[str, Any]]] = {}
    for name, operation in operations.items():
        for parameter in filter(_is_path_parameter, operation["parameters"]):
            if not is_type_only(parameter):
                constraints = _parameter_constraints(parameter, document)
                for place in _parameter_places(name, parameter):
                    details.setdefault(place, {}).setdefault(constraints, parameter)
    shared = {}
    for name, operation in operations.items():
        parameters = [_add_related(it, name, details, document) for it in operation["parameters"]]
        shared[name] = {**operation, "parameters": parameters}
    return shared


def _add_related(parameter: Any, route: str, details: _Details, document: dict[str, Any]) -> Any:
    """Add to a path parameter the declarations of its name whose constraints agree with its own."""
    if not _is_path_parameter(parameter):
        return parameter
    wanted = _parameter_constraints(parameter, document)[:-1]
    related = [
        other
        for place in _parameter_places(route, parameter)
        for offered, other in details.get(place, {}).items()
        if other is not parameter
        and all(mine in (None, theirs) for mine, theirs in zip(wanted, offered, strict=False))
    ]
    return {**parameter, "related": related}


def _parameter_places(route: str, parameter: dict[str, Any]) -> tuple[_Place, _Place]:
    """Return where a parameter's details may stand: at the same path before it, or at any."""
    name = str(parameter.get("name"))
    return (name, route.partition(" ")[2].partition(f"{{{name}}}")[0]), (name, _ANY_PREFIX)


def _parameter_constraints(parameter: dict[str, Any], document: dict[str, Any]) -> _Constraints:
    """Return the constraints on a value, keyword by keyword; and whether it has an example."""
    schema = resolve_reference(document, parameter.get("schema"))
    known = schema if isinstance(schema, dict) else {}
    keywords = ("type", "format", "pattern", "enum", "const")
    values = (str(known[keyword]) if keyword in known else None for keyword in keywords)
    return (*values, str(bool(set(EXAMPLE_KEYS) & {*known, *parameter})))


def _is_path_parameter(parameter: Any) -> bool:
    return isinstance(parameter, dict) and parameter.get("in") == "path"


def _default_routes(routes: list[DeclaredRoute]) -> list[DeclaredRoute]:
    """Return all routes but those that may change data, FastAPI's own pages, and duplicates."""
    get_endpoints = {
        (route.path, route.handler.get("endpoint")) for route in routes if route.method == "GET"
    }
    known_paths = [route.path for route in routes if route.method != "MOUNT"]

    def is_included(route: DeclaredRoute) -> bool:
        endpoint, prefix = route.handler.get("endpoint"), route.path.rstrip("/") + "/"
        if str(endpoint).startswith("fastapi.applications."):
            return False
        if route.method == "HEAD":
            return (route.path, endpoint) not in get_endpoints
        if route.method == "MOUNT":
            return not any(path.startswith(prefix) for path in known_paths)
        return route.method in ("GET", "WEBSOCKET")

    return list(filter(is_included, routes))


def _find_named_routes(
    name: str, routes: list[DeclaredRoute], document: dict[str, Any]
) -> list[DeclaredRoute]:
    """Return the routes of a name: exact, by a glob, or a literal request. Raises UsageError."""
    method, _, path = name.partition(" ")
    http_routes = [route for route in routes if route.method not in _NON_HTTP_METHODS]
    if exact := [replace(route, is_named=True) for route in http_routes if route.name == name]:
        return exact
    safe_routes = _default_routes(http_routes) if "*" in name else []
    if several := [route for route in safe_routes if fnmatchcase(route.name, name)]:
        return several
    if "{" not in path and "*" not in path:
        parse_route(name)
        plain_path = path.partition("?")[0]
        mounts = [route for route in _default_routes(routes) if route.method == "MOUNT"]
        for route in (*http_routes, *mounts):
            is_method = route.method in (method, "MOUNT")
            if is_method and re.fullmatch(_path_pattern(route), plain_path):
                return [replace(route, name=name, template=path, is_named=True)]
        if not routes:
            return [DeclaredRoute(name, path, document, {}, {})]
    hint = " A * stands for routes that change nothing." if "*" in name else ""
    similar = suggest_names(name, (route.name for route in http_routes))
    raise UsageError(f"invalid --route: the app has no {name!r}.{hint} Similar: {similar}.")


def _path_pattern(route: DeclaredRoute) -> str:
    marked = PATH_PARAMETER.sub(lambda it: "\1" if it[2] == "path" else "\0", route.template)
    fixed = re.escape(marked)
    fixed = fixed.rstrip("/") + "/.*" if route.method == "MOUNT" else fixed
    return fixed.replace("\0", "[^/]+").replace("\1", ".+")


def _is_matching(route: DeclaredRoute, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(route.name, glob) or fnmatchcase(route.path, glob) for glob in globs)
