"""Evaluates gates on the summary, so that its file alone gives the same results.

A number that is only bounded lies in [low, high]: a gate holds if both ends meet it, fails if both
ends break it, and is inconclusive otherwise, or if the number was not measured or cannot be
trusted. Where the limit lies inside a number's interval the number itself decides, and the result
is borderline.

One bound is read as its author means it: `served_at_once >= 20` holds where at least 20 users sent
requests and nothing queued, though a quick route answers so soon that fewer are in service at a
time, and one generator cannot send more.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from reports.gates.metrics import Entry, MetricValue, format_metric_value, metric_values
from results.errors import ExitCode
from results.formatting import (
    format_number,
    format_ratio,
    format_seconds,
    format_served_at_once,
    format_share,
)
from results.gate_expression import COMPARISONS, METRICS, Gate, MetricKind, parse_gate
from results.judgement.waits import RUNNING
from results.verdicts import WORST_FIRST, Verdict

GATE_OUTCOMES: dict[bool | None, str] = {True: "holds", False: "fails", None: "inconclusive"}
_FORMATTERS: dict[MetricKind, Callable[[Any], str]] = {
    MetricKind.TIME: format_seconds,
    MetricKind.SHARE: format_share,
    MetricKind.RATE: lambda rate: f"{format_number(rate)}/s",
    MetricKind.RATIO: format_ratio,
    MetricKind.COUNT: format_served_at_once,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Result of a gate, from the route that decides it.

    `margin` is a share of the limit, negative where the gate is broken.
    """

    expression: str
    limit: float | str
    actual: float | str | None = None
    actual_at_least: float | None = None
    holds: bool | None = None
    margin: float | None = None
    borderline: bool = False
    route: str | None
    words: str

    @property
    def severity_key(self) -> tuple[int, float]:
        """Sort key; the smallest decides: failed, inconclusive, then passed; narrowest first."""
        order = [(False, False), (False, True), (None, False), (True, True), (True, False)]
        return order.index((self.holds, self.borderline)), self.margin or 0.0


def evaluate_gates(expressions: Iterable[str], data: Entry) -> list[Entry]:
    """Build the `gates` of a summary."""
    return [asdict(evaluate_gate(parse_gate(expression), data)) for expression in expressions]


def apply_strict(data: Entry) -> Entry:
    """Return the same summary, where a borderline gate is inconclusive."""
    gates = [{**gate, "holds": None} if gate.get("borderline") else gate for gate in data["gates"]]
    return {**data, "gates": gates}


def gates_exit_code(data: Entry) -> ExitCode:
    """Return the exit code of the gates: 1 when one failed, else 3 when one is inconclusive."""
    outcomes = [gate["holds"] for gate in data["gates"]]
    if False in outcomes:
        return ExitCode.FAILED
    return ExitCode.UNTRUSTED if None in outcomes else ExitCode.FINE


def evaluate_gate(gate: Gate, data: Entry) -> GateResult:
    """Judge one gate; of several routes the worst decides."""
    entries = [entry for entry in data["routes"] if gate.matches(entry["route"])]
    results = [result for entry in entries for result in _evaluate_route(gate, entry, data)]
    if not results:
        return _inconclusive_result(gate, None, MetricValue(why="no matching route was measured"))
    worst = min(results, key=lambda result: result.severity_key)
    note = f" (the worst of {len(entries)} routes)" if len(entries) > 1 else ""
    return replace(worst, words=worst.words + note)


def _evaluate_route(gate: Gate, entry: Entry, data: Entry) -> Iterator[GateResult]:
    """One gate result for each number of a route: several where a level was repeated."""
    if "untrusted" in {data["trust"]["verdict"], entry["verdict"]}:
        value = MetricValue(level=gate.level, why="the run cannot be trusted")
        yield _inconclusive_result(gate, entry["route"], value)
    elif METRICS[gate.metric] is MetricKind.CODE:
        yield _compare_verdict(gate, entry)
    elif METRICS[gate.metric] is MetricKind.PLACE:
        yield _compare_place(gate, entry)
    else:
        for value in metric_values(gate, entry, data):
            judge = _inconclusive_result if value.why else _compare_value
            yield judge(gate, entry["route"], value)


def _compare_verdict(gate: Gate, entry: Entry) -> GateResult:
    """Judge a verdict.

    `unknown` is none, but the diagnosis may have excluded the one in the gate.
    """
    code, holds, why = entry["verdict"], None, ": inconclusive"
    if code != "unknown" or gate.limit in entry.get("excluded", []):
        holds = COMPARISONS[gate.comparison](code, gate.limit)
        why = ", which its calm neighbours exclude" if code == "unknown" else ""
    expected = gate.limit if gate.comparison == "==" else f"anything but {gate.limit}"
    return GateResult(
        expression=gate.expression,
        limit=gate.limit,
        actual=code,
        holds=holds,
        route=entry["route"],
        words=f"verdict({entry['route']}) = {code}, wanted {expected}{why}",
    )


def _compare_place(gate: Gate, entry: Entry) -> GateResult:
    """Judge where requests wait: `==` is about most of them, `!=` about any notable share."""
    waits = [wait for wait in entry.get("waits", []) if wait["what"] != RUNNING]
    if not waits and entry["verdict"] != Verdict.SCALES:
        value = MetricValue(why="where its requests wait was not measured")
        return _inconclusive_result(gate, entry["route"], value)
    most = max(waits, key=lambda wait: wait["count"], default=None)
    places = [most] if gate.comparison == "==" and most else waits
    is_there = any(gate.limit in {wait["what"], wait["name"]} for wait in places)
    actual = (most["name"] or most["what"]) if most else "nothing"
    return GateResult(
        expression=gate.expression,
        limit=gate.limit,
        actual=actual,
        holds=is_there == (gate.comparison == "=="),
        route=entry["route"],
        words=f"{_gate_subject(gate, entry['route'], MetricValue())}: most wait for {actual}",
    )


def _inconclusive_result(gate: Gate, route: str | None, value: MetricValue) -> GateResult:
    """Return a result without a decision, and its reason."""
    limit = _FORMATTERS.get(METRICS[gate.metric], str)(gate.limit)
    words = f"{_gate_subject(gate, route, value)}: inconclusive, {value.why}; limit {limit}"
    return GateResult(expression=gate.expression, limit=gate.limit, route=route, words=words)


def _compare_value(gate: Gate, route: str, value: MetricValue) -> GateResult:
    """Judge what is known of a number."""
    limit, format_value = float(gate.limit), _FORMATTERS[METRICS[gate.metric]]
    compare, is_exact = COMPARISONS[gate.comparison], value.low == value.high
    ends = {compare(end, limit) for end in (value.low, value.high)}
    suffices = gate.comparison in {">", ">="} and compare(value.unqueued_users, limit)
    # So many users sent requests and none waited: a lower number only shows a quick route.
    is_short = suffices and len(ends) > 1
    holds = True if suffices else None
    if not suffices and len(ends) == 1:
        holds = ends.pop()
    nearest = min(value.low, value.high, key=lambda end: abs(end - limit))
    distance = None
    if limit and holds is not None and not is_short:
        distance = abs(nearest - limit) / limit
    low, high = value.interval or (math.inf, -math.inf)
    borderline = holds is not None and not suffices and low <= limit <= high
    words = (
        f"{_gate_subject(gate, route, value)} {format_metric_value(value, format_value)}, limit"
        f" {format_value(limit)}"
    )
    if is_short:
        words += f": nothing queues with {value.unqueued_users} users, the largest crowd"
    elif holds is None:
        words += ": inconclusive, no more is known"
    elif distance:
        words += f", {'over' if nearest > limit else 'under'} by {format_share(distance)}"
    elif distance is not None:
        words += ", exactly that"
    return GateResult(
        expression=gate.expression,
        limit=limit,
        actual=value.low if is_exact else None,
        actual_at_least=None if is_exact else value.low,
        holds=holds,
        margin=distance if holds or distance is None else -distance,
        borderline=borderline,
        route=route,
        words=words + (": borderline, chance alone could change it" if borderline else ""),
    )


def _gate_subject(gate: Gate, route: str | None, value: MetricValue) -> str:
    """Metric, route and level of a value: `p99(GET /checkout) @ 50/s`."""
    scope = f"({route or gate.scope})" if route or gate.scope else ""
    return f"{gate.metric}{scope}" + (f" @ {value.level}" if value.level else "")


def sort_worst_first(data: Entry) -> list[Entry]:
    """Sort the routes by their verdicts; of those alike, the slowest first."""

    def severity(entry: Entry) -> tuple[int, float]:
        return WORST_FIRST.index(entry["verdict"]), entry.get("capacity_rps") or 0.0

    return sorted(data["routes"], key=severity)


def list_problem_checks(data: Entry) -> list[Entry]:
    """Return the checks that lower the trust in a run."""
    return [
        check
        for check in data["trust"]["checks"]
        if check["status"] in {"fail", "warn"} and not check.get("finding")
    ]
