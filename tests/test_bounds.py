"""What an examination says of a route where it cannot say all: bounds, what a verdict excludes, whose neighbours are read."""

from dataclasses import replace
from typing import Any

import pytest

from reports.doctor.diagnosis import Case
from reports.doctor.exam import Exam
from reports.doctor.rules import rule
from reports.doctor.table import row
from reports.findings import Finding, Verdict
from reports.summary import route_entry
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


PAUSES = 64 / 1500 - 0.008  # seconds: of each of 64 users, lest they ask more than 1,500/s
BOUNDS = [
    ("awaits", exam(0.1, look(8, 80), look(64, 620)), ">= 64"),
    ("awaits, and its rate came out high", exam(0.1, look(8, 80), look(64, 655)), ">= 64"),
    ("awaits 8 ms, and its users pause", exam(0.008, look(8, 900), look(64, 1490, think=PAUSES)), ">= 12.3"),
    ("fills the core long before its users pause", exam(0.027, look(8, 37, cpu=1.0), look(64, 37, cpu=1.0, think=0.015)), "0.999"),
    ("computes, and its core is full", exam(0.0091, look(8, 107, cpu=1.0), look(64, 107, cpu=1.0)), "0.974"),
    ("a semaphore of ten", exam(0.1, look(8, 80), look(16, 100), look(64, 100)), "10"),
    ("a plateau that was seen once only", exam(0.1, look(8, 80), look(64, 100)), "10"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "seen", "served"), BOUNDS, ids=[one[0] for one in BOUNDS])
def test_what_nobody_waited_for_is_a_bound_in_summary_and_table(what: str, seen: Exam, served: str) -> None:
    """Served at once and capacity: `>=` where nothing queued, never more than the users; a number where the rest had to wait."""
    found = case_of(seen)
    finding = Finding(seen.route, found.ruling.verdict, "", "", found)
    assert row(finding)[1] == served
    entry = route_entry(finding)
    assert entry["is_bound"] is served.startswith(">="), what
    assert entry["served_at_once"] == pytest.approx(float(served.removeprefix(">= ")), rel=0.01)


def test_levels_of_gates_beyond_the_many_are_judged_by_themselves() -> None:
    """With 64 nothing queues; that 100 fill a pool of 80 is no bound."""
    seen = exam(0.1, look(8, 80), look(64, 630), look(100, 800))
    assert case_of(seen).ruling.is_bound
    assert not case_of(seen).is_bound
