"""Parses the flags that select what to examine: routes, parameters, bodies, headers."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from results.errors import UsageError
from scenarios.doctor.options import DoctorOptions
from scenarios.plans.custom import normalise_route

_HEADER_PATTERN = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSelection:
    """The parsed flags. `headers` may hold secrets: only the driver sends them, none is shown."""

    routes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    params: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def parse_route_selection(options: DoctorOptions) -> RouteSelection:
    """Parse the flags. Raises UsageError."""
    headers = enumerate(options.header or (), 1)
    return RouteSelection(
        routes=tuple(dict.fromkeys(map(normalise_route, options.route or ()))),
        only=tuple(options.only or ()),
        exclude=tuple(options.exclude or ()),
        params=dict(map(_parse_param, options.param or ())),
        bodies=dict(map(_parse_body, options.body or ())),
        headers=dict(_parse_header(text, number) for number, text in headers),
    )


def _parse_param(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"invalid --param {text!r}: expected NAME=VALUE. Example: item_id=1")
    return name.strip(), value


def _parse_body(text: str) -> tuple[str, bytes]:
    """Parse `POST /x=@query.json` or `POST /x=BODY`. Raises UsageError, also if unreadable."""
    name, equals, value = text.partition("=")
    route = normalise_route(name)
    if not equals or not value or " /" not in route:
        example = "'POST /search=@query.json'"
        raise UsageError(f"invalid --body {name!r}: expected ROUTE=BODY. Example: {example}")
    if not value.startswith("@"):
        return route, value.encode()
    try:
        return route, Path(value[1:]).read_bytes()
    except OSError as error:
        raise UsageError(
            f"invalid --body for {route}: cannot read {value[1:]}: {error.strerror}."
        ) from error


def _parse_header(text: str, number: int) -> tuple[str, str]:
    """Parse `Name: value`. Raises UsageError without the text, which may be a secret."""
    match = _HEADER_PATTERN.fullmatch(text.strip())
    if not match:
        raise UsageError(
            f"invalid --header #{number} (not shown: it may be secret). Expected 'Name: value',"
            " in ASCII."
        )
    return match[1], match[2]


def suggest_names(name: str, names: Iterable[str]) -> str:
    """Return the names that the user may have meant, joined by commas."""
    every = list(dict.fromkeys(names))
    return ", ".join(difflib.get_close_matches(name, every, 3, 0.5) or every[:3]) or "none"
