"""Percentiles, windows, capacity and wording against tables worked by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.metrics.steady_state import Window, WorkerWindow, little_deviation
from reports.stats.quantiles import estimate_quantile, is_supported, quantile
from results import formatting
from results.unloaded import served_at_once

TIMES = st.lists(st.floats(0.001, 100), min_size=1, max_size=200)


@given(TIMES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_is_numpys_inverted_cdf_bit_for_bit(values: list[float], q: float) -> None:
    """No interpolation, no rounding."""
    assert float(np.quantile(values, q, method="inverted_cdf")) == quantile(np.array(values), q)


# 1 2 2+ 3 4 5+ 6 7 8+ 9+ (+ = unanswered), ten of each so that the quantiles are supported
CENSORED = [
    (1, True),
    (2, True),
    (2, False),
    (3, True),
    (4, True),
    (5, False),
    (6, True),
    (7, True),
    (8, False),
    (9, False),
]


@pytest.mark.parametrize(
    ("q", "low", "high"),
    [
        (0.25, 2, 3),
        (0.5, 4, 6),
        (0.6, 5, 7),
        (0.7, 6, math.inf),
        (0.75, 7, math.inf),
        (0.9, 8, math.inf),
    ],
)
def test_unanswered_requests_bracket_a_quantile(q: float, low: float, high: float) -> None:
    """They took at least as long as they were waited for, and perhaps for ever."""
    rows = CENSORED * 10
    estimate = estimate_quantile(
        np.array([float(t) for t, _ in rows]), np.array([ev for _, ev in rows]), q
    )
    assert estimate is not None
    assert (low, high) == (estimate.low, estimate.high)
    assert estimate.exact is None


@pytest.mark.parametrize(("q", "count"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000)])
def test_a_quantile_needs_ten_samples_beyond_it(q: float, count: int) -> None:
    """With a sample fewer it is not printed."""
    assert is_supported(count, q)
    assert not is_supported(count - 1, q)


def test_served_at_once_is_rate_times_service() -> None:
    """Little's law for the requests in service."""
    assert served_at_once(400, 0.1) == 40.0


def window_of(
    rows: list[tuple[float, float]], start: float, end: float, *, lost: int = 0
) -> Window:
    """Return a window over (sent, done) pairs; the counter saw the `lost` rows, too."""
    area = sum(max(0.0, min(done, end) - max(sent, start)) for sent, done in rows)
    kept = rows[: len(rows) - lost]
    frame = pd.DataFrame(kept, columns=["sent", "done"]).assign(
        censored=False, error=None, worker="one"
    )
    return Window(start, end, frame, frame, (WorkerWindow("one", start, end, area),))


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 5)), min_size=1, max_size=60))
def test_littles_identity_holds_for_any_traffic(spans: list[tuple[float, float]]) -> None:
    """With the ages at both edges the rows add up to the counter's integral, whatever the order."""
    deviation = little_deviation(window_of([(sent, sent + took) for sent, took in spans], 2.0, 8.0))
    assert deviation is None or abs(deviation.identity) < 1e-9


def test_a_deleted_row_breaks_littles_identity() -> None:
    """Losing 5 of 100 requests shows as 5 %."""
    deviation = little_deviation(
        window_of([(0.1 * i, 0.1 * i + 0.1) for i in range(100)], 0.0, 10.0, lost=5)
    )
    assert deviation is not None
    assert pytest.approx(deviation.identity, abs=1e-6) == 0.05


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formatting.format_seconds(0.00123), "1.23 ms"),
        (formatting.format_seconds(0.1024), "102 ms"),
        (formatting.format_seconds(3.3579), "3.36 s"),
        (formatting.format_seconds(0.99999), "1.00 s"),
        (formatting.format_seconds(None), "-"),
        (formatting.format_number(1234.5), "1,234"),
        (formatting.format_number(0), "0"),
        (formatting.format_number(math.inf), "infinite"),
        (formatting.format_share(0.123), "12 %"),
        (formatting.format_share(0.0005), "0.05 %"),
        (formatting.format_ratio(8.2), "x8.2"),
        (formatting.format_ratio(0.9999), "x1.0"),
        (formatting.format_ratio(964.4), "x964"),
        (formatting.format_count(1, "user"), "1 user"),
    ],
)
def test_people_read_three_digits_and_a_unit(shown: str, text: str) -> None:
    """Milliseconds below a second, seconds from there on."""
    assert text == shown
