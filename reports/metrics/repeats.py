"""A route's numbers over restarts of its server: an interval from five runs on, else the range.

One run shows one course of a queue; a restart lays out threads, connections and memory anew.
Intervals are those of the geometric mean, exp(mean ln +- t s / sqrt k). Variants met the same
arrivals in turn, so they are compared pair by pair, as ratios.
"""

from collections.abc import Iterator, Mapping, Sequence

from reports.formatting import format_number, format_seconds
from reports.stats.intervals import RepeatedValue

_MIN_REPEATS = 2


def format_repeated_value(restarts: RepeatedValue, unit: str) -> str:
    """`9.91 [9.88, 9.94] req/s`, or `9.88 to 9.94 req/s`. `unit` is "s" for durations."""
    low, high = restarts.interval or (min(restarts.values), max(restarts.values))
    words = [
        format_seconds(value) if unit == "s" else format_number(value)
        for value in (restarts.estimate, low, high)
    ]
    after = "" if unit in {"s", ""} else f" {unit}"
    return (
        f"{words[0]} [{words[1]}, {words[2]}]{after}"
        if restarts.interval
        else f"{words[1]} to {words[2]}{after}"
    )


def repeated_values(columns: Mapping[str, Sequence[float | None]]) -> dict[str, RepeatedValue]:
    """The metrics that every run supports, if there were several."""
    whole = {name: tuple(value for value in values if value) for name, values in columns.items()}
    return {
        name: RepeatedValue(values)
        for name, values in whole.items()
        if _MIN_REPEATS <= len(values) == len(columns[name])
    }


def pair_ratios(loaded: RepeatedValue | None, base: RepeatedValue | None) -> RepeatedValue | None:
    """Ratios pair by pair; None when a run of either is missing."""
    if not loaded or not base or len(loaded.values) != len(base.values):
        return None
    return RepeatedValue(
        tuple(
            loaded_value / base_value
            for loaded_value, base_value in zip(loaded.values, base.values, strict=True)
        )
    )


def format_repeats(metrics: Mapping[str, RepeatedValue]) -> Iterator[str]:
    """All metrics of one route in one short line."""
    units = {"rps": "req/s", "served_at_once": "at once", "mean_s": "s", "p50_s": "s", "p99_s": "s"}
    for name, repeated_value in metrics.items():
        label = f"{name.removesuffix('_s')} " if units[name] == "s" else ""
        yield f"{label}{format_repeated_value(repeated_value, units[name])}"
