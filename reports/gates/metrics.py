"""Reads a gate's metric from a summary: a number, its bounds, or why it is unknown."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from reports.stats.quantiles import wilson_ranks
from results.gate_expression import LEVEL_METRICS, NEIGHBOUR_METRICS, Gate, GateLevel
from results.schema import Scenario, repeat_suffix

_SUMMARY_KEYS = {
    "served_at_once": "served_at_once",
    "capacity": "capacity_rps",
    "service_s": "service_s",
    "loop_hold": "hold_s",
    "loop_lag_p99": "loop_lag_p99_s",
    "loop_lag_max": "loop_lag_max_s",
}
# lower bounds where `is_bound`: no user in the crowd had to wait
_BOUNDED_KEYS = ("served_at_once", "capacity_rps")
_NOT_MEASURED = "it was not measured"
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MetricValue:
    """What is known of one number: it lies in [low, high].

    `level` is where it was read, `why` is the reason when it is unknown.
    """

    low: float = 0.0
    high: float = math.inf
    interval: tuple[float, float] | None = None
    level: GateLevel | None = None
    why: str = ""
    unqueued_users: int = 0  # users at which nothing queued, where that bounds the number


def format_metric_value(value: MetricValue, format_value: Callable[[float], str]) -> str:
    """Return a number, with its interval where it is closed; or its bounds."""
    if value.low < value.high:
        if math.isinf(value.high):
            return f">= {format_value(value.low)}"
        return f"between {format_value(value.low)} and {format_value(value.high)}"
    text = f"= {format_value(value.low)}"
    if value.interval is None or not all(map(math.isfinite, value.interval)):
        return text
    return f"{text} [{', '.join(map(format_value, value.interval))}]"


def metric_values(gate: Gate, entry: Entry, data: Entry) -> Iterator[MetricValue]:
    """Yield the numbers of a route that a gate is about."""
    if gate.metric in LEVEL_METRICS:
        yield from _values_at_level(gate, entry, data)
    elif _is_load_untrusted(data, entry):
        yield MetricValue(why="a load of this route cannot be trusted")
    elif gate.metric in NEIGHBOUR_METRICS:
        as_ratio, load = gate.metric == "neighbour_ratio", entry.get("neighbours_at")
        value = _worst_neighbour_value(entry["neighbours"], as_ratio=as_ratio)
        # With a core to spare they would wait less, which was not measured.
        low = 0.0 if entry.get("neighbours_wait_for_core") else value.low
        yield replace(value, low=low, level=load_level(load) if load else None)
    else:
        yield route_value(entry, _SUMMARY_KEYS[gate.metric])


def _values_at_level(gate: Gate, entry: Entry, data: Entry) -> Iterator[MetricValue]:
    loads = _loads_at_level(entry, gate.level)
    most_answers = max(map(_count_answers, loads), default=0)
    for load in loads:
        # The load was repeated because these were too few.
        if _count_answers(load) >= min(gate.min_requests, most_answers):
            value = load_value(gate.metric, entry, load)
            is_untrusted = _is_load_untrusted(data, entry, load)
            why = "this load cannot be trusted" if is_untrusted else value.why
            yield replace(value, why=why, level=load_level(load))
    if not loads:
        yield MetricValue(level=gate.level, why=_NOT_MEASURED)


def route_value(entry: Entry, key: str) -> MetricValue:
    """Return one number of a route; a maximum that no crowd reached is only a lower bound."""
    value = summary_value(entry, key)
    if key not in _BOUNDED_KEYS or not entry.get("is_bound") or value.why:
        return value
    users = max((load["users"] for load in entry["levels"]), default=0)
    is_unqueued = key == "served_at_once" and entry.get("nothing_queues", False)
    return replace(value, high=math.inf, unqueued_users=users if is_unqueued else 0)


def _loads_at_level(entry: Entry, wanted: GateLevel | None) -> list[Entry]:
    """Return a route's loads at one level; by default its largest crowd, else its highest rate."""
    loads = [*entry["levels"], *entry.get("offered", [])]
    if wanted is None and loads:
        levels = map(load_level, entry["levels"] or loads)
        wanted = max(levels, key=lambda level: level.amount)
    return [load for load in loads if wanted and _is_same_level(load_level(load), wanted)]


def top_load(entry: Entry) -> Entry:
    """Return a route's load at the highest level; of its repeats the one with most answers."""
    return max(_loads_at_level(entry, None), key=_count_answers, default={})


def _count_answers(load: Entry) -> int:
    """Return number of answers of a load, right or wrong."""
    return int(load["completed"] + load["errors"])


def _is_same_level(level: GateLevel, other: GateLevel) -> bool:
    """Whether two levels are the same but for rounding."""
    return level.unit == other.unit and math.isclose(level.amount, other.amount, rel_tol=1e-6)


def load_level(load: Entry) -> GateLevel:
    """Return the level of a load."""
    return GateLevel(load["users"], "u") if "users" in load else GateLevel(load["rate_rps"], "/s")


def _is_load_untrusted(data: Entry, entry: Entry, load: Entry | None = None) -> bool:
    """Whether a check failed on this load, or on any of the route."""
    levels = data["trust"].get("cells", {})
    untrusted = [name for name, level in levels.items() if level == "untrusted"]
    if load is None:
        variants = [name.partition("/")[2].rpartition("/")[0] for name in untrusted]
        return entry["variant"] in variants
    scenario = Scenario.CROWD if "users" in load else Scenario.STEADY
    amount = f"{load_level(load).amount:g}{repeat_suffix(load.get('repeat', 1))}"
    return f"{scenario}/{entry['variant']}/{amount}" in untrusted


def load_value(metric: str, entry: Entry, load: Entry) -> MetricValue:
    """Return a metric of one load."""
    if metric == "rate":
        return summary_value(load, "rps")
    if metric == "dropped":
        return _share_value(load["refused"], load["planned"])
    if metric == "errors":
        sent = load.get("sent", load["errors"] + load["completed"] + load["unfinished"])
        return _share_value(load["errors"], sent)
    value = summary_value(load, "mean_s" if metric == "waiting" else f"{metric}_s")
    if load.get("overloaded") and not value.why:  # latencies grow with the length of the test
        value = replace(value, high=math.inf)
    if metric != "waiting" or value.why:
        return value
    if not (service := entry.get("service_s")):
        return MetricValue(why="its unloaded latency was not measured")
    low, high = (max(0.0, 1 - service / end) if end else 0.0 for end in (value.low, value.high))
    return MetricValue(low, high)


def _share_value(count: int, total: int) -> MetricValue:
    """Return a share of counted requests, with its 95 % interval."""
    if not total:
        return MetricValue(why=_NOT_MEASURED)
    low, high = wilson_ranks(total, count / total, total)
    return MetricValue(count / total, count / total, (low / total, (high - 1) / total))


def _worst_neighbour_value(neighbours: dict[str, Entry], *, as_ratio: bool) -> MetricValue:
    """Return the slower neighbour's value; an unmeasured neighbour leaves it unbounded."""
    if not neighbours:
        return MetricValue(why=_NOT_MEASURED)
    low, high = 0.0, 0.0
    for neighbour in neighbours.values():
        loaded = summary_value(neighbour, "loaded_p90_s")
        idle = summary_value(neighbour, "idle_p90_s") if as_ratio else MetricValue(1.0, 1.0)
        low = max(low, loaded.low / idle.high)
        high = max(high, loaded.high / idle.low if idle.low else math.inf)
    return MetricValue(low, high, why="" if low or math.isfinite(high) else _NOT_MEASURED)


def worst_neighbour(neighbours: dict[str, Entry]) -> str:
    """Return the kind of neighbour that waits longest; "" without neighbours."""
    return max(
        neighbours, key=lambda kind: summary_value(neighbours[kind], "loaded_p90_s").low, default=""
    )


def summary_value(entry: Entry, key: str) -> MetricValue:
    """Return a number of the summary, or its bounds, with its interval."""
    stem, unit = (key[:-2], "_s") if key.endswith("_s") else (key, "")
    low = high = entry.get(key)
    if low is None:
        low, high = (entry.get(f"{stem}_at_{side}{unit}") for side in ("least", "most"))
    if low is None and high is None:
        is_short = "completed" in entry and key in entry
        why = f"{entry['completed']:,} answers are too few" if is_short else _NOT_MEASURED
        return MetricValue(why=why)
    interval = None
    if ends := entry.get(f"{stem}_interval{unit}"):
        lower, upper = ends
        interval = (-math.inf if lower is None else lower, math.inf if upper is None else upper)
    return MetricValue(low or 0.0, math.inf if high is None else high, interval)
