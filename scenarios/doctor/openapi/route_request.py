"""The request for one route: shared by route selection, smoke test and load."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scenarios.generator.job import COMMON_HEADERS, RequestTemplate

STREAM_MEDIA_TYPES = (
    "text/event-stream",
    "application/jsonl",
    "application/x-ndjson",
    "application/json-seq",
    "multipart/x-mixed-replace",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """A route and one request for it. `skipped` is a clause that says why it must not be loaded."""

    route: str  # `GET /items/{item_id}`
    path: str  # `/items/1?q=x`: filled in and percent-encoded; an API key in it is masked
    # With its API keys, if it has any. This and the headers are never stored or printed
    path_with_keys: str = field(default="", repr=False)
    # Its header and cookie parameters, without the user's own headers
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    declared_type: str | None = None  # the media type that OpenAPI declares for a 2xx answer
    credential_flags: tuple[str, ...] = ()  # that satisfy its security schemes
    alternatives: tuple["RouteRequest", ...] = ()  # with other values, in case these are refused
    skipped: str | None = None
    is_async: bool | None = None
    file: str | None = None
    line: int | None = None


def create_template(request: RouteRequest, headers: Mapping[str, str]) -> RequestTemplate:
    """Create the template of a route's requests; the user's headers win."""
    kind = {"content-type": request.content_type} if request.content_type else {}
    groups = (COMMON_HEADERS, kind, request.headers, headers)
    merged_headers = {name.lower(): value for group in groups for name, value in group.items()}
    body = None if request.body is None else request.body.decode("latin-1")
    return RequestTemplate(merged_headers, body, request.path_with_keys)


def media_family(media: str) -> str:
    """Return the family of a media type: `json`, or the word before the slash."""
    kind = media.partition(";")[0].strip().lower()
    return "json" if kind.endswith(("/json", "+json")) else kind.partition("/")[0]
