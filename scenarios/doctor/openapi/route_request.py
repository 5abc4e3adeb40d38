"""One route of somebody's app, as it will be asked: what routes, politeness and load say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scenarios.generator.job import COMMON, Letter

STREAMS = ("text/event-stream", "application/jsonl", "application/x-ndjson", "application/json-seq", "multipart/x-mixed-replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A route and one request for it. `skipped` is a clause that says why it must not be loaded."""

    route: str
    """`GET /items/{item_id}`"""
    path: str
    """`/items/1?q=x`: filled in and percent-encoded; a key in it is masked."""
    sent: str = field(default="", repr=False)
    """The path with its keys, where it has some: never stored or printed."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Its parameters in headers and cookies. A person's own headers are kept apart: none is ever stored or printed."""
    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    declared: str | None = None
    """The media type that OpenAPI promises for a 2xx answer."""
    keys: tuple[str, ...] = ()
    """The flags that give what its security schemes ask for."""
    others: tuple["Asked", ...] = ()
    """The same with other values, for when these are refused."""
    skipped: str | None = None
    is_async: bool | None = None
    file: str | None = None
    line: int | None = None


def letter_of(asked: Asked, headers: Mapping[str, str]) -> Letter:
    """What each request for a route carries, polite or not; a person's own headers go first."""
    kind = {"content-type": asked.content_type} if asked.body is not None and asked.content_type else {}
    known = {name.lower(): one for told in (COMMON, kind, asked.headers, headers) for name, one in told.items()}
    return Letter(known, None if asked.body is None else asked.body.decode("latin-1"), asked.sent)


def family(media: str) -> str:
    """What two media types must share to pass for the same kind: `json`, or the word before the slash."""
    kind = media.partition(";")[0].strip().lower()
    return "json" if kind.endswith(("/json", "+json")) else kind.partition("/")[0]
