"""Builds a request for a route: fills its parameters and body, or says why it is skipped."""

import contextlib
import json
import re
import string
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

from results.errors import UsageError
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


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """A route that the app declares, from its OpenAPI document, the app info, or both."""

    name: str
    template: str  # its path as declared, with convertors
    document: dict[str, Any]
    operation: dict[str, Any]  # its parameters have no references
    handler: dict[str, Any]  # its entry in the app info
    is_named: bool = False

    @property
    def method(self) -> str:
        """The HTTP method; WEBSOCKET or MOUNT for other routes."""
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path without convertors."""
        return self.name.partition(" ")[2]

    def parameters(self) -> list[dict[str, Any]]:
        """Return path, declared and key parameters that the path lacks; of equal ones the last."""
        path_parameters = [
            {"in": "path", "name": name, "required": True, "schema": _convertor_schema(name, kind)}
            for name, kind in PATH_PARAMETER.findall(self.template)
        ]
        declared = self.operation.get("parameters", [])
        schemes = self.security_schemes()
        keys = [{**it, "secret": True} for it in schemes if it.get("type") == "apiKey"]
        by_key = {
            (parameter.get("in"), parameter["name"]): parameter
            for parameter in (*path_parameters, *declared, *keys)
            if isinstance(parameter.get("name"), str)
        }
        return [
            parameter
            for (location, name), parameter in by_key.items()
            if not (location == "path" and f"{{{name}}}" not in self.path)
            and not (location == "query" and "?" in self.path and "secret" not in parameter)
        ]

    def security_schemes(self) -> list[dict[str, Any]]:
        """Return the security schemes that the route, or else the document, requires."""
        requirements = self.operation.get("security", self.document.get("security"))
        listed = requirements if isinstance(requirements, list) else []
        names = dict.fromkeys(chain.from_iterable(it for it in listed if isinstance(it, dict)))
        references = [{"$ref": f"#/components/securitySchemes/{name}"} for name in names]
        schemes = [resolve_reference(self.document, reference) for reference in references]
        return [scheme for scheme in schemes if isinstance(scheme, dict)]


def _convertor_schema(name: str, kind: str) -> dict[str, Any]:
    """Return a schema for an undeclared path parameter: most ids are numbers."""
    default = {"default": "1"} if name.lower().endswith("id") else {"type": "string"}
    return _CONVERTOR_SCHEMAS.get(kind, default)


def build_request(route: DeclaredRoute, selection: RouteSelection) -> RouteRequest:
    """Build the request for a route and its alternatives, or one that says why it is skipped."""
    is_async, file, line = map(route.handler.get, ("is_async", "file", "line"))
    path = _encode_path(route.path)
    request = RouteRequest(route=route.name, path=path, is_async=is_async, file=file, line=line)
    try:
        flags = tuple(filter(str.isprintable, map(_credential_flag, route.security_schemes())))
        request = replace(
            request, credential_flags=flags, declared_type=_declared_media_type(route)
        )
        _reject_unrequestable(route)
        distinct = [_fill_parameters(request, route, selection)]
        for attempt in range(1, 1 + MAX_ALTERNATIVES):
            with contextlib.suppress(NoExample):
                candidate = _fill_parameters(request, route, selection, attempt)
                if candidate not in distinct:
                    distinct.append(candidate)
        return replace(distinct[0], alternatives=tuple(distinct[1:]))
    except NoExample as error:
        why = str(error)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        why = "atonce cannot read its entry in the OpenAPI document"
    printable = "".join(letter if letter.isprintable() else "?" for letter in why)
    return replace(request, skipped=printable)


def _credential_flag(scheme: dict[str, Any]) -> str:
    """Return the flag for a credential; OAuth 2 and OpenID Connect use bearer tokens."""
    match scheme.get("type"), scheme.get("in"), scheme.get("name"):
        case "apiKey", "header", name:
            return f"--header '{name}: ...'"
        case "apiKey", _, name:
            return f"--param {name}=..."
        case "oauth2", _, _:
            return "--header 'Authorization: Bearer ...' (OAuth2)"
    return f"--header 'Authorization: {str(scheme.get('scheme', 'bearer')).capitalize()} ...'"


def _reject_unrequestable(route: DeclaredRoute) -> None:
    """Raise NoExample for routes that are not HTTP, or whose parameters are unknown."""
    if route.method == "WEBSOCKET":
        raise NoExample("a WebSocket")
    if route.method == "MOUNT":
        example = f"--route 'GET {route.path.rstrip('/')}/...'"
        raise NoExample(f"mounted files, or an app without a list of routes: {example} names one")
    is_hidden = route.handler.get("hidden") and route.document and not route.operation
    if is_hidden and not route.is_named:
        raise NoExample(
            "hidden from the OpenAPI document, so its parameters are unknown: --route"
            f" '{route.name}' requests it without any"
        )


def _fill_parameters(
    request: RouteRequest, route: DeclaredRoute, selection: RouteSelection, attempt: int = 0
) -> RouteRequest:
    """Fill in parameters and body; each attempt takes the next candidates. Raises NoExample."""
    path, headers, cookies = request.path, dict[str, str](), list[str]()
    query, keys = list[tuple[str, str]](), list[tuple[str, str]]()
    excluded_headers = _IGNORED_HEADERS | {name.lower() for name in selection.headers}
    for parameter in route.parameters():
        name = parameter["name"]
        candidates = candidate_values(parameter, route.document, selection)
        values = candidates[min(attempt, len(candidates) - 1)]
        match parameter.get("in"):
            case "path":
                if values == ("",):
                    raise NoExample(
                        f"{name} is empty, but a path needs a value: --param {name}=..."
                    )
                path = path.replace(_encode_path(f"{{{name}}}"), quote(",".join(values), safe=""))
            case "query":
                (keys if "secret" in parameter else query).extend((name, it) for it in values)
            case "cookie":
                cookies += [f"{name}={quote(value)}" for value in values]
            case "header" if values and name.lower() not in excluded_headers:
                headers[name] = quote(", ".join(values), safe=string.punctuation + " ")
    if cookies and "cookie" not in excluded_headers:
        headers["Cookie"] = "; ".join(cookies)
    body, content_type = _build_body(route, selection)
    path = _append_query(path, query)
    return replace(
        request,
        path=_append_query(path, [(name, MASK) for name, _ in keys]),
        path_with_keys=_append_query(path, keys) if keys else "",
        headers=headers,
        body=body,
        content_type=content_type,
    )


def _append_query(path: str, query: list[tuple[str, str]]) -> str:
    mark = "&" if "?" in path else "?"
    return path + mark + urlencode(query, quote_via=quote, safe="*") if query else path


def _encode_path(path: str) -> str:
    """Percent-encode a path where it must be; the braces of parameters stay."""
    return quote(path, safe="/?:@!$&'()*+,;=~%{}")


def _build_body(route: DeclaredRoute, selection: RouteSelection) -> tuple[bytes | None, str | None]:
    """Return the body and its media type: the user's, an example, or made from the schema.

    Raises NoExample if a required one cannot be made, UsageError for an invalid body of the user.
    """
    request = resolve_reference(route.document, route.operation.get("requestBody")) or {}
    content, is_required = request.get("content", {}), request.get("required")
    form = _FORM_MEDIA_TYPE if _FORM_MEDIA_TYPE in content else None
    media = next((item for item in content if media_family(item) == "json"), form)
    if content and media is None:
        if not is_required:
            return None, None
        is_multipart = any("multipart" in item for item in content)
        kind = "multipart form, with files" if is_multipart else f"body of {next(iter(content))}"
        raise NoExample(f"takes a {kind}, which atonce cannot make")
    given = selection.bodies.get(route.name.partition("?")[0])
    if given is not None:
        media = media or "application/json"
        return _check_json_body(given, media, route.name), media
    if media is None:
        return None, None
    value = next(iter(schema_examples(content[media])), None)
    try:
        if value is None:
            value = make_example(content[media].get("schema"), SchemaPath(route.document, "body"))
    except NoExample as error:
        if not is_required:
            return None, None
        raise NoExample(f"{error}: --body '{route.name}=@FILE'") from error
    if media != _FORM_MEDIA_TYPE:
        return json.dumps(value).encode(), media
    fields = {name: it if isinstance(it, list) else [it] for name, it in value.items()}
    texts = {name: list(map(url_value, items)) for name, items in fields.items()}
    return urlencode(texts, doseq=True).encode(), media


def _check_json_body(body: bytes, media: str, route: str) -> bytes:
    if media_family(media) == "json":
        try:
            json.loads(body)
        except ValueError as error:
            raise UsageError(f"invalid --body for {route}: not JSON ({error}).") from error
    return body


def _declared_media_type(route: DeclaredRoute) -> str | None:
    """Return the media type of its 2xx answers, if the document really declares one.

    FastAPI writes `application/json` with an empty schema for every route that declares nothing: a
    file, a page, a redirect. Raises NoExample for a declared stream.
    """
    content: dict[str, dict[str, Any]] = {}
    for status, answer in route.operation.get("responses", {}).items():
        if str(status).startswith("2"):
            content |= (resolve_reference(route.document, answer) or {}).get("content") or {}
    if content and all(media.partition(";")[0].lower() in STREAM_MEDIA_TYPES for media in content):
        raise NoExample(f"a stream ({next(iter(content))})")
    is_vague = any(
        media_family(media) == "json" and not set(entry.get("schema") or {}) - {"title"}
        for media, entry in content.items()
    )
    kinds = set(map(media_family, content))
    return next(iter(content)) if len(kinds) == 1 and kinds != {"*"} and not is_vague else None
