"""The common style: one look per variant, one font, one ink, readable axes.

The four colours are of the Okabe-Ito palette, chosen for a contrast of 3:1 and more on white and on
near-black alike. Text is always ink, never coloured. Ink is one sentinel colour that the page
replaces by the reader's text colour.
"""

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.metrics.model import RunMetrics
from reports.stats.quantiles import Estimate
from results.formatting import format_number, format_seconds
from results.schema import Variant

INK = "#10100f"
THEME: dict[Any, Any] = {  # of every figure: text is ink, and small unless it says otherwise
    "text.parse_math": False,  # a dollar in a route's name is a dollar
    "text.color": INK,
    "font.size": 8.5,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "figure.labelsize": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}
Item = TypeVar("Item")
_CHARACTERS_PER_INCH = 14.5  # of the subtitle, at 8.5 points
# seconds; nothing that crosses a socket takes less, and a log axis has no zero
MIN_AXIS_SECONDS = 1e-4


@dataclass(frozen=True, slots=True)
class Style:
    """How a variant looks in every chart, table and badge."""

    name: str
    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of a line in this style."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}


VARIANT_STYLES = {
    Variant.ASYNC: Style("async def", "#0072B2", "o", "solid"),
    Variant.SYNC: Style("def", "#009E73", "s", (0, (6, 2))),
    Variant.TO_THREAD: Style("asyncio.to_thread", "#CC79A7", "^", "dashdot"),
    Variant.BROKEN_ASYNC: Style("broken async def", "#D55E00", "X", (0, (1.5, 1.2))),
}
NEUTRAL_COLOUR = "#77776f"  # any other route: neutral on any ground


def variant_style(variant: str) -> Style:
    """Return a variant's style; that of any other route is neutral."""
    if variant in list(Variant):
        return VARIANT_STYLES[Variant(variant)]
    return Style(variant, NEUTRAL_COLOUR, "o", "solid")


def create_figure(
    run_metrics: RunMetrics,
    title: str,
    method: str,
    size: tuple[float, float],
    *,
    own_conditions: bool = False,
) -> Figure:
    """Create an empty figure of `size` inches: the finding as title, the method small below it.

    Experiments have their own wait and loop, and name them in `method`.
    """
    width, height = size
    subtitle = " · ".join([method, *_describe_setup(run_metrics, own_conditions=own_conditions)])
    lines = textwrap.wrap(subtitle, int(width * _CHARACTERS_PER_INCH))
    head_height = 0.45 + 0.17 * len(lines)
    figure = Figure(figsize=size, layout="constrained")
    engine = cast("ConstrainedLayoutEngine", figure.get_layout_engine())
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - head_height / height), w_pad=0.08, h_pad=0.06)
    figure.text(0.012, 1 - 0.10 / height, title, va="top", fontsize=13, fontweight="bold")
    figure.text(0.012, 1 - 0.37 / height, "\n".join(lines), va="top", alpha=0.75)
    return figure


def create_panels(
    figure: Figure, items: Sequence[Item], share: str, per_row: int | None = None
) -> Iterator[tuple[Axes, Item]]:
    """Divide a figure into a panel per item, row by row, and yield each panel with its item.

    `share` names the axes that are alike in all: x, y or xy.
    """
    columns = min(per_row or len(items), len(items))
    rows, share_x, share_y = math.ceil(len(items) / columns), "x" in share, "y" in share
    grid = figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False)
    panels = grid.flatten()
    for unused in panels[len(items) :]:
        unused.set_visible(False)
    yield from zip(panels, items, strict=False)


def tidy_axes(axes: Axes, heading: str = "", *, grid: str = "y") -> None:
    """Draw no box, a light grid, ink for everything that is text, and a heading if there is one."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=INK, alpha=0.4)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.set_facecolor("none")
    axes.grid(axis=grid, color=INK, alpha=0.13, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    if heading:
        axes.set_title(heading)


def set_ticks(axis: Axis, ticks: Sequence[float], label: Callable[[float], str]) -> None:
    """Set the only ticks of an axis, and how each is written."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))


def set_time_ticks(axis: Axis, low: float, high: float) -> None:
    """Set the ticks of a log axis in seconds: 1 ms, 10 ms, 1 s; finer where the range is short."""
    # Two and a half decades still have room
    steps = (1, 2, 5) if high / low < 300 else (1,)  # noqa: PLR2004
    ticks = [step * 10.0**power for power in range(-4, 3) for step in steps]
    set_ticks(
        axis,
        [tick for tick in ticks if low <= tick <= high],
        lambda value: format_seconds(value).replace(".00", "").replace(".0 ", " "),
    )


def set_user_ticks(axis: Axis, users: Sequence[int]) -> None:
    """Set the ticks at the measured crowds; of two that would collide, at the larger."""
    pairs = zip(users, [*users[1:], math.inf], strict=True)
    ticks = [tick for tick, next_tick in pairs if next_tick > 1.5 * tick]
    set_ticks(axis, ticks, lambda value: f"{value:.0f}")


def spread_labels(positions: Sequence[float], gap: float) -> list[float]:
    """Move label positions as little as needed to be `gap` apart, in the same order."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    shifted = [positions[i] for i in order]
    for _ in range(200):
        clashes = [i for i in range(len(shifted) - 1) if shifted[i + 1] - shifted[i] < gap - 1e-9]
        if not clashes:
            break
        for i in clashes:
            push = (gap - (shifted[i + 1] - shifted[i])) / 2
            shifted[i], shifted[i + 1] = shifted[i] - push, shifted[i + 1] + push
    return [position for _, position in sorted(zip(order, shifted, strict=True))]


def label_point(
    axes: Axes, label: str, point: tuple[float, float], shift: tuple[float, float], **text: Any
) -> None:
    """Write a label `shift` points away from a point."""
    axes.annotate(label, point, shift, textcoords="offset points", annotation_clip=False, **text)


def label_line_ends(
    axes: Axes,
    x: float,
    ends: Sequence[tuple[str, float]],
    gap: float,
    shift: float = 0,
    **text: Any,
) -> list[float]:
    """Write the labels of lines that end at these heights of a log axis, `gap` decades apart.

    Each stands `shift` points to the right of `x`. Return the heights of the labels.
    """
    heights = spread_labels([math.log10(max(y, MIN_AXIS_SECONDS)) for _, y in ends], gap)
    for (label, _), height in zip(ends, heights, strict=True):
        label_point(axes, label, (x, 10**height), (shift, 0), va="center", **text)
    return [10**height for height in heights]


def mark_lower_bound(axes: Axes, x: float, y: float, colour: str, size: float = 10) -> None:
    """Draw an open arrow upwards: the true height is unknown, and not below."""
    axes.plot([x], [y], marker="^", markersize=size, markerfacecolor="none", color=colour)


def format_bound(estimate: Estimate | None) -> str:
    """Return a duration, or what it is at least."""
    if estimate is None:
        return "-"
    return ("" if estimate.exact is not None else ">= ") + format_seconds(estimate.low)


def _describe_setup(run_metrics: RunMetrics, *, own_conditions: bool) -> Iterator[str]:
    """Yield the work, what it was measured on, and how often."""
    run, plan = run_metrics.run, run_metrics.run.plan
    if plan.seconds and not own_conditions:
        yield f"work = a wait of {format_number(plan.seconds * 1000)} ms"
    setup = f"{run.machine.cpus or '?'} CPUs, Python {run.machine.python or '?'}"
    if run.host:
        yield f"{run.host}, load sent from {setup}"
    else:
        yield setup + ("" if own_conditions else f", {run.loop} loop") + ", one worker"
    repeats = max((cell.repeat for cell in plan.cells), default=1)
    yield "1 run" if repeats == 1 else f"the median of {repeats} runs"
