"""The goals of the self-check on servers of known truth, harnesses with faults, real servers."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from reports.checks.model import TrustLevel
from reports.metrics.run_data import RunData, load_run
from reports.model import Goal, Report
from reports.render.output import write_report_files
from reports.render.page import render_page
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from reports.selfcheck import from_server_clock, selfcheck_goals, to_server_clock
from results.errors import ExitCode
from results.run_info import Runtime
from results.schema import Cell
from results.store import RunWriter
from scenarios.plans.selfcheck import selfcheck_plan
from scenarios.runner.run_plan import NoProgress, Settings, execute_plan
from tests.reports.test_report import SCHEMA
from tests.support.simulate_loads import Server
from tests.support.simulate_loads import write as simulate

ROOT = Path(__file__).resolve().parents[2]
CELLS = selfcheck_plan().sessions[0].cells
FROZEN = [cell for cell in CELLS if "freeze_at" in cell.path]


def of(places: int) -> list[Cell]:
    """The plan's cells on a server, without the cell that freezes."""
    return [
        cell for cell in CELLS if cell.path.startswith(f"/places/{places}?") and cell not in FROZEN
    ]


def verdicts(evidence: RunData) -> dict[str, bool]:
    """Which goals hold, by what they are about."""
    return {goal.name.rpartition(": ")[2]: goal.is_met for goal in selfcheck_goals(evidence)}


LOOPS = {
    "mean of 2 users",
    "mean of 4 users",
    "served at once, from the sweep",
    "service time, as the server recorded it",
    "one user, beyond the server's record",
}
QUEUE, PILE = (
    {"mean", "p50", "p95"},
    {"in flight, more every second", "answered per second", "dropped"},
)
STOP = {"times the server stopped", "p99", "p99 as a closed loop sees it"}


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest run of all that is asked of the server with 1 place."""
    return simulate(tmp_path_factory.mktemp("one"), of(1), Server(1, 0.1), command="selfcheck")


def stamped(path: Path, service: float = 0.1) -> RunData:
    """A run with what the server recorded."""
    evidence = load_run(path)
    for rows in evidence.requests_by_cell.values():
        rows["handler_start"], rows["handler_end"] = rows.done - service, rows.done
    return evidence


def change(evidence: RunData, cell: str, how: Callable[[pd.Series], pd.Series]) -> None:
    """Change the moments of answer in a cell."""
    rows = evidence.rows(cell)
    rows["done"] = how(rows.done)
    rows["latency"] = rows.done - rows.intended


def test_an_honest_harness_meets_every_goal(one_place: Path) -> None:
    """Closed, open at two rates, overloaded: 5 + 6 + 3 goals."""
    goals = selfcheck_goals(stamped(one_place))
    assert [goal.name for goal in goals if not goal.is_met] == []
    assert len(goals) == 14
    assert {goal.name.rpartition(": ")[2] for goal in goals} == LOOPS | QUEUE | PILE


@pytest.mark.parametrize(("places", "service"), [(6, 0.05), (40, 0.2)])
def test_more_places_meet_their_goals_as_well(tmp_path: Path, places: int, service: float) -> None:
    """Two levels, the sweep, the service time, a single user."""
    goals = selfcheck_goals(
        stamped(
            simulate(tmp_path, of(places), Server(places, service), command="selfcheck"), service
        )
    )
    assert [goal.is_met for goal in goals] == [True] * 5
    assert goals[2].measured == pytest.approx(places, rel=0.03)


@pytest.mark.parametrize(
    ("places", "really", "service"), [(1, 2, 0.1), (6, 7, 0.05), (40, 38, 0.2)]
)
def test_a_place_too_many_or_too_few_is_seen(
    tmp_path: Path, places: int, really: int, service: float
) -> None:
    """In the sweep, in the mean of the larger crowd, and in the gaps between completions."""
    crowds = [cell for cell in of(places) if cell.users]
    met = verdicts(
        stamped(simulate(tmp_path, crowds, Server(really, service), command="selfcheck"), service)
    )
    assert list(met.values())[1:4] == [False] * 3


def test_a_service_time_that_the_server_does_not_know_of_is_seen(one_place: Path) -> None:
    """Its record says 98 ms, completions 100 ms: 2 % off, 1 % allowed. The rounded sweep holds."""
    met = verdicts(stamped(one_place, 0.098))
    assert {name for name in LOOPS if not met[name]} == LOOPS - {"served at once, from the sweep"}


@pytest.mark.parametrize(
    ("rate", "seconds", "missed"),
    [
        (6, 0.012, {"mean", "p50"}),  # of about 170, 130 and 350 ms: 7, 9 and 3 %
        (7, 0.012, {"mean", "p50"}),  # of about 220, 170 and 510 ms
        (6, 0.05, QUEUE),
        (7, 0.1, QUEUE),
    ],
)
def test_latency_that_comes_from_nowhere_is_seen(
    one_place: Path, rate: int, seconds: float, missed: set[str]
) -> None:
    """A client that stamps every answer of a load late, by a constant."""
    evidence = stamped(one_place)
    change(evidence, f"steady/places/1/{rate}", lambda done: done + seconds)
    assert {goal.name for goal in selfcheck_goals(evidence) if not goal.is_met} == {
        f"GET /places/1 at {rate}/s: {name}" for name in missed
    }


def test_an_overload_that_serves_too_little_is_seen(one_place: Path) -> None:
    """Answers 3 % slower than c / D: the plateau is 3 % low, and what piles up grows 6 % faster."""
    evidence = stamped(one_place)
    begin = evidence.rows("steady/places/1/15").sent.min()
    change(evidence, "steady/places/1/15", lambda done: begin + (done - begin) * 1.03)
    met = verdicts(evidence)
    assert {name for name in PILE if not met[name]} == {
        "in flight, more every second",
        "answered per second",
    }


def test_a_dropped_request_is_seen(one_place: Path) -> None:
    """1 of 360 was never answered."""
    evidence = stamped(one_place)
    rows = evidence.rows("steady/places/1/15")
    rows.loc[rows.index[-1], "censored"] = True
    assert {name for name, holds in verdicts(evidence).items() if not holds} == {"dropped"}


def stopping(sent: np.ndarray, begin: float, end: float, service: float = 0.005) -> np.ndarray:
    """Moments of answer of a server with 1 place that stands still from `begin` to `end`."""
    free, done = 0.0, []
    for moment in sent:
        start = max(moment, free)
        start = end if begin <= start < end else start
        free = start + service + (end - begin if start < begin < start + service else 0.0)
        done.append(free)
    return np.array(done)


@pytest.mark.parametrize(
    ("stop", "record", "missed"),
    [
        (1.0, [[0.0, 1.0]], set()),
        (1.0, [], STOP - {"p99 as a closed loop sees it"}),
        (1.0, [[0.0, 0.8]], {"p99"}),
        (0.0, [[0.0, 1.0]], {"p99", "p99 as a closed loop sees it"}),
    ],
)
def test_a_stop_is_found_as_long_as_it_was(
    tmp_path: Path, stop: float, record: list[list[float]], missed: set[str]
) -> None:
    """A real stop of 1 s, and none, against the record of the server (seconds after the 30th)."""
    evidence = load_run(simulate(tmp_path, FROZEN, Server(1, 0.005), command="selfcheck"))
    begin = float(evidence.rows(FROZEN[0].name).sent.min()) + 30
    change(
        evidence,
        FROZEN[0].name,
        lambda done: pd.Series(stopping(done_order(evidence), begin, begin + stop), done.index),
    )
    stops = [(begin + first, begin + last) for first, last in record]
    evidence.run.targets = {"places": Runtime(frozen=stops)}
    met = verdicts(evidence)
    assert {name for name, holds in met.items() if not holds} == missed
    assert set(met) == STOP


def done_order(evidence: RunData) -> np.ndarray:
    """The sends of the freezing cell, as they lie."""
    return evidence.rows(FROZEN[0].name).sent.to_numpy()


def test_a_pool_of_unknown_size_misses_its_goal(tmp_path: Path) -> None:
    """The server died before its probe reported the thread count: a missed goal, no crash."""
    cells = [cell for cell in selfcheck_plan().sessions[1].cells if cell.path.startswith("/sync")]
    goals = selfcheck_goals(
        load_run(simulate(tmp_path, cells, Server(40, 0.2), command="selfcheck"))
    )
    assert [(goal.name, goal.is_met) for goal in goals] == [
        ("GET /sync: records of the server", False)
    ]


@pytest.mark.parametrize("late", [0.004, 0.01])
def test_a_client_that_is_always_late_is_seen(one_place: Path, late: float) -> None:
    """A constant delay cancels out between loads, but not against the server's record."""
    evidence = stamped(one_place)
    for cell in CELLS:
        change(evidence, cell.name, lambda done: done + late)
    assert "GET /places/1: one user, beyond the server's record" in {
        goal.name for goal in selfcheck_goals(evidence) if not goal.is_met
    }


def test_the_stopped_clock_goes_there_and_back() -> None:
    """Stops of 1 s and 2 s: moments outside return to themselves, inside to the stop's begin."""
    stops = [[10.0, 11.0], [20.0, 22.0]]
    moments = np.array([5.0, 10.5, 15.0, 21.0, 30.0])
    assert to_server_clock(moments, stops).tolist() == [5.0, 10.0, 14.0, 19.0, 27.0]
    assert from_server_clock(to_server_clock(moments, stops), stops).tolist() == [
        5.0,
        10.0,
        15.0,
        20.0,
        30.0,
    ]


def reported(path: Path, evidence: RunData) -> Report:
    """The report of a run, with the goals of its evidence."""
    return dataclasses.replace(build_report(path), goals=selfcheck_goals(evidence))


def test_a_missed_goal_is_said_everywhere_and_exits_3(one_place: Path) -> None:
    """Terminal, page, summary and exit code; when all hold, 0."""
    good, bad = (
        reported(one_place, stamped(one_place)),
        reported(one_place, stamped(one_place, 0.098)),
    )
    assert good.trust.trust_level is not TrustLevel.UNTRUSTED
    assert (good.exit_code(), bad.exit_code()) == (ExitCode.FINE, ExitCode.UNTRUSTED)
    out = StringIO()
    print_report(bad, Console(file=out, width=140))
    assert "missed" in out.getvalue()
    assert "8 of 14 goals hold" in render_page(bad)
    assert "14 of 14 goals hold" in render_page(good)
    data = build_summary(bad)
    jsonschema.validate(data, json.loads(SCHEMA.read_text(encoding="utf-8")))
    # the same four, and c / D in overload twice
    assert [gate["holds"] for gate in data["gates"]].count(False) == 6
    assert all(
        gate["limit"][0] <= gate["actual"] <= gate["limit"][1]
        for gate in data["gates"]
        if gate["holds"]
    )


def test_a_goal_without_a_truth_to_divide_by_has_no_share() -> None:
    """Nothing dropped: off by no per cent of nothing."""
    goal = Goal("dropped", 0, 2, 0, 0, "none", str)
    assert (goal.relative_error, goal.is_met, goal.row[3:]) == (
        None,
        False,
        ("-", "none", "missed"),
    )


def test_the_command_line_leaves_with_3_for_a_missed_goal(tmp_path: Path) -> None:
    """A stored run; its server has two places but reports 1."""
    path = simulate(
        tmp_path, [cell for cell in of(1) if cell.users], Server(2, 0.1), command="selfcheck"
    )
    words = [sys.executable, str(ROOT / "atonce.py"), "report", str(path)]
    shown = subprocess.run(
        words, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, "missed" in shown.stdout) == (3, True), shown.stderr


def test_the_whole_plan_fits_five_minutes() -> None:
    """Start-up, drains and report included; every load of the issue is in it."""
    plan = selfcheck_plan()
    assert plan.estimate() <= 300
    open_ = [
        (cell.arrivals.expected_requests, cell.arrivals.duration)
        for cell in plan.cells
        if cell.arrivals
    ]
    assert open_ == [(360, 60), (420, 60), (360, 24), (6000, 60)]


@pytest.mark.slow
@pytest.mark.alone
def test_a_short_check_of_real_servers_finds_their_truth(tmp_path: Path) -> None:
    """Bare servers: all goals are there, most are met; the stop is on record.

    FastAPI's pools are tested in test_reproduce.py.
    """
    run, plan = RunWriter.create(tmp_path, "selfcheck"), selfcheck_plan(0.05)
    execute_plan(
        dataclasses.replace(plan, sessions=plan.sessions[:1]),
        Settings(loop="asyncio", seed=1, server_env={}),
        run,
        NoProgress(),
    )
    report = build_report(run.path)
    assert len(report.goals) == 27
    assert report.run_metrics.unfinished_cells == ()
    assert [
        goal.row for goal in report.goals if goal.name.endswith("stopped") and not goal.is_met
    ] == []
    assert [
        goal.row for goal in report.goals if goal.name.endswith("dropped") and goal.measured > 2
    ] == []  # due as the window closed
    for ends, far in (
        (("from the sweep",), 0.35),
        (("users", "recorded it", "stopped for 1 s: p99"), 0.5),
    ):
        assert [
            goal.row
            for goal in report.goals
            if goal.name.endswith(ends) and abs(goal.relative_error or 0) > far
        ] == []
    ((begin, end),) = report.run_metrics.run.targets["places"].frozen
    assert 1.0 <= end - begin < 2.0
    write_report_files(report)
    assert "goals hold</h2>" in (run.path / "report" / "index.html").read_text(encoding="utf-8")
