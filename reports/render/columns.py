"""A table is a tuple of columns: the terminal, the page and Markdown render the same ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import JustifyMethod
from rich.table import Table

from reports.formatting import format_estimate
from reports.metrics.model import CrowdMetrics
from reports.render.tones import WORD_TONES, colour_text
from reports.stats.quantiles import LatencyStats
from results.verdicts import Tone

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column: its title, and a row's cell as text; numbers are right-aligned."""

    title: str
    cell: Callable[[T], str]
    is_text: bool = False
    wraps: bool = False  # in the terminal; nothing else is ever broken
    is_code: bool = False  # on the page
    word: Callable[[T], str] | None = None  # the result word whose colour the cell takes


def terminal_table(
    columns: Sequence[Column[T]],
    rows: Iterable[T],
    width: int,
    drop_order: Sequence[str],
    zeros_first: Sequence[str] = (),
) -> Table:
    """Build a table without lines that fits `width`.

    Columns that are empty in every row are left out. Where the rest does not fit, those of
    `zeros_first` that are 0 in every row go; then headings take two lines; then `drop_order` goes.
    """
    rows = list(rows)
    texts = {column.title: [column.cell(row) for row in rows] for column in columns}
    shown = [column for column in columns if not rows or any(texts[column.title])]
    heads = {column.title: column.title for column in columns}
    all_zero = [title for title in zeros_first if set(texts[title]) == {"0"}]

    def is_too_wide(*, may_wrap: bool = True) -> bool:
        widths = [
            _text_width([heads[column.title], *texts[column.title]], column.wraps and may_wrap)
            for column in shown
        ]
        return sum(widths) + 2 * (len(widths) - 1) > width

    for title in (*all_zero, *drop_order):
        if title not in all_zero and is_too_wide(may_wrap=False):
            heads = {title: _break_title(title) for title in heads}
        if is_too_wide():
            shown = [column for column in shown if column.title != title]
    if not any(" " in column.title for column in shown):
        heads = {title: title for title in heads}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in shown:
        justify: JustifyMethod = "left" if column.is_text else "right"
        table.add_column(heads[column.title], justify=justify, no_wrap=not column.wraps)
    for row, *cells in zip(rows, *(texts[column.title] for column in shown), strict=True):
        words = [column.word(row) if column.word else "" for column in shown]
        table.add_row(*map(colour_text, cells, words))
    return table


def _break_title(title: str) -> str:
    first, _, rest = title.partition(" ")
    return f"{first}\n{rest or ' '}"  # all have two lines: rich would move one to the bottom


def _text_width(texts: Iterable[str], by_word: bool) -> int:  # noqa: FBT001
    """Return the length of the longest line or word."""
    return max(len(part) for text in texts for part in text.split(None if by_word else "\n"))


def markdown_table(
    columns: Sequence[Column[T]], rows: Sequence[T], escape: Callable[[str], str]
) -> str:
    """Return a Markdown table, bad results in bold; nothing without rows."""
    if not rows:
        return ""

    def format_cell(column: Column[T], row: T) -> str:
        is_bad = column.word and WORD_TONES.get(column.word(row)) is Tone.BAD
        text = escape(column.cell(row))
        return f"**{text}**" if is_bad else text

    lines = [[column.title for column in columns], ["---"] * len(columns)]
    lines += [[format_cell(column, row) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


Latencies = LatencyStats | CrowdMetrics


def format_quantile(latency: Latencies, name: str) -> str:
    """Return a quantile, or how many samples (`~`: independent ones) were too few for it."""
    if estimate := latency.quantiles[name]:
        return format_estimate(estimate)
    independent = latency.effective_count if isinstance(latency, LatencyStats) else None
    return f"n={latency.count}" if independent is None else f"n~{independent:.0f}"
