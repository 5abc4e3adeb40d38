"""One evidence from two sources: the spools of a run that goes on, and the sealed run."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from results.judgement.model import RouteEvidence
from results.records import Done, GivenUp, Hold, Mark, Sent, StackFrame, StackTime, Trace
from results.schema import Status
from results.spool import Spool
from results.thresholds import FEW_USERS, MANY_USERS
from scenarios.plans.cells import repeat_cell
from tests.support.simulate_run import OVERHEAD
from tests.support.simulate_services import (
    CPU,
    PROCESS,
    SESSION,
    USED,
    Answer,
    Edit,
    Examination,
    Server,
    planner,
    prepare,
    two_modes,
)

THREADS = Server(two_modes(0.08, 0.2, 0.1), threads=40)
PROCESS_FILE = f"{PROCESS}-1"
# of two cores: all, less the generator's tenth, the app's 0.02 and 0.3 ms for each request
TRUE_OTHERS = (USED - 0.1 - 0.02 - CPU * 40 / THREADS.service.mean) / 2
TIMES = ("app_start", "handler_start", "handler_end", "app_end")


def assert_same(expected: Any, actual: Any, where: str = "evidence") -> None:
    """Compare all fields, numbers to within 1e-9."""
    if dataclasses.is_dataclass(expected):
        names = [field.name for field in dataclasses.fields(expected)]
        expected, actual = (
            {name: getattr(some, name) for name in names} for some in (expected, actual)
        )
    if isinstance(expected, dict):
        assert expected.keys() == actual.keys(), where
        for key, value in expected.items():
            assert_same(value, actual[key], f"{where}.{key}")
    elif isinstance(expected, tuple | list):
        assert len(expected) == len(actual), where
        for i, pair in enumerate(zip(expected, actual, strict=True)):
            assert_same(*pair, where=f"{where}.{i}")
    elif isinstance(expected, float):
        is_near = actual is not None and math.isclose(expected, actual, abs_tol=1e-9)
        assert is_near, f"{where}: {expected} is not {actual}"
    else:
        assert expected == actual, where


def some(every: int, change: Callable[[Done], Answer]) -> Edit:
    """Change each so many-th answer of the route; those of the neighbours stay."""
    return lambda sent, done: (
        change(done) if sent.seq % every == 1 and sent.cell.startswith("crowd") else done
    )


def edited(**fields: Any) -> Callable[[Done], Done]:
    """Other values in the line of an answer."""
    return lambda done: msgspec.structs.replace(done, **fields)


UNSEEN = edited(**dict.fromkeys(TIMES))
EDITS: dict[str, Edit] = {
    "as it is": lambda _, done: done,
    "errors": some(40, edited(status=500, error="status 500")),
    "no answers": some(30, lambda done: GivenUp(done.seq, done.done)),
    "empty answers": some(7, edited(size=0)),
    "no server's times": some(5, UNSEEN),
    "nobody listened": some(9, edited(status=None, error="ConnectionRefusedError")),
}


def examined(folder: Path, edit: Edit) -> Examination:
    """A run with every kind of level, and what the watchdog wrote in two of them."""
    examination = prepare(folder, THREADS, 1)
    plan = planner(THREADS, examination.dice)
    lone, few = plan.single_user_cell(), plan.few_users_cell()
    write_hold(examination, 2.0, "elsewhere")  # at rest
    for cell in (
        *(lone, few, plan.many_users_cell(None), plan.middle_cell(20, 100.0), repeat_cell(few, 2)),
        *(plan.half_capacity_cell(50.0), repeat_cell(lone, 3)),
    ):
        examination.play(cell, edit)
    begun = examination.now
    examination.play(plan.watchdog_cell(FEW_USERS, 1.5), edit)
    for i in range(5):
        write_hold(examination, begun + 0.5 + i / 5, "request")
    return examination


def write_hold(examination: Examination, start: float, context: str) -> None:
    """The loop is held for 60 ms."""
    frame = StackFrame("/srv/jobs.py", len(context), "poll", "time.sleep", is_user_code=True)
    stacks = (StackTime(0.06, (frame,)),)
    append(examination, "holds", PROCESS_FILE, Hold(start, start + 0.06, context, 0.0, stacks))


def append(examination: Examination, table: str, name: str, *lines: msgspec.Struct) -> None:
    """Add lines to a spool."""
    spool = Spool(examination.run.path / table / f"{name}.jsonl")
    for line in lines:
        spool.write(line)
    spool.close()


def seal_and_compare(examination: Examination) -> RouteEvidence:
    """What was known before the run was sealed must be known after it, and nothing else."""
    before = examination.observe()
    examination.run.close(Status.COMPLETE)
    after = examination.judge()
    assert_same(after, before)
    return after


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_the_sealed_run_says_what_its_spools_said(tmp_path: Path, edit: Edit) -> None:
    """Levels, unloaded latency, neighbours, the app's processes, holds: so planner and report."""
    evidence = seal_and_compare(examined(tmp_path, edit))
    assert {1, FEW_USERS, 20, MANY_USERS} == set(evidence.levels)
    assert evidence.lone_tries == 2
    assert evidence.half_rate == 25.0
    assert evidence.half_neighbours
    assert evidence.loop_holds
    assert evidence.loop_holds.culprits[0].holds == 5
    assert evidence.idle_hold_places == {("/srv/jobs.py", len("elsewhere"))}
    top = evidence.levels[MANY_USERS]
    assert top.server_stats.threads == 40
    assert top.other_cpu == pytest.approx(TRUE_OTHERS, abs=0.02)


def test_times_that_only_the_trace_log_has_count_as_well(tmp_path: Path) -> None:
    """An answer whose head had no length carries no time: the app writes it into its log."""
    examination, streamed = prepare(tmp_path, THREADS, 1), list[Done]()

    def edit(_: Sent, done: Done) -> Done:
        streamed.append(done)
        return UNSEEN(done)

    examination.play(planner(THREADS, examination.dice).single_user_cell(), edit)
    traces = [
        Trace(f"{SESSION}-1-{done.seq}", *(getattr(done, name) for name in TIMES))
        for done in streamed
    ]
    append(examination, "probe", PROCESS_FILE, *traces)
    alone = seal_and_compare(examination).levels[1]
    assert alone.app_time == pytest.approx(alone.mean, abs=2 * OVERHEAD)


def test_what_is_still_waited_for_is_a_lower_bound_in_both(tmp_path: Path) -> None:
    """A level that fell silent: mark, age and number of the unanswered; no rate."""
    examination = prepare(tmp_path, THREADS, 1)
    plan = planner(THREADS, examination.dice)
    examination.play(plan.single_user_cell())
    cell = examination.play(plan.few_users_cell(), lambda _, done: GivenUp(done.seq, done.done))
    silent = Mark(cell.name, "silent", examination.now - 1.0, 8, 0.0)
    append(examination, "load", f"{SESSION}-2", silent)
    few = seal_and_compare(examination).levels[FEW_USERS]
    assert (few.is_silent, few.rate, few.latencies) == (True, 0.0, ())
    assert few.unanswered == few.sent > FEW_USERS
    assert few.mean >= 0.08


@pytest.mark.parametrize(
    ("change", "is_odd"),
    [
        ({"size": 0}, True),
        ({"status": 204}, True),
        ({"size": 29}, True),  # of 14 alone
        ({"size": 28}, False),
        ({"size": 7}, False),
        ({"size": 6}, True),
    ],
)
def test_answers_unlike_a_lone_users_are_counted(
    tmp_path: Path, change: dict[str, int], *, is_odd: bool
) -> None:
    """Another status, empty or not, or a size outside half to twice the lone ones."""
    examination = prepare(tmp_path, THREADS, 1)
    plan = planner(THREADS, examination.dice)
    examination.play(plan.single_user_cell())
    examination.play(plan.few_users_cell(), lambda _, done: edited(**change)(done))
    few = examination.observe().levels[FEW_USERS]
    assert few.odd_answers == (len(few.latencies) if is_odd else 0)
    assert few.latencies
