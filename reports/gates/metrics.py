"""What a summary says of a gate's metric: a number, or bounds that it lies between, or why nothing is known."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from reports.stats.quantiles import wilson_ranks
from results.gate_expression import AT_A_LEVEL, NEIGHBOURS, Gate, Level
from results.schema import Scenario, suffix

KEYS = {
    "served_at_once": "served_at_once",
    "capacity": "capacity_rps",
    "service_s": "service_s",
    "loop_hold": "hold_s",
    "loop_lag_p99": "loop_lag_p99_s",
    "loop_lag_max": "loop_lag_max_s",
}
CEILING = ("served_at_once", "capacity_rps")  # at least so much where `is_bound`: nobody in the crowd had to wait
NOT_MEASURED = "it was not measured"
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of one number: it lies in [low, high]. `level` is where it was read, `why` says why nothing is known."""

    low: float = 0.0
    high: float = math.inf
    interval: tuple[float, float] | None = None
    level: Level | None = None
    why: str = ""
    asked: int = 0  # users for whom nothing queued, where that bounds the number


def told(one: Reading, say: Callable[[float], str]) -> str:
    """A number, with its interval where it is closed; or its bounds."""
    if one.low < one.high:
        return f">= {say(one.low)}" if math.isinf(one.high) else f"between {say(one.low)} and {say(one.high)}"
    is_closed = one.interval is not None and all(map(math.isfinite, one.interval))
    return f"= {say(one.low)}" + (f" [{', '.join(map(say, one.interval))}]" if one.interval and is_closed else "")


def readings(gate: Gate, entry: Entry, data: Entry) -> Iterator[Reading]:
    """The numbers of a route that a gate is about."""
    if gate.metric in AT_A_LEVEL:
        found = loads(entry, gate.level)
        most = max(map(answers, found), default=0)
        for load in found:
            if answers(load) < min(gate.needs, most):  # it was repeated because these were too few
                continue
            one = at_level(gate.metric, entry, load)
            why = "this load cannot be trusted" if is_doubted(data, entry, load) else one.why
            yield replace(one, why=why, level=level(load))
        if not found:
            yield Reading(level=gate.level, why=NOT_MEASURED)
    elif is_doubted(data, entry):
        yield Reading(why="a load of this route cannot be trusted")
    elif gate.metric in NEIGHBOURS:
        felt = worse(entry["neighbours"], as_ratio=gate.metric == "neighbour_ratio")
        if entry.get("neighbours_wait_for_core"):  # where the route leaves room they feel less, and nobody asked there
            felt = replace(felt, low=0.0)
        yield replace(felt, level=level(at)) if (at := entry.get("neighbours_at")) else felt
    else:
        yield of_route(entry, KEYS[gate.metric])


def of_route(entry: Entry, key: str) -> Reading:
    """One number of a route; a ceiling that no crowd reached is only bounded."""
    one = bounds(entry, key)
    if key not in CEILING or not entry.get("is_bound") or one.why:
        return one
    users = max((load["users"] for load in entry["levels"]), default=0)
    is_told = key == "served_at_once" and entry.get("nothing_queues", False)
    return replace(one, high=math.inf, asked=users if is_told else 0)


def loads(entry: Entry, wanted: Level | None) -> list[Entry]:
    """The loads of a route at one level; without one its largest crowd, or if it met none its highest rate."""
    found = [*entry["levels"], *entry.get("offered", [])]
    if wanted is None:
        same = entry["levels"] or found
        wanted = level(max(same, key=lambda load: level(load).amount)) if same else None
    return [one for one in found if wanted and is_near(level(one), wanted)]


def top(entry: Entry) -> Entry:
    """A route's load at the highest level; of its repeats the one with the most answers."""
    return max(loads(entry, None), key=answers, default={})


def answers(load: Entry) -> int:
    """How many answers a load got, right or wrong."""
    return int(load["completed"] + load["errors"])


def is_near(one: Level, other: Level) -> bool:
    """Whether two levels are the same but for rounding."""
    return one.unit == other.unit and math.isclose(one.amount, other.amount, rel_tol=1e-6)


def level(load: Entry) -> Level:
    """Where a load stands."""
    return Level(load["users"], "u") if "users" in load else Level(load["rate_rps"], "/s")


def is_doubted(data: Entry, entry: Entry, load: Entry | None = None) -> bool:
    """Whether a check failed on this load, or on any of the route."""
    bad = [name for name, belief in data["trust"].get("cells", {}).items() if belief == "untrusted"]
    if load is None:
        return any(name.partition("/")[2].rpartition("/")[0] == entry["variant"] for name in bad)
    scenario = Scenario.CROWD if "users" in load else Scenario.STEADY
    return f"{scenario}/{entry['variant']}/{level(load).amount:g}{suffix(load.get('repeat', 1))}" in bad


def at_level(metric: str, entry: Entry, load: Entry) -> Reading:
    """A metric of one load."""
    if metric == "rate":
        return bounds(load, "rps")
    if metric == "dropped":
        return part(load["refused"], load["planned"])
    if metric == "errors":
        return part(load["errors"], load["sent"] if "sent" in load else load["errors"] + load["completed"] + load["unfinished"])
    one = bounds(load, "mean_s" if metric == "waiting" else f"{metric}_s")
    if load.get("overloaded") and not one.why:  # the longer it lasts, the longer they take
        one = replace(one, high=math.inf)
    if metric == "waiting" and not one.why:
        service = entry.get("service_s")
        low, high = (max(0.0, 1 - (service or 0.0) / end) if end else 0.0 for end in (one.low, one.high))
        return Reading(low, high) if service else Reading(why="nobody asked it alone")
    return one


def part(some: int, of: int) -> Reading:
    """A share of counted requests, with what chance leaves of it."""
    if not of:
        return Reading(why=NOT_MEASURED)
    low, high = wilson_ranks(of, some / of, of)
    return Reading(some / of, some / of, (low / of, (high - 1) / of))


def worse(neighbours: dict[str, Entry], *, as_ratio: bool) -> Reading:
    """What the neighbour that suffers more feels; one of whom nothing is known may have felt anything."""
    felt = []
    for one in neighbours.values():
        loaded, idle = bounds(one, "loaded_p90_s"), bounds(one, "idle_p90_s")
        under = (idle.high, idle.low) if as_ratio else (1.0, 1.0)
        felt.append((loaded.low / under[0], loaded.high / under[1] if under[1] else math.inf))
    low, high = (max(ends) for ends in zip(*felt, strict=True)) if felt else (0.0, math.inf)
    return Reading(low, high, why="" if low or math.isfinite(high) else NOT_MEASURED)


def worst_of(neighbours: dict[str, Entry]) -> str:
    """The kind of neighbour that waits longest; "" where nobody was asked."""
    return max(neighbours, key=lambda kind: bounds(neighbours[kind], "loaded_p90_s").low, default="")


def bounds(entry: Entry, key: str) -> Reading:
    """A number of the summary, or its bounds, with its interval."""
    stem, end = (key[:-2], "_s") if key.endswith("_s") else (key, "")
    value = entry.get(key)
    low, high = (entry.get(f"{stem}_at_{side}{end}") for side in ("least", "most")) if value is None else (value, value)
    if low is None and high is None:
        few = "completed" in entry and key in entry
        return Reading(why=f"{entry['completed']:,} answers are too few" if few else NOT_MEASURED)
    ends = entry.get(f"{stem}_interval{end}")
    interval = (-math.inf if ends[0] is None else ends[0], math.inf if ends[1] is None else ends[1]) if ends else None
    return Reading(low or 0.0, math.inf if high is None else high, interval)
