"""A gate: what somebody demands of a route, such as `p99(GET /checkout) @ 50/s < 250ms`.

    gate    := metric [ "(" scope ")" ] [ "@" level ] compare limit
    scope   := METHOD " " PATH | PATH | glob     no scope: every measured route must hold
    level   := NUMBER "/s" | NUMBER "u"          arrivals or users; none: the highest level run
    compare := "<" | "<=" | ">" | ">="           and of a verdict "==" | "!="
    limit   := NUMBER with its unit, or a verdict's code

`served_at_once` and `capacity` are bounds (">= x") where nothing queued. What x does not decide is inconclusive, but one: at
least 20 served at once holds where nothing queued for 20 users or more, however quick the route (and so seldom asked at once).

The neighbours are those that the verdict goes by: beside the largest crowd; beside a healthy route that fills the core, at
half of its capacity. The outcome names the load, and of the two neighbours the one that waits longer counts.

Here it is understood, and says what must be run for it; the report judges it.
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

from results.errors import Exit, Trouble
from results.schema import FASTEST, MOST_USERS


class Kind(StrEnum):
    """What a metric is. The text says so to whoever wrote its limit in another unit."""

    TIME = "a time; write its limit as 250ms (us, ms or s)"
    SHARE = "a share; write its limit as 1%"
    RATE = "a rate; write its limit as 50/s"
    RATIO = "a ratio; write its limit as 5x"
    COUNT = "a plain number; write its limit as 20, without a unit"
    CODE = "a verdict; name one of"


UNITS: dict[Kind, dict[str, float]] = {  # what a number is divided by
    Kind.TIME: {"us": 1e6, "ms": 1e3, "s": 1.0},
    Kind.SHARE: {"%": 100.0},
    Kind.RATE: {"/s": 1.0},
    Kind.RATIO: {"x": 1.0},
    Kind.COUNT: {"": 1.0},
}
METRICS = {
    **dict.fromkeys(("p50", "p90", "p95", "p99", "p99.9", "mean", "max"), Kind.TIME),
    **dict.fromkeys(("service_s", "loop_hold", "loop_lag_p99", "loop_lag_max", "neighbour_p90"), Kind.TIME),
    **dict.fromkeys(("errors", "dropped", "waiting"), Kind.SHARE),
    **dict.fromkeys(("rate", "capacity"), Kind.RATE),
    "neighbour_ratio": Kind.RATIO,
    "served_at_once": Kind.COUNT,
    "verdict": Kind.CODE,
}
AT_A_LEVEL = ("p50", "p90", "p95", "p99", "p99.9", "mean", "max", "errors", "dropped", "waiting", "rate")
NEIGHBOURS = ("neighbour_p90", "neighbour_ratio")
CODES = (
    *("scales", "loop-blocked", "loop-busy", "gil-bound", "thread-pool", "executor-pool", "pool-limited"),
    *("wrong-answer", "unknown", "untrusted"),
)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
MOST = {"u": MOST_USERS, "/s": FASTEST}
BEYOND = 10  # requests that must lie beyond a quantile, and that a limited share must stand for
FEWEST = 100
ENOUGH = {"p50": 20, "p90": 100, "p95": 200, "p99": 1_000, "p99.9": 10_000}
SHAPE = re.compile(r"([\w.]+) ?(?:\((.*)\))? ?(?:@([^<>=!]*))?(<=|>=|==|!=|[<>=])(.*)", re.ASCII)
NUMBER = re.compile(r"(\d+(?:\.\d+)?)(.*)", re.ASCII)
NAMED = 8  # routes that a sentence lists


@dataclass(frozen=True, slots=True)
class Level:
    """So many users ("u"), or arrivals per second ("/s")."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:g}{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One demand. `limit` in seconds, shares, requests per second or plain numbers, or a verdict's code."""

    expression: str
    metric: str
    scope: str | None
    level: Level | None
    compare: str
    limit: float | str

    def matches(self, route: str) -> bool:
        """Whether a route ("GET /items/{id}") is meant; `*` also stands for slashes."""
        if self.scope is None:
            return True
        (method, _, path), (asked, _, pattern) = route.partition(" "), self.scope.rpartition(" ")
        return asked in {"", method} and (path == pattern or fnmatchcase(path, pattern))

    @property
    def needs(self) -> int:
        """How many requests it takes to judge it."""
        if self.metric in {"errors", "dropped"} and self.limit:
            return max(FEWEST, math.ceil(BEYOND / float(self.limit)))
        return ENOUGH.get(self.metric, FEWEST)


def parse(text: str) -> Gate:
    """Understand a gate. Raises Trouble with what would fit."""
    expression = " ".join(text.split())

    def fault(why: str) -> Trouble:
        return Trouble(f"{expression!r} is no gate: {why}. For example: 'p99(GET /checkout) @ 50/s < 250ms'", Exit.USAGE)

    found = SHAPE.fullmatch(expression)
    if not found:
        raise fault("it reads METRIC(ROUTE) @ LEVEL < LIMIT, where (ROUTE) and @ LEVEL may be left out")
    metric, scope, level, compare, limit = found.groups()
    if metric not in METRICS:
        near = get_close_matches(metric, METRICS, 1)
        raise fault(f"{metric} is no metric; " + (f"perhaps {near[0]} is meant" if near else f"there are {', '.join(METRICS)}"))
    try:
        return Gate(
            expression=expression,
            metric=metric,
            scope=None if scope is None else scope_of(scope),
            level=level_of(metric, None if level is None else level.replace(" ", "")),
            compare=compare_of(metric, compare),
            limit=limit_of(metric, limit.replace(" ", "")),
        )
    except ValueError as error:
        raise fault(str(error)) from None


def scope_of(text: str) -> str:
    """`GET /x`, `/x` or a glob. Raises ValueError."""
    *method, path = text.split() or [""]
    if len(method) > 1 or not path.startswith(("/", "*")) or not "".join(method).isascii():
        raise ValueError(f"({text}) names no route; write (GET /search), (/search) or (GET /api/*)")
    return " ".join([*(one.upper() for one in method), path])


def level_of(metric: str, text: str | None) -> Level | None:
    """`16u` or `50/s`. Raises ValueError, also where a metric has no level, or only one of the two kinds."""
    if text is not None and metric not in AT_A_LEVEL:
        raise ValueError(f"{metric} is one number per route; leave the level out")
    number = NUMBER.fullmatch(text or "")
    level = Level(float(number[1]), number[2]) if number else None
    fits = level is not None and 0 < level.amount <= MOST.get(level.unit, 0) and (level.unit == "/s" or level.amount % 1 == 0)
    if text is not None and not fits:
        most = " and ".join(f"{most:g}{unit}" for unit, most in MOST.items())
        raise ValueError(f"{text or 'nothing'} is no level; write users as 16u, arrivals per second as 50/s, at most {most}")
    if metric == "dropped" and (level is None or level.unit == "u"):  # users wait for their answers
        raise ValueError("only arrivals at a rate can be dropped; write dropped @ 50/s")
    return level


def compare_of(metric: str, text: str) -> str:
    """How it is compared. Raises ValueError."""
    is_code = METRICS[metric] is Kind.CODE
    if text not in COMPARE or is_code != (text in {"==", "!="}):
        raise ValueError(f"{metric} is compared with " + ("== or !=" if is_code else "<, <=, > or >="))
    return text


def limit_of(metric: str, text: str) -> float | str:
    """A code, or a number whose unit fits. Raises ValueError that names the unit."""
    kind = METRICS[metric]
    if kind is Kind.CODE:
        if text not in CODES:
            raise ValueError(f"{text or 'nothing'} is no verdict; the verdicts are {', '.join(CODES)}")
        return text
    number = NUMBER.fullmatch(text)
    if not number or number[2] not in UNITS[kind]:
        raise ValueError(f"{text or 'nothing'} does not fit: {metric} is {kind}")
    return float(number[1]) / UNITS[kind][number[2]]


def asks(gates: Iterable[Gate], route: str) -> dict[Level | None, int]:
    """What must be run for a route, and with how many requests; None is the highest level that is run."""
    needed: dict[Level | None, int] = {}
    for gate in gates:
        if gate.matches(route):
            needed[gate.level] = max(needed.get(gate.level, 0), gate.needs)
    return needed


def unknown_scope(gates: Iterable[Gate], routes: Mapping[str, str | None]) -> Trouble | None:
    """The first gate that no route can answer. `routes` says of each why it is skipped; None will be measured."""
    measured = [route for route, skipped in routes.items() if skipped is None]
    for gate in gates:
        if any(gate.matches(route) for route in measured):
            continue
        skipped = [f"{route}: {why}" for route, why in routes.items() if why is not None and gate.matches(route)]
        if skipped:
            why = f"all it asks for is skipped ({'; '.join(skipped[:NAMED])})"
        else:
            names = [one if " " in (gate.scope or " ") else one.partition(" ")[2] for one in measured]
            near = get_close_matches(gate.scope or "", names, 1)
            listed = ", ".join(measured[:NAMED]) + (", ..." if len(measured) > NAMED else "")
            why = f"no such route will be measured; perhaps {near[0]} is meant" if near else f"measured will be: {listed or 'none'}"
        return Trouble(f"the gate {gate.expression!r} cannot be judged: {why}.", Exit.USAGE)
    return None
