"""One colour, marker and dash per variant; one font, one ink; axes that people can read.

The four colours are of the Okabe-Ito palette, chosen for a contrast of 3:1 and more on white and on
near-black alike. Text is always ink, never coloured. Ink is one sentinel colour that the page
replaces by the reader's text colour.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.formatting import format_number, format_seconds
from reports.metrics.model import RunMetrics
from results.schema import Variant

INK = "#10100f"
_CHARACTERS_PER_INCH = 14.5  # of the subtitle, at 8.5 points


@dataclass(frozen=True, slots=True)
class Style:
    """How a variant looks in every chart, table and badge."""

    name: str
    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]


VARIANT_STYLES = {
    Variant.ASYNC: Style("async def", "#0072B2", "o", "solid"),
    Variant.SYNC: Style("def", "#009E73", "s", (0, (6, 2))),
    Variant.TO_THREAD: Style("asyncio.to_thread", "#CC79A7", "^", "dashdot"),
    Variant.BROKEN_ASYNC: Style("broken async def", "#D55E00", "X", (0, (1.5, 1.2))),
}


# any other route: neutral on any ground
NEUTRAL_STYLE = Style("", "#77776f", "o", "solid")


def variant_style(variant: str) -> Style:
    """A variant's style; that of any other route is neutral."""
    return (
        VARIANT_STYLES[Variant(variant)]
        if variant in list(Variant)
        else replace(NEUTRAL_STYLE, name=variant)
    )


def create_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """An empty figure with its finding as title and its method, small, below it. Inches."""
    lines = textwrap.wrap(subtitle, int(width * _CHARACTERS_PER_INCH))
    head_height = 0.45 + 0.17 * len(lines)
    figure = Figure(figsize=(width, height), layout="constrained")
    engine = cast("ConstrainedLayoutEngine", figure.get_layout_engine())
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - head_height / height), w_pad=0.08, h_pad=0.06)
    figure.text(
        0.012,
        1 - 0.10 / height,
        title,
        ha="left",
        va="top",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    subtitle_style = {"ha": "left", "va": "top", "fontsize": 8.5, "color": INK, "alpha": 0.75}
    figure.text(
        0.012,
        1 - 0.37 / height,
        "\n".join(lines),
        **subtitle_style,  # type: ignore[arg-type]
    )
    return figure


def tidy_axes(axes: Axes, *, grid: str = "y") -> None:
    """No box, a light grid, ink for everything that is text."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.spines["bottom"].set_alpha(0.4)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.set_facecolor("none")
    if grid:
        axes.grid(axis=grid, color=INK, alpha=0.13, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def set_time_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks of a log axis in seconds: 1 ms, 10 ms, 100 ms, 1 s; finer where the range is short."""
    # Two and a half decades still have room
    steps = (1, 2, 5) if high / low < 300 else (1,)  # noqa: PLR2004
    ticks = [step * 10.0**power for power in range(-4, 3) for step in steps]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: format_seconds(value).replace(".00", "").replace(".0 ", " "))
    )


def set_user_ticks(axis: Axis, users: Sequence[int]) -> None:
    """Ticks at the measured crowds, in plain numbers; of two that would collide, the larger."""
    ticks = [
        tick
        for tick, next_tick in zip(users, [*users[1:], None], strict=True)
        if next_tick is None or next_tick > 1.5 * tick
    ]
    axis.set_major_locator(FixedLocator([float(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


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
    spread = [0.0] * len(positions)
    for position, i in zip(shifted, order, strict=True):
        spread[i] = position
    return spread


def method_subtitle(run_metrics: RunMetrics, *parts: str, own_conditions: bool = False) -> str:
    """How it was measured, and on what; experiments have a wait and a loop of their own."""
    machine, wait, host = (
        run_metrics.run["machine"],
        run_metrics.run["plan"]["seconds"],
        run_metrics.run.get("host"),
    )
    setup_text = f"{machine.get('cpus', '?')} CPUs, Python {machine.get('python', '?')}"
    loop = "" if own_conditions else f", {run_metrics.run['loop']} loop"
    setup_text = f"{host}, asked from {setup_text}" if host else f"{setup_text}{loop}, one worker"
    work_text = (
        [f"work = a wait of {format_number(wait * 1000)} ms"] if wait and not own_conditions else []
    )
    repeats = max((cell.get("repeat", 1) for cell in run_metrics.run["plan"]["cells"]), default=1)
    return " · ".join(
        [
            *parts,
            *work_text,
            setup_text,
            "1 run" if repeats == 1 else f"the middle one of {repeats} runs",
        ]
    )
