"""A gate: a demand on a route, such as `p99(GET /checkout) @ 50/s < 250ms`.

    gate    := metric [ "(" scope ")" ] [ "@" level ] compare limit
    scope   := METHOD " " PATH | PATH | glob     no scope: every measured route must pass
    level   := NUMBER "/s" | NUMBER "u"          arrivals or users; none: the highest level run
    compare := "<" | "<=" | ">" | ">="           and of a verdict or a place "==" | "!="
    limit   := NUMBER with its unit, a verdict's code, or what requests wait for: asyncpg.Pool, lock

This module parses gates and lists what must be run for them; the report judges them.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from results.errors import AtonceError, UsageError
from results.schema import MAX_RATE, MAX_USERS
from results.verdicts import Verdict
from results.wait_names import WAIT_NAMES


class MetricKind(StrEnum):
    """What a metric is, in words for an error about a limit of another unit."""

    TIME = "a time; write its limit as 250ms (us, ms or s)"
    SHARE = "a share; write its limit as 1%"
    RATE = "a rate; write its limit as 50/s"
    RATIO = "a ratio; write its limit as 5x"
    COUNT = "a plain number; write its limit as 20, without a unit"
    CODE = "a verdict; name one of"
    PLACE = "what requests wait for; name one of"


_UNITS: dict[MetricKind, dict[str, float]] = {  # divisors of numbers by unit
    MetricKind.TIME: {"us": 1e6, "ms": 1e3, "s": 1.0},
    MetricKind.SHARE: {"%": 100.0},
    MetricKind.RATE: {"/s": 1.0},
    MetricKind.RATIO: {"x": 1.0},
    MetricKind.COUNT: {"": 1.0},
}
_LATENCY_METRICS = ("p50", "p90", "p95", "p99", "p99.9", "mean", "max")
METRICS = {
    **dict.fromkeys(_LATENCY_METRICS, MetricKind.TIME),
    **dict.fromkeys(("service_s", "loop_hold", "loop_lag_p99", "loop_lag_max"), MetricKind.TIME),
    "neighbour_p90": MetricKind.TIME,
    **dict.fromkeys(("errors", "dropped", "waiting"), MetricKind.SHARE),
    **dict.fromkeys(("rate", "capacity"), MetricKind.RATE),
    "neighbour_ratio": MetricKind.RATIO,
    "served_at_once": MetricKind.COUNT,
    "verdict": MetricKind.CODE,
    "waits_in": MetricKind.PLACE,
}
LEVEL_METRICS = (*_LATENCY_METRICS, "errors", "dropped", "waiting", "rate")
NEIGHBOUR_METRICS = ("neighbour_p90", "neighbour_ratio")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_MAX_LEVEL = {"u": MAX_USERS, "/s": MAX_RATE}
# requests that must lie beyond a quantile, and that a limited share must stand for
_MIN_TAIL_REQUESTS = 10
_MIN_REQUESTS = 100
QUANTILE_REQUESTS = {"p50": 20, "p90": 100, "p95": 200, "p99": 1_000, "p99.9": 10_000}
_GATE_PATTERN = re.compile(
    r"([\w.]+) ?(?:\((.*)\))? ?(?:@([^<>=!]*))?(<=|>=|==|!=|[<>=])(.*)", re.ASCII
)
_NUMBER_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(.*)", re.ASCII)
_MAX_LISTED = 8  # routes that a sentence lists


@dataclass(frozen=True, slots=True)
class GateLevel:
    """A number of users ("u"), or of arrivals per second ("/s")."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:g}{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A demand; `limit` in seconds, shares, requests per second or numbers, or a verdict's code."""

    expression: str
    metric: str
    scope: str | None
    level: GateLevel | None
    comparison: str
    limit: float | str

    def matches(self, route: str) -> bool:
        """Return whether the gate covers a route ("GET /items/{id}"); `*` also matches slashes."""
        if self.scope is None:
            return True
        (method, _, path), (wanted, _, pattern) = route.partition(" "), self.scope.rpartition(" ")
        return wanted in {"", method} and (path == pattern or fnmatchcase(path, pattern))

    @property
    def min_requests(self) -> int:
        """How many requests a judgement takes."""
        if self.metric in {"errors", "dropped"} and self.limit:
            return max(_MIN_REQUESTS, math.ceil(_MIN_TAIL_REQUESTS / float(self.limit)))
        return QUANTILE_REQUESTS.get(self.metric, _MIN_REQUESTS)


def parse_gate(text: str) -> Gate:
    """Parse a gate. Raises AtonceError with what would fit."""
    expression = " ".join(text.split())
    try:
        return _parse_expression(expression)
    except ValueError as error:
        example = "Example: 'p99(GET /checkout) @ 50/s < 250ms'"
        raise UsageError(f"invalid gate {expression!r}: {error}. {example}") from None


def _parse_expression(expression: str) -> Gate:
    match = _GATE_PATTERN.fullmatch(expression)
    if not match:
        raise ValueError("write METRIC(ROUTE) @ LEVEL < LIMIT; (ROUTE) and @ LEVEL are optional")
    metric, scope, level, compare, limit = match.groups()
    if metric not in METRICS:
        near = get_close_matches(metric, METRICS, 1)
        advice = f"perhaps you mean {near[0]}" if near else f"there are {', '.join(METRICS)}"
        raise ValueError(f"{metric} is no metric; {advice}")
    return Gate(
        expression=expression,
        metric=metric,
        scope=None if scope is None else _parse_scope(scope),
        level=_parse_gate_level(metric, None if level is None else level.replace(" ", "")),
        comparison=_parse_comparison(metric, compare),
        limit=_parse_limit(metric, limit.replace(" ", "")),
    )


def _parse_scope(text: str) -> str:
    *method, path = text.split() or [""]
    if len(method) > 1 or not path.startswith(("/", "*")) or not "".join(method).isascii():
        raise ValueError(f"({text}) names no route; write (GET /search), (/search) or (GET /api/*)")
    return " ".join([*(word.upper() for word in method), path])


def _parse_gate_level(metric: str, text: str | None) -> GateLevel | None:
    if text is not None and metric not in LEVEL_METRICS:
        raise ValueError(f"{metric} is one number per route; leave the level out")
    number = _NUMBER_PATTERN.fullmatch(text or "")
    level = GateLevel(float(number[1]), number[2]) if number else None
    if text is not None and not (level and _is_possible(level)):
        maximum = " and ".join(f"{maximum:g}{unit}" for unit, maximum in _MAX_LEVEL.items())
        advice = f"write users as 16u, arrivals per second as 50/s, at most {maximum}"
        raise ValueError(f"{text or 'nothing'} is no level; {advice}")
    if metric == "dropped" and (level is None or level.unit == "u"):  # users wait for their answers
        raise ValueError("only arrivals at a rate can be dropped; write dropped @ 50/s")
    return level


def _is_possible(level: GateLevel) -> bool:
    is_whole = level.unit == "/s" or level.amount % 1 == 0
    return is_whole and 0 < level.amount <= _MAX_LEVEL.get(level.unit, 0)


def _parse_comparison(metric: str, text: str) -> str:
    is_code = METRICS[metric] in {MetricKind.CODE, MetricKind.PLACE}
    if text not in COMPARISONS or is_code != (text in {"==", "!="}):
        fitting = "== or !=" if is_code else "<, <=, > or >="
        raise ValueError(f"{metric} is compared with {fitting}")
    return text


def _parse_limit(metric: str, text: str) -> float | str:
    kind = METRICS[metric]
    if kind is MetricKind.CODE:
        if text not in set(Verdict):
            codes = ", ".join(Verdict)
            raise ValueError(f"{text or 'nothing'} is no verdict; the verdicts are {codes}")
        return text
    if kind is MetricKind.PLACE:
        if text not in WAIT_NAMES:
            near = get_close_matches(text, WAIT_NAMES, 1)
            advice = f"perhaps you mean {near[0]}" if near else f"there are {', '.join(WAIT_NAMES)}"
            raise ValueError(f"{text or 'nothing'} is nothing that requests wait for; {advice}")
        return text
    number = _NUMBER_PATTERN.fullmatch(text)
    if not number or number[2] not in _UNITS[kind]:
        raise ValueError(f"{text or 'nothing'} does not fit: {metric} is {kind}")
    return float(number[1]) / _UNITS[kind][number[2]]


def required_levels(gates: Iterable[Gate], route: str) -> dict[GateLevel | None, int]:
    """Return levels and requests that a route's gates need; None is the highest level run."""
    needed: dict[GateLevel | None, int] = {}
    for gate in gates:
        if gate.matches(route):
            needed[gate.level] = max(needed.get(gate.level, 0), gate.min_requests)
    return needed


def unmatched_gate_error(
    gates: Iterable[Gate], routes: Mapping[str, str | None]
) -> AtonceError | None:
    """Return an error for a gate without a measured route; `routes` has why each is skipped."""
    measured = [route for route, skipped in routes.items() if skipped is None]
    for gate in gates:
        matching = {route: why for route, why in routes.items() if gate.matches(route)}
        if None in matching.values():
            continue
        has_method = " " in (gate.scope or " ")
        names = [route if has_method else route.partition(" ")[2] for route in measured]
        if matching:
            skipped = [f"{route}: {why}" for route, why in matching.items()][:_MAX_LISTED]
            reason = f"every route that it matches is skipped ({'; '.join(skipped)})"
        elif near := get_close_matches(gate.scope or "", names, 1):
            reason = f"the run measures no such route; perhaps you mean {near[0]}"
        else:
            more = ", ..." if len(measured) > _MAX_LISTED else ""
            listed = ", ".join(measured[:_MAX_LISTED]) + more
            reason = f"the run measures only these routes: {listed or 'none'}"
        return UsageError(f"the gate {gate.expression!r} cannot be judged: {reason}.")
    return None
