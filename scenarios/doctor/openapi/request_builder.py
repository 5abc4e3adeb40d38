"""One request for one route: its parameters and its body filled in, or the reason why it is not asked."""

import contextlib
import json
import re
import string
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from results.errors import Exit, Trouble
from scenarios.doctor.openapi.candidates import candidates_of, plain
from scenarios.doctor.openapi.json_schema import pointed, shown
from scenarios.doctor.openapi.route_request import STREAMS, Asked, family
from scenarios.doctor.openapi.route_selection import Choice
from scenarios.doctor.openapi.schema_example import Spot, Unfillable, fill
from scenarios.system.redact import MASK

HOLE = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")  # Starlette's {name} and {name:convertor}
CONVERTORS: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number", "default": 1.0},
    "uuid": {"format": "uuid"},
}
FORM = "application/x-www-form-urlencoded"
MOST_OTHERS = 3  # requests with other values, for a route that refuses the first
NOT_PARAMETERS = {"accept", "content-type"}  # OpenAPI says: as header parameters they mean nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A route that the app declares: from its OpenAPI document, from the census of its router, or from both."""

    name: str
    template: str
    """Its path as declared, with convertors."""
    operation: dict[str, Any] | None
    told: dict[str, Any]
    """Its line of the census."""
    named: bool = False

    @property
    def method(self) -> str:
        """GET; WEBSOCKET and MOUNT for what is none."""
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        """Without convertors."""
        return self.name.partition(" ")[2]

    def parameters(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """Those declared, a later one instead of an earlier, those that only the path tells of, and keys; without what stands in it already."""
        told = [
            {"in": "path", "name": name, "required": True, "schema": of_convertor(name, kind)}
            for name, kind in HOLE.findall(self.template)
        ]
        declared = [pointed(document, one) for one in (self.operation or {}).get("parameters", [])]
        keys = [{**one, "secret": True} for one in self.schemes(document) if one.get("type") == "apiKey"]
        known = [one for one in [*told, *declared, *keys] if isinstance(one, dict) and isinstance(one.get("name"), str)]
        return [
            one
            for (where, name), one in {(one.get("in"), one["name"]): one for one in known}.items()
            if not (where == "path" and f"{{{name}}}" not in self.path)
            and not (where == "query" and "?" in self.path and "secret" not in one)
        ]

    def schemes(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """The security schemes that it names, or the whole document does."""
        named = (self.operation or {}).get("security", document.get("security"))
        names = [name for one in (named if isinstance(named, list) else []) if isinstance(one, dict) for name in one]
        found = [pointed(document, {"$ref": f"#/components/securitySchemes/{name}"}) for name in dict.fromkeys(names)]
        return [one for one in found if isinstance(one, dict)]


def of_convertor(name: str, kind: str) -> dict[str, Any]:
    """A schema for a path parameter of which only name and convertor are known: ids are numbers more often than not."""
    return CONVERTORS.get(kind, {"default": "1"} if name.lower().endswith("id") else {"type": "string"})


def ask(found: Found, document: dict[str, Any], choice: Choice) -> Asked:
    """The route as it will be asked; `skipped` when it cannot be."""
    told: dict[str, Any] = {key: found.told.get(key) for key in ("is_async", "file", "line")}
    asked = Asked(route=found.name, path=literal(found.path), **told)
    try:
        keys = tuple(one for one in map(key_flag, found.schemes(document)) if one.isprintable())
        asked = replace(asked, keys=keys, declared=promised(found.operation or {}, document))
        must_be_askable(found, document)
        return with_others(asked, found, document, choice)
    except Unfillable as no:
        why = str(no)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        why = "its entry in the OpenAPI document cannot be understood"
    return replace(asked, skipped="".join(letter if letter.isprintable() else "?" for letter in why))


def key_flag(scheme: dict[str, Any]) -> str:
    """How a person gives what a security scheme asks for. OAuth 2 and OpenID Connect hand out bearer tokens."""
    match scheme.get("type"), scheme.get("in"), scheme.get("name"):
        case "apiKey", "header", name:
            return f"--header '{name}: ...'"
        case "apiKey", _, name:
            return f"--param {name}=..."
        case "oauth2", _, _:
            return "--header 'Authorization: Bearer ...' (OAuth2)"
    return f"--header 'Authorization: {str(scheme.get('scheme', 'bearer')).capitalize()} ...'"


def must_be_askable(found: Found, document: dict[str, Any]) -> None:
    """Raises Unfillable for what is no request, and for a route of which nothing is known but its path."""
    if found.method == "WEBSOCKET":
        raise Unfillable("a WebSocket")
    if found.method == "MOUNT":
        raise Unfillable(f"mounted files, or an app that lists no routes: --route 'GET {found.path.rstrip('/')}/...' names one")
    if found.told.get("hidden") and found.operation is None and document and not found.named:
        raise Unfillable(
            f"hidden from the OpenAPI document, so its parameters are unknown: --route '{found.name}' asks it as it stands"
        )


def with_others(asked: Asked, found: Found, document: dict[str, Any], choice: Choice) -> Asked:
    """The request with the likeliest values, and a few for when they are refused."""
    first, others = filled(asked, found, document, choice), []
    for turn in range(1, 1 + MOST_OTHERS):
        with contextlib.suppress(Unfillable):
            others += [filled(asked, found, document, choice, turn)]
    distinct = {(one.path, one.sent, *one.headers.items()): one for one in reversed([first, *others])}
    return replace(first, others=tuple(one for one in reversed(distinct.values()) if one is not first))


def filled(asked: Asked, found: Found, document: dict[str, Any], choice: Choice, turn: int = 0) -> Asked:
    """Parameters where they belong, the next candidates at each turn; the body. Raises Unfillable."""
    path, cookies, headers = asked.path, [], {}
    query: list[tuple[str, str]] = []
    keys: list[tuple[str, str]] = []
    ours = NOT_PARAMETERS | {name.lower() for name in choice.headers}
    for one in found.parameters(document):
        name, where = one["name"], one.get("in")
        candidates = candidates_of(one, document, choice)
        values = candidates[min(turn, len(candidates) - 1)]
        match where:
            case "path":
                if values == ("",):
                    raise Unfillable(f"{name} is empty, which no path can hold: --param {name}=...")
                path = path.replace(literal(f"{{{name}}}"), quote(",".join(values), safe=""))
            case "query":
                pairs = [(name, value) for value in values]
                keys, query = ([*keys, *pairs], query) if "secret" in one else (keys, [*query, *pairs])
            case "cookie":
                cookies += [f"{name}={quote(value)}" for value in values]
            case "header" if values and name.lower() not in ours:
                headers[name] = quote(", ".join(values), safe=string.punctuation + " ")
    if cookies and "cookie" not in ours:
        headers["Cookie"] = "; ".join(cookies)
    body, content_type = body_of(found, document, choice)
    path = extended(path, query)
    told, sent = extended(path, [(name, MASK) for name, _ in keys]), extended(path, keys) if keys else ""
    return replace(asked, path=told, sent=sent, headers=headers, body=body, content_type=content_type)


def extended(path: str, query: list[tuple[str, str]]) -> str:
    """A path with more of a query."""
    return path + ("&" if "?" in path else "?") + urlencode(query, quote_via=quote, safe="*") if query else path


def literal(path: str) -> str:
    """The fixed part of a path, percent-encoded where it must be; braces wait for their values."""
    return quote(path, safe="/?:@!$&'()*+,;=~%{}")


def body_of(found: Found, document: dict[str, Any], choice: Choice) -> tuple[bytes | None, str | None]:
    """The body and its media type: the person's, an example, or made from the schema. Raises Unfillable, and Trouble for theirs."""
    request = pointed(document, (found.operation or {}).get("requestBody")) or {}
    content = request.get("content", {})
    media = next((one for one in content if family(one) == "json"), FORM if FORM in content else None)
    given = choice.bodies.get(found.name.partition("?")[0])
    help_ = f": --body '{found.name}=@FILE'"
    try:
        if content and media is None:
            kind = "multipart form, with files" if any("multipart" in one for one in content) else f"body of {next(iter(content))}"
            raise Unfillable(f"takes a {kind}, which atonce cannot make")  # noqa: TRY301 - an optional one may be left out below
        if given is not None:
            return checked(given, media or "application/json", found.name), media or "application/json"
        if media is None:
            return None, None
        value = (shown(content[media]) or [None])[0]
        value = fill(content[media].get("schema"), Spot(document, "body")) if value is None else value
    except Unfillable as no:
        if request.get("required"):
            raise Unfillable(f"{no}{help_ if media else ''}") from no
        return None, None
    if media == FORM:
        pairs = [(name, plain(one)) for name, many in value.items() for one in (many if isinstance(many, list) else [many])]
        return urlencode(pairs).encode(), media
    return json.dumps(value).encode(), media


def checked(body: bytes, media: str, route: str) -> bytes:
    """A person's own body. Raises Trouble for JSON that is none."""
    if family(media) == "json":
        try:
            json.loads(body)
        except ValueError as error:
            raise Trouble(f"The body of {route} is no JSON, which it takes ({error}). Correct --body.", Exit.USAGE) from error
    return body


def promised(operation: dict[str, Any], document: dict[str, Any]) -> str | None:
    """The media type of its 2xx answers, where the document really promises one. Raises Unfillable where it promises a stream.

    FastAPI writes `application/json` with an empty schema for every route that says nothing: a file, a page, a redirect.
    """
    answers = [
        pointed(document, answer) for status, answer in operation.get("responses", {}).items() if str(status).startswith("2")
    ]
    content = {media: entry for answer in answers for media, entry in ((answer or {}).get("content") or {}).items()}
    if content and all(media.partition(";")[0].lower() in STREAMS for media in content):
        raise Unfillable(f"a stream ({next(iter(content))})")
    vague = any(family(media) == "json" and not set(entry.get("schema") or {}) - {"title"} for media, entry in content.items())
    kinds = {family(media) for media in content}
    return next(iter(content)) if len(kinds) == 1 and kinds != {"*"} and not vague else None
