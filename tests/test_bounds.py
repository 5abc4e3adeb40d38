"""What an examination says of a route where it cannot say all: bounds, what a verdict excludes, whose neighbours are read."""

from dataclasses import replace
from typing import Any

import pytest

from reports.doctor.diagnosis import Case
from reports.doctor.exam import Exam
from reports.doctor.rules import rule
from reports.findings import Verdict
from tests.test_doctor_rules import HELD, NOBODY, exam, look

REFUSES = {8: (40, 400, "status 429")}


def case_of(seen: Exam) -> Case:
    """The route as its rules judge it."""
    return Case(exam=seen, ruling=rule(seen, []), blames=(), cure=None)


@pytest.mark.parametrize(
    ("what", "seen", "excluded"),
    [
        ("a plateau that was seen once only", exam(0.1, look(8, 80), look(64, 100)), True),
        ("it refuses a few", exam(0.1, look(8, 80), faults=REFUSES), True),
        ("it refuses a few, whose neighbour suffers", exam(0.1, look(8, 9.9, loop=0.8), faults=REFUSES), False),
        ("harm, and nobody seen holding", exam(0.1, look(8, 80), look(64, 350, loop=0.06), held=NOBODY), False),
        ("no time for the many", exam(0.1, look(8, 80), entry={"unfit": "no time"}), False),
        ("no time for the watchdog", exam(0.1, look(8, 80), look(64, 100), entry={"unfit": "no time"}), False),
        ("the many were cut off", exam(0.1, look(8, 60)), False),
    ],
)  # fmt: skip
def test_calm_neighbours_exclude_that_an_unknown_route_holds_the_loop(what: str, seen: Exam, *, excluded: bool) -> None:
    """Only where the examination went as far as it wanted; whoever harms may be anything."""
    found = case_of(seen)
    assert found.ruling.verdict is Verdict.UNKNOWN, what
    assert found.excluded == ((Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY) if excluded else ()), what


def test_without_neighbours_nothing_is_excluded() -> None:
    """Nobody was there to be harmed; nor is anything excluded of a route whose verdict is known."""
    alone: dict[str, Any] = {"beside": {}}
    blind = exam(0.1, *(replace(one, **alone) for one in (look(8, 80), look(64, 100))))
    assert case_of(blind).ruling.verdict is Verdict.UNKNOWN
    assert case_of(blind).excluded == ()
    assert case_of(exam(0.1, look(8, 80), look(64, 620), held=HELD)).excluded == ()
