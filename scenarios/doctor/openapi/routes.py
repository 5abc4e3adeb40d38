"""Selects the routes to examine: those that change nothing, or those that the user names."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from results.errors import AtonceError, ExitCode
from scenarios.doctor.openapi.candidates import EXAMPLE_KEYS, is_type_only
from scenarios.doctor.openapi.json_schema import resolve_reference
from scenarios.doctor.openapi.request_builder import PATH_PARAMETER, DeclaredRoute, build_request
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import RouteSelection, suggest_names
from scenarios.plans.custom import HTTP_METHODS, parse_route

_SAFE_METHODS = ("GET", "HEAD")
_ANY_PREFIX = ""  # in place of the path before a parameter
_Constraints = tuple[str | None, ...]
_NON_HTTP_METHODS = ("WEBSOCKET", "MOUNT")


def select_route_requests(
    openapi: Any,
    handlers: list[dict[str, Any]] | None,
    selection: RouteSelection,
    check: Callable[[], None] = lambda: None,
) -> list[RouteRequest]:
    """The requests of the routes to examine, in the app's order. Raises AtonceError.

    `openapi` and `handlers` are None if unavailable; `check` raises when the user interrupts. Named
    routes are examined even if they may change data, and then no others are.
    """
    document = openapi if isinstance(openapi, dict) else {}
    routes = _declared_routes(document, handlers)
    parameters = [candidate["name"] for route in routes for candidate in route.parameters(document)]
    if unknown := [name for name in selection.params if name not in parameters]:
        sentence = (
            f"No route has a parameter {unknown[0]!r} (--param). Near ones:"
            f" {suggest_names(unknown[0], parameters)}."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    if selection.routes:
        chosen = list(
            {
                candidate.name: candidate
                for name in selection.routes
                for candidate in _find_named_routes(name, routes)
            }.values()
        )
    elif routes:
        chosen = _default_routes(routes)
    else:
        known = (
            "The app declares no routes"
            if document or handlers is not None
            else (
                "No OpenAPI document at /openapi.json, nor where /docs or /redoc would name it, so"
                " no routes are known"
            )
        )
        sentence = f"{known}. Name what it answers, as it stands: --route 'GET /items/1'"
        raise AtonceError(sentence, ExitCode.USAGE)
    chosen = [
        candidate
        for candidate in chosen
        if _is_matching(candidate, selection.only or ("*",))
        and not _is_matching(candidate, selection.exclude)
    ]
    if not chosen:
        changing = unsafe_routes(openapi, handlers)
        unsafe_hint = (
            f" {len(changing)} may change data and must be named: --route '{changing[0]}'."
            if changing
            else ""
        )
        raise AtonceError(
            f"No route is left to examine, of {len(routes)} declared.{unsafe_hint}", ExitCode.USAGE
        )
    names = [candidate.name.partition("?")[0] for candidate in chosen]
    if unused := [name for name in selection.bodies if name not in names]:
        sentence = (
            f"--body is for {unused[0]}, which is not examined: add --route '{unused[0]}'."
            f" Examined: {suggest_names(unused[0], names)}."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    route_requests = []
    for candidate in chosen:
        check()
        route_requests.append(build_request(candidate, document, selection))
    return route_requests


def unsafe_routes(openapi: Any, handlers: list[dict[str, Any]] | None) -> list[str]:
    """The routes that may change data: examined only when named."""
    routes = _declared_routes(openapi if isinstance(openapi, dict) else {}, handlers)
    return [
        route.name
        for route in routes
        if route.method not in (*_SAFE_METHODS, *_NON_HTTP_METHODS, "OPTIONS")
    ]


def _declared_routes(
    document: dict[str, Any], handlers: list[dict[str, Any]] | None
) -> list[DeclaredRoute]:
    """Every route once: the app info has the order, the document has the parameters."""
    paths = document.get("paths")
    declared: dict[str, dict[str, Any]] = {}
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        for method, operation in (item if isinstance(item, dict) else {}).items():
            if method.upper() in HTTP_METHODS and isinstance(operation, dict):
                parameters = [*_listed_parameters(item), *_listed_parameters(operation)]
                declared[f"{method.upper()} {path}"] = {**operation, "parameters": parameters}
    operations = _share_parameter_details(declared, document)
    routes: dict[str, DeclaredRoute] = {}
    for handler in handlers or []:
        template = handler["path"] or "/"
        method = handler["method"] if handler["kind"] == "http" else handler["kind"].upper()
        name = f"{method} " + PATH_PARAMETER.sub(r"{\1}", template)
        routes.setdefault(
            name,
            DeclaredRoute(
                name=name, template=template, operation=operations.get(name), handler=handler
            ),
        )
    for name, operation in operations.items():
        routes.setdefault(
            name,
            DeclaredRoute(
                name=name, template=name.partition(" ")[2], operation=operation, handler={}
            ),
        )
    return [
        route
        for route in routes.values()
        if route.path.startswith("/") and route.name.isprintable()
    ]


def _share_parameter_details(
    operations: dict[str, dict[str, Any]], document: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Add to each path parameter its matching declarations in other routes, nearest path first.

    If a route and its dependency both declare a parameter, FastAPI's document has only one of them.
    """
    resolved = {
        name: [resolve_reference(document, parameter) for parameter in operation["parameters"]]
        for name, operation in operations.items()
    }
    details: dict[tuple[str, str], dict[_Constraints, dict[str, Any]]] = {}
    for name, parameters in resolved.items():
        for parameter in parameters:
            if _is_path_parameter(parameter) and not is_type_only(parameter):
                for prefix in (_path_before(name, parameter), _ANY_PREFIX):
                    details.setdefault((str(parameter.get("name")), prefix), {}).setdefault(
                        _parameter_constraints(parameter, document), parameter
                    )

    def add_details(name: str, parameter: Any) -> Any:
        if not _is_path_parameter(parameter):
            return parameter
        constraints, parameter_name = (
            _parameter_constraints(parameter, document)[:-1],
            str(parameter.get("name")),
        )
        known: list[tuple[_Constraints, dict[str, Any]]] = []
        for prefix in (_path_before(name, parameter), _ANY_PREFIX):
            known += details.get((parameter_name, prefix), {}).items()
        agreeing = [
            other
            for given, other in known
            if all(
                required in (None, offered)
                for required, offered in zip(constraints, given, strict=False)
            )
        ]
        return {**parameter, "related": [other for other in agreeing if other is not parameter]}

    return {
        name: {
            **operation,
            "parameters": [add_details(name, parameter) for parameter in resolved[name]],
        }
        for name, operation in operations.items()
    }


def _path_before(name: str, parameter: dict[str, Any]) -> str:
    return name.partition(" ")[2].partition(f"{{{parameter.get('name')}}}")[0]


def _parameter_constraints(parameter: dict[str, Any], document: dict[str, Any]) -> _Constraints:
    """The constraints on a parameter's value, keyword by keyword; and whether it has an example."""
    schema = resolve_reference(document, parameter.get("schema"))
    known = schema if isinstance(schema, dict) else {}
    values = (
        str(known[word]) if word in known else None
        for word in ("type", "format", "pattern", "enum", "const")
    )
    return (*values, str(bool(set(EXAMPLE_KEYS) & {*known, *parameter})))


def _is_path_parameter(parameter: Any) -> bool:
    return isinstance(parameter, dict) and parameter.get("in") == "path"


def _listed_parameters(holder: dict[str, Any]) -> list[Any]:
    """The parameters of an operation or of its path; [] if the document is malformed."""
    parameters = holder.get("parameters")
    return parameters if isinstance(parameters, list) else []


def _default_routes(routes: list[DeclaredRoute]) -> list[DeclaredRoute]:
    """All routes but those that may change data, FastAPI's own pages, and duplicates."""
    get_endpoints = {
        (route.path, route.handler.get("endpoint")) for route in routes if route.method == "GET"
    }
    known_paths = {route.path for route in routes if route.method != "MOUNT"}
    return [
        route
        for route in routes
        if route.method in (*_SAFE_METHODS, *_NON_HTTP_METHODS)
        and not (
            route.method == "HEAD" and (route.path, route.handler.get("endpoint")) in get_endpoints
        )
        and not (
            route.method == "MOUNT"
            and any(path.startswith(route.path.rstrip("/") + "/") for path in known_paths)
        )
        and not str(route.handler.get("endpoint")).startswith("fastapi.applications.")
    ]


def _find_named_routes(name: str, routes: list[DeclaredRoute]) -> Iterable[DeclaredRoute]:
    """The routes of a name: exact, by a glob, or a literal request. Raises AtonceError for none."""
    method, _, path = name.partition(" ")
    http_routes = [route for route in routes if route.method not in _NON_HTTP_METHODS]
    exact = [replace(route, is_named=True) for route in http_routes if route.name == name]
    several = (
        [route for route in _default_routes(http_routes) if fnmatchcase(route.name, name)]
        if "*" in name
        else []
    )
    if exact or several:
        return exact or several
    if "{" not in path and "*" not in path:
        parse_route(name)
        plain_path = path.partition("?")[0]
        unlisted = [route for route in _default_routes(routes) if route.method == "MOUNT"]
        if fitting := [
            route
            for route in [*http_routes, *unlisted]
            if route.method in (method, "MOUNT") and re.fullmatch(_path_pattern(route), plain_path)
        ]:
            return [replace(fitting[0], name=name, template=path, is_named=True)]
        if not routes:
            return [DeclaredRoute(name=name, template=path, operation=None, handler={})]
    globs = " A * stands for routes that change nothing." if "*" in name else ""
    sentence = (
        f"The app declares no route {name!r}.{globs} Near ones:"
        f" {suggest_names(name, (route.name for route in http_routes))}."
    )
    raise AtonceError(sentence, ExitCode.USAGE)


def _path_pattern(route: DeclaredRoute) -> str:
    """A regular expression of the paths that a route answers."""
    fixed = re.escape(
        PATH_PARAMETER.sub(lambda hole: "\1" if hole[2] == "path" else "\0", route.template)
    )
    fixed = fixed.rstrip("/") + "/.*" if route.method == "MOUNT" else fixed
    return fixed.replace("\0", "[^/]+").replace("\1", ".+")


def _is_matching(route: DeclaredRoute, globs: Iterable[str]) -> bool:
    """Whether any glob matches the name or the path of a route."""
    return any(fnmatchcase(route.name, glob) or fnmatchcase(route.path, glob) for glob in globs)
