"""Selects the routes to examine: those that change nothing, and those that the user names."""

import re
from collections.abc import Callable, Iterable
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

_NON_HTTP_METHODS = ("WEBSOCKET", "MOUNT")
UNSAFE = "its method may change data; name it with --route to examine it"
EXCLUDED_THOUGH_NAMED = "--exclude matches it, although --route names it"
_ANY_PREFIX = ""  # in place of the path before a parameter
_Constraints = tuple[str | None, ...]
_Place = tuple[str, str]  # a parameter's name, and the path before it


def select_routes(
    openapi: Any,
    handlers: list[dict[str, Any]] | None,
    selection: RouteSelection,
    check: Callable[[], None] = lambda: None,
) -> tuple[list[RouteRequest], dict[str, str]]:
    """Return the requests of the routes to examine, and why each other route is not examined.

    Named routes come first, then the others in the app's order. `openapi` and `handlers` are None
    if unavailable; `check` raises when the user interrupts.
    Raises UsageError.
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
    groups = [_find_named_routes(name, routes, document) for name in selection.routes]
    named = {route.name: route for route in chain.from_iterable(groups)}
    left_out = _left_out(routes, selection)
    others = [route for route in routes if route.name not in {*named, *left_out}]
    refused = [name for name, it in named.items() if _is_matching(it, selection.exclude)]
    chosen = [route for name, route in named.items() if name not in refused] + others
    if not chosen:
        unsafe = [route.name for route in routes if _default_reason(route, routes) == UNSAFE]
        hint = f" {len(unsafe)} may change data and must be named: --route '{unsafe[0]}'."
        raise UsageError(
            f"No route is left to examine, of {len(routes)} declared.{hint if unsafe else ''}"
        )
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
    named_operations = [id(route.operation) for route in named.values()]  # of requests, too
    asked = {it.name for it in routes if id(it.operation) in named_operations}
    unnamed = {name: why for name, why in left_out.items() if name not in asked}
    return route_requests, dict.fromkeys(refused, EXCLUDED_THOUGH_NAMED) | unnamed


def _left_out(routes: list[DeclaredRoute], selection: RouteSelection) -> dict[str, str]:
    """Return the routes that are not examined unless they are named, each with the reason."""
    left_out = {}
    for route in routes:
        if _is_matching(route, selection.exclude):
            left_out[route.name] = "--exclude matches it"
        elif not _is_matching(route, selection.only or ("*",)):
            left_out[route.name] = "--only does not match it"
        elif why := _default_reason(route, routes):
            left_out[route.name] = why
    return left_out


def _declared_routes(
    document: dict[str, Any], handlers: list[dict[str, Any]] | None
) -> list[DeclaredRoute]:
    """Return every route once: the app info has the order, the document has the parameters."""
    operations = _declared_operations(document)
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
                resolved = (resolve_reference(document, parameter) for parameter in listed)
                parameters = [{**it} for it in resolved if isinstance(it, dict)]
                operations[f"{method.upper()} {path}"] = {**operation, "parameters": parameters}
    _share_parameter_details(operations, document)
    return operations


def _share_parameter_details(
    operations: dict[str, dict[str, Any]], document: dict[str, Any]
) -> None:
    """Give each path parameter the declarations of its name that agree with it, nearest path first.

    If a route and its dependency both declare a parameter, FastAPI's document has only one of them.
    """
    details: dict[_Place, dict[_Constraints, dict[str, Any]]] = {}
    in_paths = [
        (name, parameter)
        for name, operation in operations.items()
        for parameter in operation["parameters"]
        if parameter.get("in") == "path"
    ]
    for name, parameter in in_paths:
        if not is_type_only(parameter):
            constraints = _parameter_constraints(parameter, document)
            for place in _parameter_places(name, parameter):
                details.setdefault(place, {}).setdefault(constraints, parameter)
    for name, parameter in in_paths:
        wanted = _parameter_constraints(parameter, document)[:-1]
        parameter["related"] = [
            other
            for place in _parameter_places(name, parameter)
            for offered, other in details.get(place, {}).items()
            if other is not parameter
            and all(mine in (None, theirs) for mine, theirs in zip(wanted, offered, strict=False))
        ]


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


def _default_reason(route: DeclaredRoute, routes: list[DeclaredRoute]) -> str:
    """Return why a route is not examined by default; "" if it is."""
    endpoint, prefix = route.handler.get("endpoint"), route.path.rstrip("/") + "/"
    if route.method == "HEAD":
        twins = (it for it in routes if it.method == "GET" and it.path == route.path)
        is_twin = any(twin.handler.get("endpoint") == endpoint for twin in twins)
        return "its GET has the same handler" if is_twin else ""
    if route.method == "MOUNT":
        paths = (it.path for it in routes if it.method != "MOUNT")
        return "its routes are listed" if any(path.startswith(prefix) for path in paths) else ""
    if route.method == "OPTIONS":
        return "it describes a route; name it with --route to examine it"
    return "" if route.method in ("GET", "WEBSOCKET") else UNSAFE


def _find_named_routes(
    name: str, routes: list[DeclaredRoute], document: dict[str, Any]
) -> list[DeclaredRoute]:
    """Return the routes of a name: exact, by a glob, or a literal request. Raises UsageError."""
    method, _, path = name.partition(" ")
    http_routes = [route for route in routes if route.method not in _NON_HTTP_METHODS]
    if exact := [replace(route, is_named=True) for route in http_routes if route.name == name]:
        return exact
    safe_routes = [route for route in routes if not _default_reason(route, routes)]
    several = [it for it in safe_routes if "*" in name and fnmatchcase(it.name, name)]
    if several := [it for it in several if it.method not in _NON_HTTP_METHODS]:
        return several
    if "{" not in path and "*" not in path:
        parse_route(name)
        plain_path = path.partition("?")[0]
        mounts = [route for route in safe_routes if route.method == "MOUNT"]
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
