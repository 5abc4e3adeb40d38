"""Where answers come in lumps, a window holds whole rounds of all users: its edges do not count."""

from pathlib import Path

import gevent
import numpy as np
import pandas as pd
import pytest
from gevent.event import Event

from reports.checks.model import CheckStatus
from reports.checks.trust import assess_trust
from reports.metrics.model import RunMetrics
from reports.report import build_report
from results.schema import Cell
from scenarios.generator.cell_run import CellRun
from scenarios.plans.custom import RunOptions
from tests.support.simulate_loads import ROUTE, Server, crowd, write

LONG = 600.0  # seconds; no test waits for them


def cue_of(users: int, longest: float = LONG) -> CellRun:
    """A crowd's cell run in progress."""
    cell: Cell = RunOptions(scenario="crowd", routes=("GET /x",), seconds=longest / 3).crowd_cell(
        "GET /x", users, 1
    )
    return CellRun(cell, Event(), endless=False)


def answer(cue: CellRun, count: int) -> None:
    """So many answers at one moment, and a turn for all that wait for them."""
    for _ in range(count):
        cue.record_answer(0.1, is_right=True)
    gevent.sleep(0)
    gevent.sleep(0)


def test_a_window_opens_in_the_middle_of_a_round() -> None:
    """Eight users: after the fourth answer, in whatever lumps they come."""
    cue = cue_of(8)
    cue.start_time = float("inf")  # its deadline never comes
    waiting = gevent.spawn(cue.wait_for_rounds, cue.start_time, 0, 0)
    for lump, opens in ((1, False), (2, False), (1, True)):
        answer(cue, lump)
        assert waiting.ready() is opens


def test_a_window_holds_two_rounds_and_closes_in_the_middle_of_one() -> None:
    """Lumps of eight users: after 16 answers since it opened, or the next whole round."""
    cue = cue_of(8)
    answer(cue, 4)
    waiting = gevent.spawn(cue.wait_for_rounds, float("inf"), 2, 4)
    for lump, closes in ((5, False), (3, False), (5, False), (3, True)):
        answer(cue, lump)
        assert waiting.ready() is closes
    waiting = gevent.spawn(cue.wait_for_rounds, float("inf"), 2, 4)  # two are over already
    gevent.sleep(0)
    answer(cue, 5)
    assert not waiting.ready()
    answer(cue, 3)
    assert waiting.ready()


@pytest.mark.parametrize("late", [0, 1, 3])
def test_answers_that_are_late_for_their_lump_move_no_edge(late: int) -> None:
    """Eight users in lumps, of each of which some come as late as the next one's first.

    Two lumps lie between opening and close, though both may come up to two answers after a middle.
    """
    for opened in (4, 5, 6) if late < 3 else (4, 5):
        cue = cue_of(8)
        answer(cue, opened)  # of the first lump
        waiting = gevent.spawn(cue.wait_for_rounds, float("inf"), 2, cue.answer_count)
        gevent.sleep(0)
        for lump in (8 - late - opened, late, 8 - late, late):
            answer(cue, lump)
            assert not waiting.ready()
        answer(cue, 8 - late)  # the third
        assert waiting.ready()


def test_rounds_are_waited_for_up_to_a_bound_and_not_at_all_where_none_was_given() -> None:
    """Neither a hung server nor plain Locust, which ends when others decide, is waited for."""
    for longest in (0.0, 0.03):
        cue = cue_of(4, longest)
        cue.wait_for_rounds(0.0, 2, 0)
        assert cue.answer_count == 0
    cue = cue_of(4)
    waiting = gevent.spawn(cue.wait_for_rounds, float("inf"), 2, 0)
    gevent.sleep(0)
    cue.stopping.set()
    gevent.sleep(0)
    gevent.sleep(0)
    assert waiting.ready()


@pytest.mark.parametrize(("think", "warm_up", "stagger"), [(0.0, 2.0, 1.0), (5.0, 5.0, 5.0)])
def test_users_who_pause_start_over_one_pause(think: float, warm_up: float, stagger: float) -> None:
    """Else all of them ask in the first second, and none in the next four."""
    cell = RunOptions(scenario="crowd", routes=("GET /x",), think=think).crowd_cell("GET /x", 50, 1)
    assert (cell.warm_up, cell.stagger, cell.window, cell.longest) == (warm_up, stagger, 8.0, 30.0)


def lumpy(folder: Path, users: int, seconds: float) -> RunMetrics:
    """20 users on a held loop, 0.1 s each: all are answered at once, every two seconds."""
    run = write(folder, [crowd(1, 6), crowd(users, seconds)], Server(), scenario="crowd")
    samples = pd.read_parquet(run / "samples.parquet")
    of_crowd = samples.cell == f"crowd/{ROUTE}/{users}"
    lap, load = users * 0.1, pd.read_parquet(run / "load.parquet")
    first = (
        load.t[(load.cell == f"crowd/{ROUTE}/{users}") & (load["mark"] == "open")].max()
        + 0.75 * lap
    )
    lumps = first + lap * np.ceil((samples.done - first) / lap)
    samples.assign(done=samples.done.where(~of_crowd, lumps)).to_parquet(run / "samples.parquet")
    return build_report(run).run_metrics


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(1.2, CheckStatus.FAIL), (5.0, CheckStatus.WARN), (40.0, CheckStatus.PASS)],
)
def test_a_window_between_two_lumps_is_no_measurement(
    tmp_path: Path, seconds: float, status: CheckStatus
) -> None:
    """With no whole lump it would read 0 requests/s; with two or three it is off by up to half."""
    (check,) = [
        check
        for check in assess_trust(lumpy(tmp_path, 20, seconds)).checks
        if check.id == "V24" and check.cell.endswith("/20")
    ]
    assert check.status is status, check.why
