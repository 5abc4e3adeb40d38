"""Which routes of somebody's app are examined: those that change nothing, and those that were named."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from results.errors import Exit, Trouble
from scenarios.doctor.openapi.candidates import EXAMPLES, is_bare
from scenarios.doctor.openapi.json_schema import pointed
from scenarios.doctor.openapi.request_builder import HOLE, Found, ask
from scenarios.doctor.openapi.route_request import Asked
from scenarios.doctor.openapi.route_selection import Choice, nearest
from scenarios.plans.custom import METHODS, parse_route

HARMLESS = ("GET", "HEAD")
ANYWHERE = ""  # instead of a path that a parameter stands behind
Demands = tuple[str | None, ...]
NO_HTTP = ("WEBSOCKET", "MOUNT")


def routes_of(
    openapi: Any, census: list[dict[str, Any]] | None, choice: Choice, check: Callable[[], None] = lambda: None
) -> list[Asked]:
    """The routes to examine, as the app declares them; `check` hears interruptions. Raises Trouble.

    `openapi` and `census` are None where they could not be had. Named routes are examined even where they may change data,
    and then no others are.
    """
    document = openapi if isinstance(openapi, dict) else {}
    found = declared(document, census)
    parameters = [one["name"] for route in found for one in route.parameters(document)]
    if strange := [name for name in choice.params if name not in parameters]:
        sentence = f"No route has a parameter {strange[0]!r} (--param). Near ones: {nearest(strange[0], parameters)}."
        raise Trouble(sentence, Exit.USAGE)
    if choice.routes:
        chosen = list({one.name: one for name in choice.routes for one in named(name, found)}.values())
    elif found:
        chosen = by_default(found)
    else:
        known = (
            "The app declares no routes"
            if document or census is not None
            else "No OpenAPI document at /openapi.json, nor where /docs or /redoc would name it, so no routes are known"
        )
        sentence = f"{known}. Name what it answers, as it stands: --route 'GET /items/1'"
        raise Trouble(sentence, Exit.USAGE)
    chosen = [one for one in chosen if matches(one, choice.only or ("*",)) and not matches(one, choice.exclude)]
    if not chosen:
        changing = unsafe(openapi, census)
        named_one = f" {len(changing)} may change data and must be named: --route '{changing[0]}'." if changing else ""
        raise Trouble(f"No route is left to examine, of {len(found)} declared.{named_one}", Exit.USAGE)
    names = [one.name.partition("?")[0] for one in chosen]
    if lost := [name for name in choice.bodies if name not in names]:
        sentence = f"--body is for {lost[0]}, which is not examined: add --route '{lost[0]}'. Examined: {nearest(lost[0], names)}."
        raise Trouble(sentence, Exit.USAGE)
    asked = []
    for one in chosen:
        check()
        asked.append(ask(one, document, choice))
    return asked


def unsafe(openapi: Any, census: list[dict[str, Any]] | None) -> list[str]:
    """The routes that may change data: examined only when named."""
    found = declared(openapi if isinstance(openapi, dict) else {}, census)
    return [one.name for one in found if one.method not in (*HARMLESS, *NO_HTTP, "OPTIONS")]


def declared(document: dict[str, Any], census: list[dict[str, Any]] | None) -> list[Found]:
    """Every route once, in reading order: the census knows the order of all, the document what each one takes."""
    paths = document.get("paths")
    operations = completed(
        {
            f"{method.upper()} {path}": {**operation, "parameters": [*listed(item), *listed(operation)]}
            for path, item in (paths if isinstance(paths, dict) else {}).items()
            for method, operation in (item if isinstance(item, dict) else {}).items()
            if method.upper() in METHODS and isinstance(operation, dict)
        },
        document,
    )
    found: dict[str, Found] = {}
    for told in census or []:
        template = told["path"] or "/"
        method = told["method"] if told["kind"] == "http" else told["kind"].upper()
        name = f"{method} " + HOLE.sub(r"{\1}", template)
        found.setdefault(name, Found(name=name, template=template, operation=operations.get(name), told=told))
    for name, operation in operations.items():
        found.setdefault(name, Found(name=name, template=name.partition(" ")[2], operation=operation, told={}))
    return [one for one in found.values() if one.path.startswith("/") and one.name.isprintable()]


def completed(operations: dict[str, dict[str, Any]], document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each path parameter with what other routes tell of one that agrees, the nearest path first.

    Of two declarations of one parameter, a route's and its dependency's, FastAPI's document has only one.
    """
    resolved = {name: [pointed(document, one) for one in told["parameters"]] for name, told in operations.items()}
    telling: dict[tuple[str, str], dict[Demands, dict[str, Any]]] = {}
    for name, parameters in resolved.items():
        for one in parameters:
            if in_path(one) and not is_bare(one):
                for place in (before(name, one), ANYWHERE):
                    telling.setdefault((str(one.get("name")), place), {}).setdefault(demands(one, document), one)

    def complete(name: str, one: Any) -> Any:
        if not in_path(one):
            return one
        asks, word = demands(one, document)[:-1], str(one.get("name"))
        known = [pair for place in (before(name, one), ANYWHERE) for pair in telling.get((word, place), {}).items()]
        agreeing = [other for given, other in known if all(mine in (None, its) for mine, its in zip(asks, given, strict=False))]
        return {**one, "told": [other for other in agreeing if other is not one]}

    return {name: {**told, "parameters": [complete(name, one) for one in resolved[name]]} for name, told in operations.items()}


def before(name: str, parameter: dict[str, Any]) -> str:
    """The path up to a parameter."""
    return name.partition(" ")[2].partition(f"{{{parameter.get('name')}}}")[0]


def demands(parameter: dict[str, Any], document: dict[str, Any]) -> Demands:
    """What a parameter asks of its value, word by word; and whether it shows one."""
    schema = pointed(document, parameter.get("schema"))
    known = schema if isinstance(schema, dict) else {}
    asks = (str(known[word]) if word in known else None for word in ("type", "format", "pattern", "enum", "const"))
    return (*asks, str(bool(set(EXAMPLES) & {*known, *parameter})))


def in_path(parameter: Any) -> bool:
    """Whether it is a path parameter at all."""
    return isinstance(parameter, dict) and parameter.get("in") == "path"


def listed(holder: dict[str, Any]) -> list[Any]:
    """The parameters of an operation or of its path; none where the document is malformed."""
    parameters = holder.get("parameters")
    return parameters if isinstance(parameters, list) else []


def by_default(found: list[Found]) -> list[Found]:
    """All but what may change data, the pages that FastAPI adds, and what is asked already."""
    read = {(one.path, one.told.get("endpoint")) for one in found if one.method == "GET"}
    inside = {one.path for one in found if one.method != "MOUNT"}
    return [
        one
        for one in found
        if one.method in (*HARMLESS, *NO_HTTP)
        and not (one.method == "HEAD" and (one.path, one.told.get("endpoint")) in read)
        and not (one.method == "MOUNT" and any(path.startswith(one.path.rstrip("/") + "/") for path in inside))
        and not str(one.told.get("endpoint")).startswith("fastapi.applications.")
    ]


def named(name: str, found: list[Found]) -> Iterable[Found]:
    """What a name stands for: a route, GET routes by a glob, or a request as it stands. Raises Trouble for none."""
    method, _, path = name.partition(" ")
    http = [one for one in found if one.method not in NO_HTTP]
    exact = [replace(one, named=True) for one in http if one.name == name]
    several = [one for one in by_default(http) if fnmatchcase(one.name, name)] if "*" in name else []
    if exact or several:
        return exact or several
    if "{" not in path and "*" not in path:
        parse_route(name)
        bare = path.partition("?")[0]
        unlisted = [one for one in by_default(found) if one.method == "MOUNT"]
        if fitting := [one for one in [*http, *unlisted] if one.method in (method, "MOUNT") and re.fullmatch(pattern(one), bare)]:
            return [replace(fitting[0], name=name, template=path, named=True)]
        if not found:
            return [Found(name=name, template=path, operation=None, told={})]
    globs = " A * stands for routes that change nothing." if "*" in name else ""
    sentence = f"The app declares no route {name!r}.{globs} Near ones: {nearest(name, (one.name for one in http))}."
    raise Trouble(sentence, Exit.USAGE)


def pattern(found: Found) -> str:
    """The paths that a route answers, as a regular expression."""
    fixed = re.escape(HOLE.sub(lambda hole: "\1" if hole[2] == "path" else "\0", found.template))
    fixed = fixed.rstrip("/") + "/.*" if found.method == "MOUNT" else fixed
    return fixed.replace("\0", "[^/]+").replace("\1", ".+")


def matches(found: Found, globs: Iterable[str]) -> bool:
    """Whether one of the globs fits its name or its path."""
    return any(fnmatchcase(found.name, glob) or fnmatchcase(found.path, glob) for glob in globs)
