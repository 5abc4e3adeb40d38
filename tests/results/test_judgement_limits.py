"""Where one verdict ends and the next begins: turns with the GIL, bursts, seldom and short holds."""

from dataclasses import replace
from pathlib import Path

import pytest

from results.judgement.culprit import LoopHolds, summarise_holds
from results.judgement.loop_rules import SHORTEST_LOOK
from results.judgement.model import LevelEvidence, Measurement
from results.judgement.rules import evaluate_rules
from results.records import Hold, StackFrame, StackTime
from results.verdicts import Verdict
from tests.support.evidence_factory import LINE, bedside, exam, look, silent

AWAITS = (look(8, 80), look(64, 620))
# a request in a thread that needs another thread: with many there are fewer answers than with some
COLLAPSED = (
    look(8, 136, threads=12.0),
    look(16, 267, threads=25.0),
    look(64, 127, threads=40.0, threads_waiting=77.0),
)


@pytest.mark.parametrize(
    ("felt", "verdict"), [(0.032, Verdict.UNKNOWN), (0.066, Verdict.GIL_BOUND)]
)
def test_a_neighbour_behind_the_gil_waits_for_the_turns_of_all(
    felt: float, verdict: Verdict
) -> None:
    """Eight threads have two turns of 5 ms each before it: 80 ms. C code that lets go has none."""
    seen = evaluate_rules(exam(0.066, look(8, 14, cpu=1.0, loop=felt, loop_cpu=0.04)))
    assert seen.verdict is verdict
    assert (seen.needs is Measurement.MANY) is (verdict is Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("burst", "verdict", "need"),
    [
        (None, Verdict.UNKNOWN, Measurement.BURST),
        (silent(64), Verdict.DEADLOCK, None),
        (look(64, 127, threads=40.0), Verdict.UNKNOWN, None),
    ],
)
def test_fewer_answers_to_more_users_are_asked_for_at_one_moment(
    burst: LevelEvidence | None, verdict: Verdict, need: Measurement | None
) -> None:
    """Whose requests lock up only where enough of them start together is a deadlock all the same."""
    seen = evaluate_rules(exam(0.059, *COLLAPSED, burst=burst))
    assert (seen.verdict, seen.needs) == (verdict, need), seen.reason


def test_many_users_at_one_moment_are_a_level_of_their_own() -> None:
    """They start together, may fall silent, and share no name with the level before."""
    burst, many = bedside(0.06).burst_cell(20.0), bedside(0.06).many_users_cell(None)
    assert (burst.users, burst.stagger) == (64, 0.0)
    assert burst.patience > 0
    assert burst.name != many.name


@pytest.mark.parametrize(
    ("seconds", "has_agent", "need"),
    [
        (3.3, True, Measurement.LONGER_LOOK),
        (SHORTEST_LOOK, True, None),
        (3.3, False, None),  # no watchdog could say who holds it
    ],
)
def test_a_route_is_looked_at_for_as_long_as_a_key_is_valid(
    seconds: float,
    has_agent: bool,  # noqa: FBT001
    need: Measurement | None,
) -> None:
    """The verdict stands all the same: what is seen then may change it."""
    seen = evaluate_rules(exam(0.1, *AWAITS, seconds=seconds, has_agent=has_agent))
    assert (seen.verdict, seen.needs) == (Verdict.SCALES, need)


@pytest.mark.parametrize(
    ("computing", "longest", "verdict"),
    [
        (0.0, 0.1, Verdict.LOOP_BLOCKED),
        (0.9, 0.1, Verdict.LOOP_BUSY),
        (0.9, 0.006, Verdict.UNKNOWN),  # a busy machine makes honest work hold it for a moment
    ],
)
def test_the_lines_own_cpu_tells_computing_from_waiting(
    computing: float, longest: float, verdict: Verdict
) -> None:
    """Not the app's: most of that may be others', where the loop is held now and then."""
    line = replace(LINE, computing=computing, longest=longest, median=longest)
    held_loop = exam(0.1, look(8, 9.9, loop=0.78), loop_holds=LoopHolds(1.0, 0.0, (line,)))
    assert evaluate_rules(replace(held_loop, cpu_while_late=2.0)).verdict is verdict


def test_time_without_a_core_is_neither_computing_nor_waiting() -> None:
    """Of a hold of 8 ms a line computed 3; for the other 5 its thread had no core."""
    frame = StackFrame("/app/main.py", 7, "show", "client.get", is_user_code=True)
    stacks = (StackTime(0.003, (frame,)), StackTime(0.005, ()))
    hold = Hold(1.0, 1.008, "request", 0.0, stacks, ran=0.003)
    [line] = summarise_holds([hold], [(0.0, 2.0)], [Path("/app")]).culprits
    assert line.computing == pytest.approx(1.0)


def test_patience_is_longer_than_the_longest_answer_so_far() -> None:
    """Eight slow answers in a row are no silence, and a lone user shuts no other out."""
    usual, uneven = bedside(0.02), bedside(0.02, longest=2.0)
    assert usual.few_users_cell().patience == pytest.approx(2.0)
    assert uneven.few_users_cell().patience == pytest.approx(5.0)
    assert usual.single_user_cell().patience >= 10
