"""Parses the flags that select what to examine: routes, parameters, bodies, headers."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from results.errors import AtonceError, ExitCode

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


def parse_route_selection(  # noqa: PLR0913 - one parameter per flag
    *,
    routes: Iterable[str] = (),
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    params: Iterable[str] = (),
    bodies: Iterable[str] = (),
    headers: Iterable[str] = (),
) -> RouteSelection:
    """Parse the flags, each with all its values. Raises AtonceError."""
    return RouteSelection(
        routes=tuple(dict.fromkeys(map(_normalise_route, routes))),
        only=tuple(only),
        exclude=tuple(exclude),
        params=dict(map(_parse_param, params)),
        bodies=dict(map(_parse_body, bodies)),
        headers=dict(_parse_header(text, number) for number, text in enumerate(headers, 1)),
    )


def _normalise_route(text: str) -> str:
    """`post  /x` becomes POST /x, and `/x` GET /x."""
    method, _, path = text.strip().rpartition(" ")
    return f"{method.strip().upper() or 'GET'} {path}"


def _parse_param(text: str) -> tuple[str, str]:
    """Parse `item_id=1`. Raises AtonceError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise AtonceError(
            f"{text!r} is no parameter. For example: --param item_id=1", ExitCode.USAGE
        )
    return name.strip(), value


def _parse_body(text: str) -> tuple[str, bytes]:
    """Parse `POST /x=@query.json` or `POST /x=BODY`. Raises AtonceError, also if unreadable."""
    name, equals, value = text.partition("=")
    if not equals or not value or " /" not in _normalise_route(name):
        sentence = (
            f"--body {name!r} does not say whose body it is. For example: --body 'POST"
            " /search=@query.json'"
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    if not value.startswith("@"):
        return _normalise_route(name), value.encode()
    try:
        return _normalise_route(name), Path(value[1:]).read_bytes()
    except OSError as error:
        raise AtonceError(
            f"The body of {_normalise_route(name)} cannot be read from {value[1:]}:"
            f" {error.strerror}.",
            ExitCode.USAGE,
        ) from error


def _parse_header(text: str, number: int) -> tuple[str, str]:
    """Parse `Name: value`. Raises AtonceError without the text, which may be a secret."""
    match = _HEADER_PATTERN.fullmatch(text.strip())
    if not match:
        sentence = (
            f"The header no. {number} is none: write --header 'Name: value', in ASCII. Its text is"
            " not shown, for it may be secret."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    return match[1], match[2]


def suggest_names(name: str, names: Iterable[str]) -> str:
    """The names that the user may have meant, joined by commas."""
    every = list(dict.fromkeys(names))
    return ", ".join(difflib.get_close_matches(name, every, 3, 0.5) or every[:3]) or "none at all"
