"""A route's numbers over restarts of its server: an interval from five runs on, else the range.

One run shows one course of a queue; a restart lays out threads, connections and memory anew.
Intervals are those of the geometric mean, exp(mean ln +- t s / sqrt k). Variants met the same
arrivals in turn, so they are compared pair by pair, as ratios.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import truediv

from reports.stats.intervals import RepeatedValue
from results.formatting import format_number, format_seconds


def format_repeated_value(restarts: RepeatedValue, unit: str) -> str:
    """Return `9.91 [9.88, 9.94] req/s`, or `9.88 to 9.94 req/s`. Durations have the unit "s"."""
    format_value = format_seconds if unit == "s" else format_number
    after = "" if unit in {"s", ""} else f" {unit}"
    ends = restarts.interval or (min(restarts.values), max(restarts.values))
    low, high = map(format_value, ends)
    if not restarts.interval:
        return f"{low} to {high}{after}"
    return f"{format_value(restarts.estimate)} [{low}, {high}]{after}"


def repeated_values(columns: Mapping[str, Sequence[float | None]]) -> dict[str, RepeatedValue]:
    """Return the metrics that every run supports, if there were several."""
    return {
        name: RepeatedValue(tuple(filter(None, values)))
        for name, values in columns.items()
        if len(values) > 1 and all(values)
    }


def pair_ratios(loaded: RepeatedValue | None, base: RepeatedValue | None) -> RepeatedValue | None:
    """Return ratios pair by pair; None when a run of either is missing."""
    if not loaded or not base or len(loaded.values) != len(base.values):
        return None
    return RepeatedValue(tuple(map(truediv, loaded.values, base.values)))


def format_repeats(metrics: Mapping[str, RepeatedValue]) -> Iterator[str]:
    """Return the metrics of one route in short texts."""
    units = {"rps": "req/s", "served_at_once": "at once"}
    for name, repeated_value in metrics.items():
        label = "" if name in units else f"{name.removesuffix('_s')} "
        yield label + format_repeated_value(repeated_value, units.get(name, "s"))
