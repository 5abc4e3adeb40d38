"""Builds a request for a route: fills its parameters and body, or says why it is skipped."""

import contextlib
import json
import re
import string
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from results.errors import AtonceError, ExitCode
from scenarios.doctor.openapi.candidates import candidate_values, url_value
from scenarios.doctor.openapi.json_schema import resolve_reference, schema_examples
from scenarios.doctor.openapi.route_request import STREAM_MEDIA_TYPES, RouteRequest, media_family
from scenarios.doctor.openapi.route_selection import RouteSelection
from scenarios.doctor.openapi.schema_example import NoExample, SchemaPath, make_example
from scenarios.system.redact import MASK

# Starlette's {name} and {name:convertor}
PATH_PARAMETER = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")
_CONVERTOR_SCHEMAS: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number", "default": 1.0},
    "uuid": {"format": "uuid"},
}
_FORM_MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_ALTERNATIVES = 3  # requests with other values, for a route that refuses the first
_IGNORED_HEADERS = {"accept", "content-type"}  # OpenAPI ignores them as header parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRoute:
    """A route that the app declares, from its OpenAPI document, the app info, or both."""

    name: str
    template: str
    """Its path as declared, with convertors."""
    operation: dict[str, Any] | None
    handler: dict[str, Any]
    """Its entry in the app info."""
    is_named: bool = False

    @property
    def method(self) -> str:
        """The HTTP method; WEBSOCKET or MOUNT for other routes."""
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path without convertors."""
        return self.name.partition(" ")[2]

    def parameters(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """Path parameters, declared parameters and API keys; a later one replaces an earlier.

        Those that the path fills already are left out.
        """
        path_parameters = [
            {"in": "path", "name": name, "required": True, "schema": _convertor_schema(name, kind)}
            for name, kind in PATH_PARAMETER.findall(self.template)
        ]
        declared = [
            resolve_reference(document, parameter)
            for parameter in (self.operation or {}).get("parameters", [])
        ]
        keys = [
            {**parameter, "secret": True}
            for parameter in self.security_schemes(document)
            if parameter.get("type") == "apiKey"
        ]
        known = [
            parameter
            for parameter in [*path_parameters, *declared, *keys]
            if isinstance(parameter, dict) and isinstance(parameter.get("name"), str)
        ]
        by_key = {(parameter.get("in"), parameter["name"]): parameter for parameter in known}
        return [
            parameter
            for (location, name), parameter in by_key.items()
            if not (location == "path" and f"{{{name}}}" not in self.path)
            and not (location == "query" and "?" in self.path and "secret" not in parameter)
        ]

    def security_schemes(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """The security schemes that the route, or else the document, requires."""
        requirements = (self.operation or {}).get("security", document.get("security"))
        names: dict[str, None] = {}
        for item in requirements if isinstance(requirements, list) else []:
            if isinstance(item, dict):
                names.update(dict.fromkeys(item))
        schemes = [
            resolve_reference(document, {"$ref": f"#/components/securitySchemes/{name}"})
            for name in names
        ]
        return [item for item in schemes if isinstance(item, dict)]


def _convertor_schema(name: str, kind: str) -> dict[str, Any]:
    """A schema for an undeclared path parameter, by name and convertor: most ids are numbers."""
    return _CONVERTOR_SCHEMAS.get(
        kind, {"default": "1"} if name.lower().endswith("id") else {"type": "string"}
    )


def build_request(
    route: DeclaredRoute, document: dict[str, Any], selection: RouteSelection
) -> RouteRequest:
    """The request for a route; `skipped` is set if none can be made."""
    handler_facts: dict[str, Any] = {
        key: route.handler.get(key) for key in ("is_async", "file", "line")
    }
    request = RouteRequest(route=route.name, path=_encode_path(route.path), **handler_facts)
    try:
        keys = tuple(
            flag
            for flag in map(_credential_flag, route.security_schemes(document))
            if flag.isprintable()
        )
        request = replace(
            request,
            credential_flags=keys,
            declared_type=_declared_media_type(route.operation or {}, document),
        )
        _reject_unrequestable(route, document)
        return _add_alternatives(request, route, document, selection)
    except NoExample as error:
        why = str(error)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        why = "its entry in the OpenAPI document cannot be understood"
    return replace(
        request, skipped="".join(letter if letter.isprintable() else "?" for letter in why)
    )


def _credential_flag(scheme: dict[str, Any]) -> str:
    """The flag for a security scheme's credential; OAuth 2 and OpenID Connect use bearer tokens."""
    match scheme.get("type"), scheme.get("in"), scheme.get("name"):
        case "apiKey", "header", name:
            return f"--header '{name}: ...'"
        case "apiKey", _, name:
            return f"--param {name}=..."
        case "oauth2", _, _:
            return "--header 'Authorization: Bearer ...' (OAuth2)"
    return f"--header 'Authorization: {str(scheme.get('scheme', 'bearer')).capitalize()} ...'"


def _reject_unrequestable(route: DeclaredRoute, document: dict[str, Any]) -> None:
    """Raises NoExample for routes that are not HTTP, or whose parameters are unknown."""
    if route.method == "WEBSOCKET":
        raise NoExample("a WebSocket")
    if route.method == "MOUNT":
        raise NoExample(
            "mounted files, or an app that lists no routes: --route 'GET"
            f" {route.path.rstrip('/')}/...' names one"
        )
    if route.handler.get("hidden") and route.operation is None and document and not route.is_named:
        raise NoExample(
            "hidden from the OpenAPI document, so its parameters are unknown: --route"
            f" '{route.name}' asks it as it stands"
        )


def _add_alternatives(
    request: RouteRequest, route: DeclaredRoute, document: dict[str, Any], selection: RouteSelection
) -> RouteRequest:
    """The request with the likeliest values, and alternatives in case they are refused."""
    first, alternatives = _fill_parameters(request, route, document, selection), []
    for attempt in range(1, 1 + MAX_ALTERNATIVES):
        with contextlib.suppress(NoExample):
            alternatives += [_fill_parameters(request, route, document, selection, attempt)]
    distinct = {
        (candidate.path, candidate.path_with_keys, *candidate.headers.items()): candidate
        for candidate in reversed([first, *alternatives])
    }
    return replace(
        first,
        alternatives=tuple(
            candidate for candidate in reversed(distinct.values()) if candidate is not first
        ),
    )


def _fill_parameters(
    request: RouteRequest,
    route: DeclaredRoute,
    document: dict[str, Any],
    selection: RouteSelection,
    attempt: int = 0,
) -> RouteRequest:
    """Fill in parameters and body; each attempt takes the next candidates. Raises NoExample."""
    path, cookies, headers = request.path, [], {}
    query: list[tuple[str, str]] = []
    keys: list[tuple[str, str]] = []
    excluded_headers = _IGNORED_HEADERS | {name.lower() for name in selection.headers}
    for parameter in route.parameters(document):
        name, location = parameter["name"], parameter.get("in")
        candidates = candidate_values(parameter, document, selection)
        values = candidates[min(attempt, len(candidates) - 1)]
        match location:
            case "path":
                if values == ("",):
                    raise NoExample(f"{name} is empty, which no path can hold: --param {name}=...")
                path = path.replace(_encode_path(f"{{{name}}}"), quote(",".join(values), safe=""))
            case "query":
                pairs = [(name, value) for value in values]
                target = keys if "secret" in parameter else query
                target += pairs
            case "cookie":
                cookies += [f"{name}={quote(value)}" for value in values]
            case "header" if values and name.lower() not in excluded_headers:
                headers[name] = quote(", ".join(values), safe=string.punctuation + " ")
    if cookies and "cookie" not in excluded_headers:
        headers["Cookie"] = "; ".join(cookies)
    body, content_type = _build_body(route, document, selection)
    path = _append_query(path, query)
    masked_path, path_with_keys = (
        _append_query(path, [(name, MASK) for name, _ in keys]),
        _append_query(path, keys) if keys else "",
    )
    return replace(
        request,
        path=masked_path,
        path_with_keys=path_with_keys,
        headers=headers,
        body=body,
        content_type=content_type,
    )


def _append_query(path: str, query: list[tuple[str, str]]) -> str:
    return (
        path + ("&" if "?" in path else "?") + urlencode(query, quote_via=quote, safe="*")
        if query
        else path
    )


def _encode_path(path: str) -> str:
    """A path, percent-encoded where it must be; the braces of parameters stay."""
    return quote(path, safe="/?:@!$&'()*+,;=~%{}")


def _build_body(
    route: DeclaredRoute, document: dict[str, Any], selection: RouteSelection
) -> tuple[bytes | None, str | None]:
    """The body and its media type: the user's, an example, or made from the schema.

    Raises NoExample if none can be made, and AtonceError for an invalid body of the user.
    """
    request = resolve_reference(document, (route.operation or {}).get("requestBody")) or {}
    content = request.get("content", {})
    media = next(
        (item for item in content if media_family(item) == "json"),
        _FORM_MEDIA_TYPE if _FORM_MEDIA_TYPE in content else None,
    )
    given = selection.bodies.get(route.name.partition("?")[0])
    advice = f": --body '{route.name}=@FILE'"
    try:
        if content and media is None:
            kind = (
                "multipart form, with files"
                if any("multipart" in item for item in content)
                else f"body of {next(iter(content))}"
            )
            # An optional body may be left out below
            raise NoExample(f"takes a {kind}, which atonce cannot make")  # noqa: TRY301
        if given is not None:
            return (
                _check_json_body(given, media or "application/json", route.name),
                media or "application/json",
            )
        if media is None:
            return None, None
        value = (schema_examples(content[media]) or [None])[0]
        value = (
            make_example(content[media].get("schema"), SchemaPath(document, "body"))
            if value is None
            else value
        )
    except NoExample as error:
        if request.get("required"):
            raise NoExample(f"{error}{advice if media else ''}") from error
        return None, None
    if media == _FORM_MEDIA_TYPE:
        pairs: list[tuple[str, str]] = []
        for name, values in value.items():
            items = values if isinstance(values, list) else [values]
            pairs += [(name, url_value(item)) for item in items]
        return urlencode(pairs).encode(), media
    return json.dumps(value).encode(), media


def _check_json_body(body: bytes, media: str, route: str) -> bytes:
    """The user's own body. Raises AtonceError for invalid JSON."""
    if media_family(media) == "json":
        try:
            json.loads(body)
        except ValueError as error:
            raise AtonceError(
                f"The body of {route} is no JSON, which it takes ({error}). Correct --body.",
                ExitCode.USAGE,
            ) from error
    return body


def _declared_media_type(operation: dict[str, Any], document: dict[str, Any]) -> str | None:
    """The media type of its 2xx answers, if the document really declares one.

    FastAPI writes `application/json` with an empty schema for every route that declares nothing: a
    file, a page, a redirect. Raises NoExample for a declared stream.
    """
    answers = [
        resolve_reference(document, answer)
        for status, answer in operation.get("responses", {}).items()
        if str(status).startswith("2")
    ]
    content = {
        media: entry
        for answer in answers
        for media, entry in ((answer or {}).get("content") or {}).items()
    }
    if content and all(media.partition(";")[0].lower() in STREAM_MEDIA_TYPES for media in content):
        raise NoExample(f"a stream ({next(iter(content))})")
    is_vague = any(
        media_family(media) == "json" and not set(entry.get("schema") or {}) - {"title"}
        for media, entry in content.items()
    )
    kinds = {media_family(media) for media in content}
    return next(iter(content)) if len(kinds) == 1 and kinds != {"*"} and not is_vague else None
