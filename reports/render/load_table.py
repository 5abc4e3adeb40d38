"""What each load of a run did, as rows: crowds, bursts and arrivals at a rate.

All requests of a load are counted, so that none can vanish; rates and latencies are those of its
window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from reports.formatting import format_estimate
from reports.metrics.model import CellCounts, RunMetrics, UnfinishedCell
from reports.render.columns import Column, Latencies, format_quantile
from reports.render.tones import OVERLOADED
from reports.verdicts.load_sentences import load_label, repeat_label
from results.formatting import format_count, format_number, format_seconds

NO_NOTE_VERDICTS = ("", "unknown", "untrusted")  # verdicts that say nothing about one load


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One load; latencies are None where no answer was right."""

    route: str
    load: str
    counts: CellCounts
    rate: str
    latency: Latencies | None
    note: str

    @property
    def answered(self) -> int:
        """Requests that were answered rightly."""
        return self.counts.sent - self.counts.unfinished - self.counts.errors


def _latency_column(title: str, format_cell: Callable[[Latencies], str]) -> Column[LoadRow]:
    return Column(title, lambda row: format_cell(row.latency) if row.latency else "-")


LOAD_COLUMNS: tuple[Column[LoadRow], ...] = (
    Column("route", lambda row: row.route, is_text=True),
    Column("load", lambda row: row.load, is_text=True),
    Column("sent", lambda row: f"{row.counts.sent:,}"),
    Column("answered", lambda row: f"{row.answered:,}"),
    Column("unanswered", lambda row: f"{row.counts.unfinished:,}"),
    Column("never sent", lambda row: f"{row.counts.planned - row.counts.sent:,}"),
    Column("errors", lambda row: f"{row.counts.errors:,}"),
    Column("req/s", lambda row: row.rate),
    _latency_column("mean", lambda latency: format_estimate(latency.mean)),
    _latency_column("p50", lambda latency: format_quantile(latency, "p50")),
    _latency_column("p95", lambda latency: format_quantile(latency, "p95")),
    _latency_column("p99", lambda latency: format_quantile(latency, "p99")),
    _latency_column("longest", lambda latency: format_estimate(latency.longest)),
    Column("note", lambda row: row.note, is_text=True, word=lambda row: row.note),
)
# first to go on a narrow terminal, where they are 0 in every row
SPARE_COLUMNS = ("never sent", "errors", "unanswered")
DROP_ORDER = (
    *SPARE_COLUMNS,
    *("answered", "p95", "sent", "longest", "p50", "mean", "req/s", "note"),
)


def build_load_rows(run_metrics: RunMetrics, verdicts: Mapping[str, str]) -> list[LoadRow]:
    """Return one row per measured load; `verdicts` by variant note the top crowd."""
    counts = {counts.cell: counts for counts in run_metrics.cell_counts}
    rows: list[LoadRow] = []
    for route in run_metrics.routes:
        new_row, verdict = partial(LoadRow, route.route), verdicts.get(route.variant, "")
        for burst in route.bursts:
            repeat = burst.cell.rpartition("/")[2].partition("~")[2] or "1"
            label = f"burst of {burst.size}{repeat_label(int(repeat))}"
            rows.append(new_row(label, counts[burst.cell], "-", burst.latency, ""))
        for level in route.levels:
            note = verdict if level is route.top_level and verdict not in NO_NOTE_VERDICTS else ""
            label = format_count(level.users, "user") + repeat_label(level.repeat)
            rate = format_number(level.throughput)
            rows.append(new_row(label, counts[level.cell], rate, level, note))
        for load in route.open_loads:
            note, rate = OVERLOADED if load.overloaded else "", format_number(load.throughput)
            rows.append(new_row(load_label(load), counts[load.cell], rate, load.latency, note))
    return rows


def describe_unfinished(unfinished: UnfinishedCell) -> str:
    """Say how far a cell came that was not measured to its end."""
    head = f"not measured to its end: {unfinished.cell}"
    if not unfinished.planned:
        return f"{head}: it was never started"
    sent, answered = unfinished.sent, unfinished.answered
    never_sent = unfinished.planned - sent
    text = f"{head}: {sent:,} sent, {answered:,} answered, {sent - answered:,} still in flight"
    text += f", {never_sent:,} never sent" if never_sent > 0 else ""
    return f"{text} when it stopped after {format_seconds(unfinished.seconds)}"
