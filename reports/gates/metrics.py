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
    unqueued_users: int = 0  # users for whom nothing queued, where that bounds the number


def format_metric_value(value: MetricValue, format_value: Callable[[float], str]) -> str:
    """A number, with its interval where it is closed; or its bounds."""
    if value.low < value.high:
        return (
            f">= {format_value(value.low)}"
            if math.isinf(value.high)
            else f"between {format_value(value.low)} and {format_value(value.high)}"
        )
    is_closed = value.interval is not None and all(map(math.isfinite, value.interval))
    return f"= {format_value(value.low)}" + (
        f" [{', '.join(map(format_value, value.interval))}]" if value.interval and is_closed else ""
    )


def metric_values(gate: Gate, entry: Entry, data: Entry) -> Iterator[MetricValue]:
    """The numbers of a route that a gate is about."""
    if gate.metric in LEVEL_METRICS:
        matching_loads = _loads_at_level(entry, gate.level)
        most_answers = max(map(_count_answers, matching_loads), default=0)
        for load in matching_loads:
            # The load was repeated because these were too few.
            if _count_answers(load) < min(gate.min_requests, most_answers):
                continue
            value = load_value(gate.metric, entry, load)
            why = (
                "this load cannot be trusted"
                if _is_load_untrusted(data, entry, load)
                else value.why
            )
            yield replace(value, why=why, level=load_level(load))
        if not matching_loads:
            yield MetricValue(level=gate.level, why=_NOT_MEASURED)
    elif _is_load_untrusted(data, entry):
        yield MetricValue(why="a load of this route cannot be trusted")
    elif gate.metric in NEIGHBOUR_METRICS:
        neighbour_value = _worst_neighbour_value(
            entry["neighbours"], as_ratio=gate.metric == "neighbour_ratio"
        )
        # With a core to spare they would wait less, which was not measured.
        if entry.get("neighbours_wait_for_core"):
            neighbour_value = replace(neighbour_value, low=0.0)
        yield (
            replace(neighbour_value, level=load_level(neighbour_load))
            if (neighbour_load := entry.get("neighbours_at"))
            else neighbour_value
        )
    else:
        yield route_value(entry, _SUMMARY_KEYS[gate.metric])


def route_value(entry: Entry, key: str) -> MetricValue:
    """One number of a route; a maximum that no crowd reached is only a lower bound."""
    value = summary_value(entry, key)
    if key not in _BOUNDED_KEYS or not entry.get("is_bound") or value.why:
        return value
    users = max((load["users"] for load in entry["levels"]), default=0)
    is_unqueued = key == "served_at_once" and entry.get("nothing_queues", False)
    return replace(value, high=math.inf, unqueued_users=users if is_unqueued else 0)


def _loads_at_level(entry: Entry, wanted: GateLevel | None) -> list[Entry]:
    """A route's loads at one level; by default its largest crowd, else its highest rate."""
    all_loads = [*entry["levels"], *entry.get("offered", [])]
    if wanted is None:
        same_model = entry["levels"] or all_loads
        wanted = (
            load_level(max(same_model, key=lambda load: load_level(load).amount))
            if same_model
            else None
        )
    return [
        candidate
        for candidate in all_loads
        if wanted and _is_same_level(load_level(candidate), wanted)
    ]


def top_load(entry: Entry) -> Entry:
    """A route's load at the highest level; of its repeats the one with the most answers."""
    return max(_loads_at_level(entry, None), key=_count_answers, default={})


def _count_answers(load: Entry) -> int:
    """Number of answers of a load, right or wrong."""
    return int(load["completed"] + load["errors"])


def _is_same_level(level: GateLevel, other: GateLevel) -> bool:
    """Whether two levels are the same but for rounding."""
    return level.unit == other.unit and math.isclose(level.amount, other.amount, rel_tol=1e-6)


def load_level(load: Entry) -> GateLevel:
    """The level of a load."""
    return GateLevel(load["users"], "u") if "users" in load else GateLevel(load["rate_rps"], "/s")


def _is_load_untrusted(data: Entry, entry: Entry, load: Entry | None = None) -> bool:
    """Whether a check failed on this load, or on any of the route."""
    untrusted = [
        name
        for name, trust_level in data["trust"].get("cells", {}).items()
        if trust_level == "untrusted"
    ]
    if load is None:
        return any(
            name.partition("/")[2].rpartition("/")[0] == entry["variant"] for name in untrusted
        )
    scenario = Scenario.CROWD if "users" in load else Scenario.STEADY
    return (
        f"{scenario}/{entry['variant']}/{load_level(load).amount:g}"
        f"{repeat_suffix(load.get('repeat', 1))}" in untrusted
    )


def load_value(metric: str, entry: Entry, load: Entry) -> MetricValue:
    """A metric of one load."""
    if metric == "rate":
        return summary_value(load, "rps")
    if metric == "dropped":
        return _share_value(load["refused"], load["planned"])
    if metric == "errors":
        return _share_value(
            load["errors"],
            (
                load["sent"]
                if "sent" in load
                else load["errors"] + load["completed"] + load["unfinished"]
            ),
        )
    value = summary_value(load, "mean_s" if metric == "waiting" else f"{metric}_s")
    if load.get("overloaded") and not value.why:  # latencies grow with the length of the test
        value = replace(value, high=math.inf)
    if metric == "waiting" and not value.why:
        service = entry.get("service_s")
        low, high = (
            max(0.0, 1 - (service or 0.0) / end) if end else 0.0 for end in (value.low, value.high)
        )
        return MetricValue(low, high) if service else MetricValue(why="nobody asked it alone")
    return value


def _share_value(count: int, total: int) -> MetricValue:
    """A share of counted requests, with its 95 % interval."""
    if not total:
        return MetricValue(why=_NOT_MEASURED)
    low, high = wilson_ranks(total, count / total, total)
    return MetricValue(count / total, count / total, (low / total, (high - 1) / total))


def _worst_neighbour_value(neighbours: dict[str, Entry], *, as_ratio: bool) -> MetricValue:
    """The slower neighbour's value; an unmeasured neighbour leaves it unbounded."""
    neighbour_bounds = []
    for neighbour in neighbours.values():
        loaded, idle = (
            summary_value(neighbour, "loaded_p90_s"),
            summary_value(neighbour, "idle_p90_s"),
        )
        divisors = (idle.high, idle.low) if as_ratio else (1.0, 1.0)
        neighbour_bounds.append(
            (loaded.low / divisors[0], loaded.high / divisors[1] if divisors[1] else math.inf)
        )
    low, high = (
        (max(ends) for ends in zip(*neighbour_bounds, strict=True))
        if neighbour_bounds
        else (0.0, math.inf)
    )
    return MetricValue(low, high, why="" if low or math.isfinite(high) else _NOT_MEASURED)


def worst_neighbour(neighbours: dict[str, Entry]) -> str:
    """The kind of neighbour that waits longest; "" without neighbours."""
    return max(
        neighbours, key=lambda kind: summary_value(neighbours[kind], "loaded_p90_s").low, default=""
    )


def summary_value(entry: Entry, key: str) -> MetricValue:
    """A number of the summary, or its bounds, with its interval."""
    stem, end = (key[:-2], "_s") if key.endswith("_s") else (key, "")
    value = entry.get(key)
    low, high = (
        (entry.get(f"{stem}_at_{side}{end}") for side in ("least", "most"))
        if value is None
        else (value, value)
    )
    if low is None and high is None:
        few = "completed" in entry and key in entry
        return MetricValue(
            why=f"{entry['completed']:,} answers are too few" if few else _NOT_MEASURED
        )
    ends = entry.get(f"{stem}_interval{end}")
    interval = (
        (-math.inf if ends[0] is None else ends[0], math.inf if ends[1] is None else ends[1])
        if ends
        else None
    )
    return MetricValue(low or 0.0, math.inf if high is None else high, interval)
