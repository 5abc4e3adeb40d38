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

from results.run_info import Plan
from results.schema import Cell
from results.store import RunWriter
from scenarios.doctor import retry
from scenarios.doctor import testbed as testbed_module
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.retry import OTHERS_REASON, OtherLoad, archive_level, find_interference
from scenarios.doctor.testbed import SMOKE_TEST_REQUESTS, AppTestBed, share_requests
from scenarios.generator.job import Job
from scenarios.runner.run_plan import NoProgress
from scenarios.system.interrupt import StopRequest
from tests.support.evidence_factory import bedside
from tests.support.processes import MARK, ROOT, gone_within, new_mark, pids
from tests.support.recordings import recording, write

CORES = 2
WORKER = "route-01-2"


def measured(
    folder: Path,
    late: dict[int, float],
    hardship: tuple[float, float, int],
    latency: float,
    app_cpu: float | None,
) -> Cell:
    """One four-second cell, late generator ticks and a machine under stress."""
    cell = replace(bedside(0.1).few_users_cell(), on="app-1")
    for name in ("load", "samples", "probe"):
        (folder / name).mkdir()
    ticks: list[list[Any]] = [
        ["tick", cell.name, 10 + i / 100, 1, 0.0, late.get(i, 0.0004), 0.1 + i / 400]
        for i in range(-20, 420)
    ]
    marks: list[list[Any]] = [
        ["mark", cell.name, mark, 10.0 + 4 * end, 0, 0.0]
        + [before + end * more for before, more in zip((5.0, 5.0, 7), hardship, strict=True)]
        for end, mark in enumerate(("open", "close"))
    ]
    write(folder / "load" / f"{WORKER}.jsonl", [*ticks, *marks])
    sent = ["sent", 1, cell.name, "steady", cell.route, cell.variant, 0, 10.5, 10.5]
    write(
        folder / "samples" / f"{WORKER}.jsonl",
        [sent, ["done", 1, 10.5 + latency, 200, None, 2, *[None] * 5]],
    )
    if app_cpu is not None:
        samples = [
            {
                "kind": "sample",
                "t": 10 + i / 10,
                "cpu": 3 + app_cpu * i / 80,
                "kin_cpu": i * app_cpu / 80,
            }
            for i in range(-3, 44)
        ]
        lines = "".join(json.dumps(sample) + "\n" for sample in samples)
        (folder / "probe" / "app-1-77.system.jsonl").write_text(lines, encoding="utf-8")
    return cell


@pytest.mark.parametrize(
    ("late", "hardship", "latency", "app_cpu", "why"),
    [
        ({}, (0.0, 3.9, 0), 0.1, 1.0, None),
        ({-10: 0.5, 410: 0.5}, (0.0, 3.9, 0), 0.1, 1.0, None),  # outside the window
        ({50: 0.015}, (0.0, 3.9, 0), 0.1, 1.0, None),
        (
            dict.fromkeys(range(4), 0.021),
            (0.0, 3.9, 0),
            0.1,
            1.0,
            None,
        ),  # less than 1 % of the time
        ({50: 0.045}, (0.0, 3.9, 0), 0.01, 1.0, "the load generator stood still for 45 ms"),
        ({50: 0.045}, (0.0, 3.9, 0), 1.0, 1.0, None),  # short beside the latency
        (
            {50: 0.035, 90: 0.035, 99: 0.021},
            (0.0, 3.9, 0),
            1.0,
            1.0,
            "the load generator stood still for 35 ms",
        ),  # more than 1 % of the time
        ({}, (9.0, 3.9, 0), 0.1, 1.0, "the host took the CPU for others"),
        ({}, (0.0, 3.9, 2), 0.1, 1.0, "the machine swapped"),
        # Locust uses 1 s of 8 s in four seconds on two cores
        ({}, (0.0, 7.9, 0), 0.1, 4.6, None),
        ({}, (0.0, 7.9, 0), 0.1, 4.4, OTHERS_REASON),
        ({}, (0.0, 4.3, 0), 0.1, 1.0, None),
        ({}, (0.0, 4.5, 0), 0.1, 1.0, OTHERS_REASON),
        ({}, (0.0, 7.9, 0), 0.1, None, None),  # it may all be the app's
    ],
)
# A row of the table
def test_a_disturbance_is_seen_in_the_generators_own_facts(  # noqa: PLR0913, PLR0917
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    late: dict[int, float],
    hardship: tuple[float, float, int],
    latency: float,
    app_cpu: float | None,
    why: str | None,
) -> None:
    """Its ticker and the machine's counters; not a short delay, nor any outside the window."""
    monkeypatch.setattr("os.cpu_count", lambda: CORES)
    cell = measured(tmp_path, late, hardship, latency, app_cpu)
    seen = recording(tmp_path, cell)
    seen.info.machine.cpus = CORES
    assert why == find_interference(seen, [bedside(0.1).single_user_cell(), cell])


def test_what_was_measured_at_first_is_set_aside_and_said_once(tmp_path: Path) -> None:
    """The spools of one level, of no other; however often, one note says it for the route."""
    run = RunWriter(tmp_path, "doctor")
    cell, other = bedside(0.1).few_users_cell(), bedside(0.1).single_user_cell()
    job = Job(tmp_path, "route-01-2", 1, (cell,))
    names = ("load/route-01-2", "samples/route-01-2", "load/route-01-20", "probe/app-1-77")
    for number in (2, 3):
        run.info.plan = Plan(cells=[other, cell], notes=run.info.plan.notes)
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / f"{name}.jsonl".replace("-2.", f"-{number}.")).write_text("{}")
        again = replace(job, worker=f"route-01-{number}")
        archive_level(run, "route-01", again, "GET /x", "the machine swapped")
        assert run.info.plan.cells == [other]
    kept = sorted(str(it.relative_to(tmp_path / "aside")) for it in tmp_path.glob("aside/*/*/*/*"))
    assert kept == [
        f"route-01/{number}/{table}/route-01-{number}.jsonl"
        for number in (2, 3)
        for table in ("load", "samples")
    ]
    (note,) = run.info.plan.notes
    assert note == (
        "GET /x: disturbed levels were measured again (2 in all), the last because the machine "
        "swapped; what was measured at first lies in aside/route-01."
    )
    assert (tmp_path / "load" / "route-01-20.jsonl").exists()
    assert (tmp_path / "probe" / "app-1-77.jsonl").exists()


@pytest.mark.parametrize(
    ("busy", "waits"), [((0.0,) * 9, 0.0), ((1.4, 1.4, 0.2), 0.4), ((1.4,) * 99, 3.0)]
)
def test_a_busy_machine_is_given_a_moment(
    monkeypatch: pytest.MonkeyPatch, busy: tuple[float, ...], waits: float
) -> None:
    """Until others use less than 30 % of its two cores, three seconds at most."""
    now, used, course = 5.0, 0.0, iter(busy)

    def pass_time(seconds: float) -> None:
        nonlocal now, used
        now += seconds
        used += seconds * (next(course) + 0.5)

    clock = SimpleNamespace(perf_counter=lambda: now, sleep=pass_time)
    monkeypatch.setattr(retry, "time", clock)
    monkeypatch.setattr(retry, "host_counters", lambda: (0.0, used, 0, None, None))
    monkeypatch.setattr("os.cpu_count", lambda: CORES)
    others = OtherLoad(lambda: 0.5 * now)  # what the app and Locust use
    pass_time(0.2)
    started = now
    others.wait_for_quiet(lambda: None)
    assert waits <= now - started <= waits + 0.21


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
        and not list(tmp_path.glob("out/*/load/route-01-1.jsonl"))
    ):
        if list(tmp_path.glob("out/*/load/idle-1.jsonl")):
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
    note = facts["plan"]["notes"][0]
    assert note.startswith("The idle neighbours: disturbed levels were measured again")
    assert [cell["name"] for cell in facts["plan"]["cells"]][:2] == [
        "neighbours/idle/0",
        "crowd/GET /x/1",
    ]
    assert (run / "aside" / "idle" / "1" / "samples" / "idle-1.jsonl").exists()
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


def made_testbed(folder: Path, requests: int = 20_000) -> AppTestBed:
    """A test bed without an app."""
    options: Any = SimpleNamespace(app=None, budget=600.0, requests=requests)
    return AppTestBed(options, RunWriter(folder, "doctor"), StopRequest(), NoProgress())


ROUTE = RouteRequest(route="GET /x", path="/x")


def test_all_that_a_route_is_asked_comes_out_of_one_allowance(tmp_path: Path) -> None:
    """Its levels and what was set aside; not its neighbours or other routes."""
    for place in (
        "samples/route-01-3",
        "aside/route-01/2/samples/route-01-2",
        "samples/route-010-1",
    ):
        path = tmp_path / f"{place}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, [*SPENT, *PINGED])
    for requests, remaining in ((20_000, 20_000 - 2 * 946 - SMOKE_TEST_REQUESTS), (1000, 0)):
        assert made_testbed(tmp_path, requests).count_remaining("route-01", ROUTE) == remaining


@given(st.integers(0, 5000), st.lists(st.sampled_from([-3, 0, 1, 200, 4000]), max_size=8))
def test_no_plan_asks_for_more_than_is_left(left: int, wanted: list[int]) -> None:
    """A cell without a ceiling of its own gets the rest; with nothing left, it is not asked."""
    cells = [replace(bedside(0.1).few_users_cell(), most=most) for most in wanted]
    shared = share_requests(cells, left)
    assert sum(cell.most for cell in shared) <= left
    assert all(cell.most > 0 for cell in shared)
    assert len(shared) == len(cells) or sum(cell.most for cell in shared) == left


def level_tries(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    reasons: list[str | None],
    requests: int = 20_000,
    levels: tuple[RouteRequest | None, ...] = (ROUTE,),
) -> tuple[int, AppTestBed]:
    """How often levels are run that are disturbed for these reasons, one after another."""
    testbed, tries = made_testbed(folder, requests), 0
    testbed.run.info.plan.cells = []

    def run_job(session: str, cells: tuple[Cell, ...], _: RouteRequest | None) -> Job:
        nonlocal tries
        tries += 1
        job = Job(folder, f"{session}-{tries}", 1, cells)
        (folder / "samples").mkdir(exist_ok=True)
        write(folder / "samples" / f"{job.worker}.jsonl", SPENT)
        return job

    monkeypatch.setattr(testbed, "_run_job", run_job)
    course = iter(reasons)
    monkeypatch.setattr(retry, "find_interference", lambda *_: next(course))
    for route in levels:
        testbed.run_level("route-01", (bedside(0.1).few_users_cell(),), route)
    return tries, testbed


@pytest.mark.parametrize(
    ("reasons", "tries"),
    [
        ([None], 1),
        (["the machine swapped", None], 2),
        (["the machine swapped"] * 4, 4),  # the last counts
        ([OTHERS_REASON, "the machine swapped", None], 3),
    ],
)
def test_a_disturbed_level_is_run_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reasons: list[str | None], tries: int
) -> None:
    """Three times at most; all but the last try are set aside."""
    assert level_tries(tmp_path, monkeypatch, reasons)[0] == tries
    assert len(list(tmp_path.glob("aside/route-01/*"))) == tries - 1


@pytest.mark.parametrize(
    ("reasons", "tries"),
    [
        (["the machine swapped"] * 10, 10),
        ([OTHERS_REASON] * 4, 4),  # others work on: the same as for a route
        ([OTHERS_REASON] * 3 + ["the machine swapped", OTHERS_REASON, None], 6),
    ],
)
def test_the_idle_level_has_more_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reasons: list[str | None], tries: int
) -> None:
    """Every other level is compared with it."""
    assert level_tries(tmp_path, monkeypatch, reasons, levels=(None,))[0] == tries


def test_work_that_goes_with_every_try_is_borne_for_some_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of the app's, for example: ten more levels are not run again for its sake."""
    others: list[str | None] = [OTHERS_REASON]
    tries, _ = level_tries(
        tmp_path, monkeypatch, others * 13, levels=(ROUTE,) * 10, requests=20_000
    )
    assert tries == 4 + 9
    kinds: list[str | None] = [*others * 4, "the machine swapped", None]
    assert level_tries(tmp_path, monkeypatch, kinds, levels=(ROUTE, ROUTE))[0] == 6


def test_a_disturbed_level_is_run_again_with_what_is_left_to_its_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never with a second allowance; where too little is left, a note says so."""
    tries, testbed = level_tries(tmp_path, monkeypatch, ["the machine swapped"], requests=1000)
    left = 1000 - SMOKE_TEST_REQUESTS - 946
    assert tries == 1
    (note,) = testbed.run.info.plan.notes
    assert note == (
        "GET /x was not measured again, though the machine swapped: "
        f"{left} of its 1,000 requests were left; --requests allows more."
    )


def test_no_level_is_run_again_beyond_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured counts then."""
    monkeypatch.setattr(AppTestBed, "fits_budget", lambda *_: False)
    assert level_tries(tmp_path, monkeypatch, ["the machine swapped"])[0] == 1


@pytest.mark.parametrize(
    ("mark", "failure", "left"),
    [("close", None, "app-1"), ("silent", None, None), ("close", "no GIL", "app-1")],
)
def test_a_silent_process_is_killed_at_once_and_an_unwatched_level_is_not_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mark: str,
    failure: str | None,
    left: str | None,
) -> None:
    """Neither is run again; the cell names the process that answered."""
    testbed, waited = made_testbed(tmp_path), list[float]()
    testbed.run.info.plan.cells = []
    testbed.endured_levels = 9
    child: Any = SimpleNamespace(stop=waited.append, was_killed=False)
    watched = contextlib.nullcontext(failure)
    process: Any = SimpleNamespace(
        name="app-1", child=child, is_alive=True, watched=lambda _: watched
    )
    process.wait_for_rest = lambda *_: True
    testbed.app_process = process
    testbed.app = SimpleNamespace(redact=str, trust=None)  # type: ignore[assignment]
    testbed.options = SimpleNamespace(seed=1, budget=60.0)  # type: ignore[assignment]
    monkeypatch.setattr(testbed, "start_locust", lambda: None)

    def run_job(_app: Any, _locust: Any, job: Job, *_: Any) -> None:
        (tmp_path / "load").mkdir()
        (cell,) = job.cells
        write(tmp_path / "load" / f"{job.worker}.jsonl", [["mark", cell.name, mark, 1.0, 8, 0.0]])

    monkeypatch.setattr(testbed_module, "run_job", run_job)
    testbed.run_level("idle", (bedside(0.1).watchdog_cell(8, 0.1),))
    assert [cell.on for cell in testbed.run.info.plan.cells] == ["app-1"] * (not failure)
    assert (testbed.app_process and testbed.app_process.name) == left
    assert waited == [0.0] * (left is None)
    assert testbed.unwatched_reason == failure
