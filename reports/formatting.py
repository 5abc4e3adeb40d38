"""Numbers as people read them: three significant digits, always with a unit; ms below a second, s from there on."""

import math

from reports.stats.quantiles import Estimate

DIGITS = 3
A_SECOND = 0.9995  # what rounds to 1.00 s
NEARLY_ONE = 0.995
TENFOLD = 9.95  # from here on no decimals either
WHOLE_PERCENT = 0.095  # from here on no decimals


def number(value: float) -> str:
    """Three significant digits, no exponent, thousands separated."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "infinite"
    rounded = float(f"{value:.{DIGITS - 1}e}")  # first, because rounding may add a digit: 0.9999 is 1.00
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}"


def places(value: float) -> str:
    """How many are served at once: `64`, `40.4`, `0.998`."""
    is_whole = value > TENFOLD and math.isclose(value, round(value), rel_tol=1e-9)
    return f"{value:.0f}" if is_whole else number(value)


def seconds(value: float | None) -> str:
    """A duration: `1.24 ms`, `102 ms`, `3.36 s`; `-` for an unknown one."""
    if value is None:
        return "-"
    return f"{number(value)} s" if value >= A_SECOND else f"{number(value * 1000)} ms"


def value(one: Estimate | None) -> str:
    """A duration, or at least how long, or between what; `~` before one that another run may well tell otherwise."""
    if one is None:
        return "-"
    if one.exact is None and math.isfinite(one.high):
        return f"{seconds(one.low)} to {seconds(one.high)}"
    if one.exact is None:
        return f">= {seconds(one.low)}"
    return f"~{seconds(one.low)}" if one.is_grey else seconds(one.low)


def between(value: float, interval: tuple[float, float] | None) -> str:
    """A number with the interval that its truth lies in at 95 %: `0.996 [0.991, 1.00]`; alone where none is known."""
    return places(value) + (f" [{number(interval[0])}, {number(interval[1])}]" if interval else "")


def share(value: float) -> str:
    """A proportion in per cent: `12 %`, `0.05 %`, `-0.3 %`."""
    return f"{value:.0%}".replace("%", " %") if abs(value) >= WHOLE_PERCENT else f"{value * 100:.2g} %"


def times(ratio: float) -> str:
    """A ratio: `x8.2`, `x950`."""
    decimals = 0 if ratio >= TENFOLD else 1 if ratio >= NEARLY_ONE else 2
    return f"x{ratio:,.{decimals}f}"


def count(amount: int, noun: str) -> str:
    """`1 user`, `32 users`."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")
