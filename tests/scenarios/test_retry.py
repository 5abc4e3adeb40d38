"""What was disturbed is measured again, and what was measured at first is kept beside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.run_info import Plan, RouteRecord
from results.schema import Cell
from results.store import RunWriter
from scenarios.doctor import examine
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.progress import NoProgress
from scenarios.doctor.retry import archive_attempt, session_interference
from scenarios.doctor.testbed import SMOKE_TEST_REQUESTS, AppTestBed, share_requests
from scenarios.system.interrupt import StopRequest
from tests.scenarios.test_adaptive_plan import bedside, write
from tests.support.processes import MARK, ROOT, gone_within, new_mark, pids


def measured(
    folder: Path,
    cell: Cell,
    late: dict[int, float],
    hardship: tuple[float, float, int],
    latency: float,
) -> RunWriter:
    """A run with one four-second cell, late generator ticks and a machine under stress."""
    run = RunWriter(folder, "doctor")
    run.info.plan = Plan(cells=[cell])
    for name in ("load", "samples", "probe"):
        (folder / name).mkdir()
    ticks: list[list[Any]] = [
        ["tick", cell.name, 10 + i / 100, 1, 0.0, late.get(i, 0.0004), 0.1] for i in range(-20, 420)
    ]
    marks: list[list[Any]] = [
        ["mark", cell.name, "open", 10.0, 0, 0.0, 5.0, 5.0, 7],
        [
            "mark",
            cell.name,
            "close",
            14.0,
            0,
            0.0,
            5.0 + hardship[0],
            5.0 + hardship[1],
            7 + hardship[2],
        ],
    ]
    write(folder / "load" / f"{cell.on}.jsonl", [*ticks, *marks])
    sent = ["sent", 1, cell.name, "steady", cell.route, cell.variant, 0, 10.5, 10.5]
    write(
        folder / "samples" / f"{cell.on}.jsonl",
        [sent, ["done", 1, 10.5 + latency, 200, None, 2, *[None] * 5]],
    )
    return run


@pytest.mark.parametrize(
    ("late", "hardship", "latency", "why"),
    [
        ({}, (0.0, 3.9, 0), 0.1, None),
        ({-10: 0.5, 410: 0.5}, (0.0, 3.9, 0), 0.1, None),  # outside the window
        ({50: 0.015}, (0.0, 3.9, 0), 0.1, None),
        ({50: 0.045}, (0.0, 3.9, 0), 0.01, "the load generator stood still for 45 ms"),
        ({50: 0.045}, (0.0, 3.9, 0), 1.0, None),  # short beside the latency
        (
            {50: 0.035, 90: 0.035, 99: 0.035},
            (0.0, 3.9, 0),
            1.0,
            "the load generator stood still for 35 ms",
        ),  # more than 1 % of the time
        ({}, (9.0, 3.9, 0), 0.1, "the host took the CPU for others"),
        ({}, (0.0, 3.9, 2), 0.1, "the machine swapped"),
    ],
)
# A row of the table
def test_a_disturbance_is_seen_in_the_generators_own_facts(  # noqa: PLR0913, PLR0917
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    late: dict[int, float],
    hardship: tuple[float, float, int],
    latency: float,
    why: str | None,
) -> None:
    """Its ticker and the machine's counters; not a short delay, nor any outside the window."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    cell = bedside(0.1).few_users_cell()
    run = measured(tmp_path, cell, late, hardship, latency)
    assert (f"{why} during {cell.name}" if why else None) == session_interference(run, "route-01")
    assert session_interference(run, "route-02") is None


def test_what_was_measured_at_first_is_set_aside_and_said(tmp_path: Path) -> None:
    """Spools of the session and its watchdog run, of no other; twice, and neither is lost."""
    cell = bedside(0.1).few_users_cell()
    run = measured(tmp_path, cell, {}, (0.0, 3.9, 0), 0.1)
    for number in (1, 2):
        for name in (
            "load/route-01",
            "load/route-01-watch",
            "probe/route-01-77",
            "load/route-010",
            "samples/idle",
        ):
            (tmp_path / f"{name}.jsonl").write_text("", encoding="utf-8")
        archive_attempt(
            run,
            "route-01",
            "It was examined again, because the machine swapped",
            ("load", "samples", "probe"),
        )
        kept = sorted(
            str(file.relative_to(tmp_path / "aside" / f"route-01-{number}"))
            for file in tmp_path.glob(f"aside/*-{number}/*/*")
        )
        assert [
            "load/route-01-watch.jsonl",
            "load/route-01.jsonl",
            "probe/route-01-77.jsonl",
            *["samples/route-01.jsonl"][number - 1 :],
        ] == kept
    assert run.info.plan.cells == []
    assert run.info.plan.notes[0] == (
        "It was examined again, because the machine swapped; "
        "what was measured at first lies in aside/route-01-1."
    )
    assert (tmp_path / "load" / "route-010.jsonl").exists()


@pytest.mark.slow
def test_a_stall_at_rest_is_measured_again_and_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    """One stall of the idle neighbours, which carry every verdict, costs seconds, not the run.

    Then Ctrl-C: exit code 130, a report, and no process is left.
    """
    (tmp_path / "shop.py").write_text(
        "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/x')\nasync def x(): return 1\n",
        encoding="utf-8",
    )
    mark = new_mark()
    command = [
        sys.executable,
        str(ROOT / "atonce.py"),
        "doctor",
        "shop:app",
        "--out",
        "out",
        "--json",
    ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, MARK: mark}, **pipes)
    deadline = time.perf_counter() + 90
    while (
        process.poll() is None
        and time.perf_counter() < deadline
        and not list(tmp_path.glob("out/*/load/route-01.jsonl"))
    ):
        if list(tmp_path.glob("out/*/load/idle.jsonl")) and not list(tmp_path.glob("out/*/aside")):
            stand_still(pids(mark, "locust"))
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=60)
    assert (
        process.returncode,
        "Interrupted: no more requests are sent" in said,
        gone_within(mark, 5),
    ) == (130, True, []), said
    (run,) = tmp_path.glob("out/*")
    assert json.loads(shown)["exit_code"] == 130
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["plan"]["notes"][0].startswith(
        "The idle neighbours were measured again, because the load generator stood still"
    )
    assert [cell["name"] for cell in facts["plan"]["cells"]][:2] == [
        "neighbours/idle/0",
        "crowd/GET /x/1",
    ]
    assert (run / "aside" / "idle-1" / "samples" / "idle.jsonl").exists()
    assert (run / "report" / "index.html").exists()


def stand_still(numbers: list[int]) -> None:
    """Some processes get no turn for a while."""
    for word in (signal.SIGSTOP, signal.SIGCONT):
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, word)
        time.sleep(0.3)


SPENT = [
    ["sent", seq, "crowd/GET /x/8", "steady", "GET /x", "GET /x", 0, 1.0, 1.0] for seq in range(946)
]
PINGED = [
    ["sent", 946, "neighbours/GET /x/8", "steady", "GET /_atonce/async", "GET /x", 0, 1.0, 1.0]
]


def test_all_that_a_route_is_asked_comes_out_of_one_allowance(tmp_path: Path) -> None:
    """Its levels, its watchdog run and set-aside spools; not its neighbours or other routes."""
    for place in (
        "samples/route-01",
        "aside/route-01-1/samples/route-01-watch",
        "samples/route-010",
    ):
        path = tmp_path / f"{place}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, [*SPENT, *PINGED])
    route = RouteRequest(route="GET /x", path="/x")
    for requests, remaining in ((20_000, 20_000 - 2 * 946 - SMOKE_TEST_REQUESTS), (1000, 0)):
        options: Any = SimpleNamespace(app=None, requests=requests)
        run = RunWriter(tmp_path, "doctor")
        testbed = AppTestBed(options, run, StopRequest(), NoProgress())
        assert testbed.count_remaining("route-01", route) == remaining


@given(st.integers(0, 5000), st.lists(st.sampled_from([-3, 0, 1, 200, 4000]), max_size=8))
def test_no_plan_asks_for_more_than_is_left(left: int, wanted: list[int]) -> None:
    """A cell without a ceiling of its own gets the rest; with nothing left, it is not asked."""
    cells = [replace(bedside(0.1).few_users_cell(), most=most) for most in wanted]
    shared = share_requests(cells, left)
    assert sum(cell.most for cell in shared) <= left
    assert all(cell.most > 0 for cell in shared)
    assert len(shared) == len(cells) or sum(cell.most for cell in shared) == left


@pytest.mark.parametrize(("requests", "visits"), [(1000, 1), (20_000, 2)])
def test_a_disturbed_route_is_examined_again_with_what_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requests: int, visits: int
) -> None:
    """Never with a second allowance; where too little is left, a note says so."""
    order: Any = SimpleNamespace(app=None, budget=600.0, requests=requests)
    run = RunWriter(tmp_path, "doctor")
    examination = examine.Examination(AppTestBed(order, run, StopRequest(), NoProgress()))
    allowed: list[int] = []

    def visit(asked: RouteRequest, act: str, _answers: dict[str, Any]) -> None:
        allowed.append(examination.testbed.count_remaining(act, asked))
        (tmp_path / "samples").mkdir(exist_ok=True)
        write(tmp_path / "samples" / f"{act}.jsonl", SPENT)

    monkeypatch.setattr(examination, "examine_route", visit)
    monkeypatch.setattr(examine, "session_interference", lambda *_: "the machine swapped")
    asked = RouteRequest(route="GET /x", path="/x")
    examination.examine_routes([(asked, RouteRecord(route="GET /x", session="route-01"))])
    assert (
        allowed == [requests - SMOKE_TEST_REQUESTS, requests - SMOKE_TEST_REQUESTS - 946][:visits]
    )
    left = 1000 - SMOKE_TEST_REQUESTS - 946
    words = (
        "GET /x was not examined again, though the machine swapped: "
        f"{left} of its 1,000 requests were left"
    )
    assert (words in run.info.plan.notes[0]) == (visits == 1)
