"""Formats numbers for readers: three significant digits, always with a unit.

Durations below a second are in ms, others in s.
"""

import math

_SIGNIFICANT_DIGITS = 3
_SECONDS_FROM = 0.9995  # what rounds to 1.00 s
_ONE_DECIMAL_FROM = 0.995
_NO_DECIMALS_FROM = 9.95  # from here on no decimals either
_WHOLE_PERCENT_FROM = 0.095  # from here on no decimals


def format_number(value: float) -> str:
    """Format three significant digits, no exponent, thousands separated."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "infinite"
    # Round first, because rounding may add a digit: 0.9999 is 1.00.
    rounded = float(f"{value:.{_SIGNIFICANT_DIGITS - 1}e}")
    decimals = max(0, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}"


def format_served_at_once(value: float) -> str:
    """Format how many are served at once: `64`, `40.4`, `0.998`."""
    is_whole = value > _NO_DECIMALS_FROM and math.isclose(value, round(value), rel_tol=1e-9)
    return f"{value:.0f}" if is_whole else format_number(value)


def format_seconds(value: float | None) -> str:
    """Return a duration: `1.24 ms`, `102 ms`, `3.36 s`; `-` for an unknown one."""
    if value is None:
        return "-"
    if value >= _SECONDS_FROM:
        return f"{format_number(value)} s"
    return f"{format_number(value * 1000)} ms"


def format_with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """Return a number with its 95 % interval, if known: `0.996 [0.991, 1.00]`."""
    text = format_served_at_once(value)
    return f"{text} [{', '.join(map(format_number, interval))}]" if interval else text


def format_share(value: float | None) -> str:
    """Return a proportion in per cent: `12 %`, `0.05 %`, `-0.3 %`; `-` for an unknown one."""
    if value is None:
        return "-"
    digits = ".0f" if abs(value) >= _WHOLE_PERCENT_FROM else ".2g"
    return f"{value * 100:{digits}} %"


def format_ratio(ratio: float) -> str:
    """Return a ratio: `x8.2`, `x950`."""
    if ratio >= _NO_DECIMALS_FROM:
        return f"x{ratio:,.0f}"
    return f"x{ratio:,.1f}" if ratio >= _ONE_DECIMAL_FROM else f"x{ratio:,.2f}"


def format_count(amount: int, noun: str) -> str:
    """Return `1 user`, `32 users`."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")
