"""When a cell measured, by its marks: whole, or cut for a reason that is known."""

from dataclasses import replace

import pytest

from results.judgement.window import measured_window
from tests.support.evidence_factory import bedside

CELL = replace(bedside(0.1).few_users_cell(), window=2.0)
CAPPED, UNCAPPED = replace(CELL, most=100), replace(CELL, most=0)


@pytest.mark.parametrize(
    ("seconds", "reason", "is_one"),
    [
        (2.0, "", True),
        (1.81, "", True),
        (1.79, "", False),  # the generator was stopped
        (0.0, "", False),
        (0.5, "ceiling", True),
        (0.3, "ceiling", False),  # CPU is counted in ticks of 10 ms
        (0.5, "precise", True),
        (0.3, "precise", False),
        (0.1, "failing", True),  # nothing but errors: they need no time
        (0.1, "silent", True),
        (0.5, "planned", False),  # no reason
    ],
)
def test_a_window_counts_if_it_is_whole_or_was_cut_on_purpose(
    seconds: float, reason: str, *, is_one: bool
) -> None:
    """Its begin and end, or None."""
    marks = {"go": 9.0, "open": 10.0, "close": 10.0 + seconds, "end": 13.0}
    marks |= {reason: 10.0 + seconds} if reason else {}
    assert measured_window(CAPPED, marks) == ((10.0, 10.0 + seconds) if is_one else None)


def test_without_its_marks_there_is_no_window() -> None:
    """It was never opened, or never closed; without a ceiling none was reached."""
    assert measured_window(CAPPED, {}) is None
    assert measured_window(CAPPED, {"open": 10.0}) is None
    assert measured_window(CAPPED, {"close": 10.0, "silent": 10.0}) is None
    assert measured_window(UNCAPPED, {"open": 10.0, "ceiling": 11.0, "close": 11.0}) is None
