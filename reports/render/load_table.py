"""What each load of a run did, in rows and sentences: crowds, bursts and arrivals at a rate.

All requests of a load are counted, so that none can vanish; rates and latencies are those of its
window.
"""

from collections.abc import Iterator, Mapping

from reports.console import can_fit_columns
from reports.formatting import format_count, format_estimate, format_number, format_seconds
from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics, UnfinishedCell
from reports.stats.quantiles import LatencyStats
from reports.verdicts.load_sentences import load_label, repeat_label

Row = tuple[str, ...]
OVERLOADED = "overloaded"
NO_NOTE_VERDICTS = ("", "unknown", "untrusted")  # verdicts that say nothing about one load
LOAD_COLUMNS: Row = (
    *("route", "load", "sent", "answered", "unanswered", "never sent", "errors"),
    *("req/s", "mean", "p50", "p95", "p99", "longest", "note"),
)
# first to go on a narrow terminal, where they are 0 in every row
_OPTIONAL_COLUMNS = ("never sent", "errors", "unanswered")
# what goes next, in this order
_DROP_ORDER = (
    *_OPTIONAL_COLUMNS,
    "answered",
    "p95",
    "sent",
    "longest",
    "p50",
    "mean",
    "req/s",
    "note",
)


def build_load_rows(run_metrics: RunMetrics, verdicts: Mapping[str, str]) -> list[Row]:
    """One row per measured load, as `LOAD_COLUMNS`; `verdicts` by variant note the top crowd."""
    counts_by_cell = {counts.cell: counts for counts in run_metrics.cell_counts}
    rows = []
    for route in run_metrics.routes:
        for cell, load, rate, latency, note in _measured_loads(
            route, verdicts.get(route.variant, "")
        ):
            cell_counts = counts_by_cell[cell]
            answered, never = (
                cell_counts.sent - cell_counts.unfinished - cell_counts.errors,
                cell_counts.planned - cell_counts.sent,
            )
            counts = [
                f"{amount:,}"
                for amount in (
                    cell_counts.sent,
                    answered,
                    cell_counts.unfinished,
                    never,
                    cell_counts.errors,
                )
            ]
            rows.append((route.route, load, *counts, rate, *_latency_columns(latency), note))
    return rows


def _measured_loads(
    route: RouteMetrics, verdict: str
) -> Iterator[tuple[str, str, str, LatencyStats | CrowdMetrics | None, str]]:
    """Cell, load, rate, latencies and note of everything that was measured of one route."""
    for burst in route.bursts:
        repeat = burst.cell.rpartition("~")[2] if "~" in burst.cell.rpartition("/")[2] else "1"
        yield (
            burst.cell,
            f"burst of {burst.size}" + repeat_label(int(repeat)),
            "-",
            burst.latency,
            "",
        )
    for level in route.levels:
        note = verdict if level is route.top_level and verdict not in NO_NOTE_VERDICTS else ""
        yield (
            level.cell,
            format_count(level.users, "user") + repeat_label(level.repeat),
            format_number(level.throughput),
            level,
            note,
        )
    for load in route.open_loads:
        note = OVERLOADED if load.overloaded else ""
        yield load.cell, load_label(load), format_number(load.throughput), load.latency, note


def _latency_columns(latency: LatencyStats | CrowdMetrics | None) -> Row:
    """Mean, quantiles and longest as people read them; `-` where no answer was right."""
    if latency is None:
        return ("-",) * 5
    return (
        format_estimate(latency.mean),
        *(format_quantile(latency, name) for name in ("p50", "p95", "p99")),
        format_estimate(latency.longest),
    )


def format_quantile(latency: LatencyStats | CrowdMetrics, name: str) -> str:
    """A quantile, or how many samples, or independent ones among them, were too few for it."""
    estimate, independent = (
        latency.quantiles[name],
        latency.effective_count if isinstance(latency, LatencyStats) else None,
    )
    if estimate:
        return format_estimate(estimate)
    return f"n={latency.count}" if independent is None else f"n~{independent:.0f}"


def visible_columns(rows: list[Row], width: int) -> list[int]:
    """The columns that fit; what is 0 everywhere goes first, then what matters least."""
    idle = [
        name
        for name in _OPTIONAL_COLUMNS
        if {row[LOAD_COLUMNS.index(name)] for row in rows} == {"0"}
    ]
    keep = [
        i for i, name in enumerate(LOAD_COLUMNS) if name != "note" or any(row[i] for row in rows)
    ]
    for name in dict.fromkeys((*idle, *_DROP_ORDER)):
        if can_fit_columns([LOAD_COLUMNS, *rows], keep, width):
            break
        keep = [i for i in keep if LOAD_COLUMNS[i] != name]
    return keep


def describe_unfinished(unfinished: UnfinishedCell) -> str:
    """How far a cell came that was not measured to its end."""
    if not unfinished.planned:
        return f"not measured to its end: {unfinished.cell}: it was never begun"
    never = (
        f", {unfinished.planned - unfinished.sent:,} never sent"
        if unfinished.planned > unfinished.sent
        else ""
    )
    out = (
        f"{unfinished.sent:,} sent, {unfinished.answered:,} answered,"
        f" {unfinished.sent - unfinished.answered:,} still in flight{never}"
    )
    return (
        f"not measured to its end: {unfinished.cell}: {out} when it stopped after"
        f" {format_seconds(unfinished.seconds)}"
    )
