"""The driver on real servers and real Locust: few, wide, slow tests with planted faults."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pandas as pd
import pytest

from reports.model import Report
from reports.report import build_report
from results.errors import AtonceError, ExitCode
from results.schema import Scenario, Status, Variant
from results.store import RunWriter, read_run
from results.verdicts import ClaimOutcome
from scenarios.plans.model import Plan, Session, quick_plan
from scenarios.runner.run_plan import NoProgress, Settings, execute_plan
from scenarios.system.interrupt import handle_stop_signals
from tests.support.processes import MARK, alive, free_port, gone_within, new_mark, wait_for_server
from tests.support.trust_tolerances import failing, unsound

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def short(
    variant: Variant, levels: tuple[int, ...], *, window: float = 1.5, neighbours: bool = False
) -> Plan:
    """One variant, a few levels with short windows, a burst; neighbours only when asked for."""
    session = next(session for session in quick_plan(0.1).sessions if session.variant == variant)
    cells = []
    for cell in session.cells:
        if cell.scenario is Scenario.CROWD and cell.users in levels:
            if neighbours and cell.neighbours:
                cells.append(cell)
            else:
                cells.append(replace(cell, window=window, neighbours=()))
        elif cell.scenario is Scenario.BURST:
            cells.append(cell)
    idle = (
        [cell for cell in quick_plan(0.1).cells if cell.scenario is Scenario.NEIGHBOURS]
        if neighbours
        else []
    )
    return Plan(
        0.1,
        (Session(variant, 0.1, (*[replace(cell, variant=variant) for cell in idle], *cells)),),
        (),
    )


def run_of(
    tmp_path: Path,
    plan: Plan,
    app: str = "targets.app:app",
    loop: str = "asyncio",
    *,
    probe: bool = True,
    **env: str,
) -> tuple[Path, AtonceError | None]:
    """Run a plan; return the run and the error it ended with. Nothing may be left behind."""
    mark = new_mark()
    os.environ[MARK] = mark
    run = RunWriter.create(tmp_path, "reproduce")
    trouble = None
    try:
        settings = Settings(
            loop=loop, seed=1, server_env={"PYTHONPATH": str(ROOT), **env}, app=app, probe=probe
        )
        execute_plan(plan, settings, run, NoProgress())
    except AtonceError as caught:
        trouble = caught
    finally:
        del os.environ[MARK]
    assert gone_within(mark) == []
    return run.path, trouble


def claim(report: Report, name: str) -> ClaimOutcome:
    """The verdict on one claim."""
    return next(tested.result.outcome for tested in report.claims if tested.claim.id == name)


def served(report: Report, variant: Variant) -> float:
    """How many a variant serves at once: that follows from how it waits, not from the machine."""
    route = report.run_metrics.find_route(variant)
    assert route is not None
    return route.served_at_once or 0


@pytest.mark.alone
def test_without_the_probe_nothing_of_it_is_in_the_app(tmp_path: Path) -> None:
    """Without it: no moments, no trace log, no runtime facts, but all that the clients saw.

    The app has 80 threads for 64 users, so it serves 64 at once.
    """
    plan = short(Variant.SYNC, (1, 64))
    path, trouble = run_of(tmp_path, plan, probe=False, ATONCE_APP_THREADS="80")
    assert trouble is None
    report = build_report(path)
    assert unsound(report) == set()
    assert any(words.startswith("V22") for words in report.trust.unavailable_checks)
    rows = pd.read_parquet(path / "samples.parquet")
    assert (
        rows[["app_start", "handler_start", "handler_end", "app_end", "peer"]].isna().all(axis=None)
    )
    assert rows.done.notna().all()
    assert (len(pd.read_parquet(path / "probe.parquet")), read_run(path).targets) == (0, {})
    assert 45 < served(report, Variant.SYNC) < 90


@pytest.mark.alone
def test_a_good_route_made_blocking_is_refuted_on_a_real_server(tmp_path: Path) -> None:
    """Planted: `/async` sleeps without await. On the loop that was asked for, or V22 would fail."""
    path, trouble = run_of(
        tmp_path,
        short(Variant.ASYNC, (1, 16)),
        app="tests.support.faulty_apps:blocking_app",
        loop="uvloop",
    )
    assert trouble is None
    report = build_report(path)
    assert unsound(report) == set()
    assert claim(report, "async-many") is ClaimOutcome.REFUTED or failing(report)
    assert 0.5 < served(report, Variant.ASYNC) < 1.5


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("tests.support.faulty_apps:lying_app", "says it waited 0.1 s and answered after"),
        ("tests.support.faulty_apps:no_such_app", "The app did not start"),
    ],
)
def test_a_route_that_is_not_right_is_never_loaded(tmp_path: Path, app: str, words: str) -> None:
    """One clear sentence, exit code 4, no request counted."""
    path, trouble = run_of(tmp_path, short(Variant.ASYNC, (1,)), app=app)
    assert trouble is not None
    assert trouble.code == ExitCode.TARGET
    assert words in trouble.sentence
    assert read_run(path).status == Status.FAILED
    assert len(pd.read_parquet(path / "samples.parquet")) == 0


def test_a_target_that_dies_is_said_and_what_was_measured_kept(tmp_path: Path) -> None:
    """It serves for a while, then its process ends; users do not hammer the dead port."""
    path, trouble = run_of(
        tmp_path, short(Variant.ASYNC, (1, 50)), app="tests.support.faulty_apps:dying_app"
    )
    assert trouble is not None
    assert (trouble.code, "died (exit code 9)" in trouble.sentence) == (ExitCode.TARGET, True)
    assert "It printed nothing" in trouble.sentence  # not the last line of Locust's table
    rows = pd.read_parquet(path / "samples.parquet")
    assert rows.error.isna().sum() > 20
    assert rows.error.notna().sum() < 2000
    assert read_run(path).status == Status.FAILED


def test_a_wrong_body_under_load_is_an_error_not_a_latency(tmp_path: Path) -> None:
    """The app answers the check rightly, then every fifth request wrongly: V8 fails.

    A wrong answer does not count as throughput.
    """
    path, trouble = run_of(
        tmp_path, short(Variant.ASYNC, (1, 16)), app="tests.support.faulty_apps:wrong_app"
    )
    assert trouble is None
    assert "V8" in failing(build_report(path))
    rows = pd.read_parquet(path / "samples.parquet")
    assert (rows.error == "wrong body").sum() > 10


def start_measuring(tmp_path: Path, mark: str) -> subprocess.Popen[str]:
    """Start `atonce claims` as a person does.

    It runs a part of what `atonce reproduce` runs, and is sooner where it hurts.
    """
    env = {**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"}
    command = [
        sys.executable,
        str(ROOT / "atonce.py"),
        "claims",
        "latency-spike",
        "--out",
        str(tmp_path),
    ]
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Read its progress until a step is named."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"never said {words!r}")


def test_an_interruption_keeps_and_reports_what_was_measured(tmp_path: Path) -> None:
    """In a frozen route: arrivals stop, answers are awaited, the page is written, exit code 130.

    By Ctrl-C. That SIGTERM is no other is shown below, and in test_crash.py.
    """
    mark = new_mark()
    process = start_measuring(tmp_path, mark)
    wait_for_line(process, "crowd of 32 users")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=90)
    assert process.returncode == 130, said
    assert "Interrupted: no more requests are sent" in said
    assert "not measured to its end: crowd/broken-async/32" in shown
    run = next(tmp_path.iterdir())
    assert (
        json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == Status.INTERRUPTED
    )
    assert (run / "report" / "index.html").exists()
    rows = pd.read_parquet(run / "samples.parquet")
    last = rows[rows.cell == "crowd/broken-async/32"]
    assert not last.censored.any()
    assert gone_within(mark) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_seen_at_the_next_sample(number: signal.Signals) -> None:
    """Even one inside a destructor, where an exception would be lost; old handlers come back."""

    class Last:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with handle_stop_signals() as interruption:
        interruption.raise_if_requested()
        Last()
        with pytest.raises(AtonceError, match="no more requests are sent"):
            interruption.raise_if_requested()
    assert signal.getsignal(number) is before


def test_nothing_survives_a_killed_driver(tmp_path: Path) -> None:
    """Kill -9: app, upstream and Locust go with it, and the folder is still a readable run."""
    mark = new_mark()
    process = start_measuring(tmp_path, mark)
    wait_for_line(process, "crowd of 32 users")
    time.sleep(1.5)
    assert len(alive(mark)) >= 3
    process.kill()
    process.communicate()
    assert gone_within(mark) == []
    run = next(tmp_path.iterdir())
    report = build_report(run)
    # reading takes nothing away
    assert build_report(run).run_metrics.cell_counts == report.run_metrics.cell_counts
    assert report.run_metrics.run.status == Status.RUNNING
    assert "crowd/broken-async/1" in {tally.cell for tally in report.run_metrics.cell_counts}


def test_a_locust_that_someone_ends_is_said(tmp_path: Path) -> None:
    """A plan cut short by SIGTERM is no complete run; exit code 3, nothing left.

    For kill -9 see test_crash.py.
    """
    mark = new_mark()
    process = start_measuring(tmp_path, mark)
    wait_for_line(process, "crowd of 1 user")
    pid = next(
        int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_locust(folder, mark)
    )
    os.kill(pid, signal.SIGTERM)
    _, said = process.communicate(timeout=90)
    assert (process.returncode, "Another process stopped Locust" in said) == (3, True), said
    run = next(tmp_path.iterdir())
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == Status.FAILED
    assert gone_within(mark) == []


def is_locust(folder: Path, mark: str) -> bool:
    """Whether a process is the marked Locust."""
    try:
        return (
            mark.encode() in (folder / "environ").read_bytes()
            and b"-m\0locust" in (folder / "cmdline").read_bytes()
        )
    except OSError:
        return False


def test_a_dropped_connection_is_one_request_and_one_error() -> None:
    """The client must not ask again behind our back: one row is one request."""
    code = """
from gevent import monkey
monkey.patch_all()  # as Locust does
import socket, threading
from geventhttpclient.response import HTTPConnectionClosed
from scenarios.generator.client import Client
asked = []
listener = socket.create_server(("127.0.0.1", 0))
def drop():
    while True:
        peer, _ = listener.accept()
        asked.append(peer.recv(1000))
        peer.close()
import gevent
gevent.spawn(drop)
client = Client(None, f"http://127.0.0.1:{listener.getsockname()[1]}", None, {})
connection = client.new_connection()
client.connect(connection)
try:
    connection.get("/")
except (OSError, HTTPConnectionClosed) as error:
    print(len(asked), type(error).__name__)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.stdout.split() == ["1", "HTTPConnectionClosed"], shown.stderr


def test_workers_go_with_their_supervisor() -> None:
    """`serve --workers 2`, killed without a word: no worker and no upstream stays."""
    mark, port = new_mark(), free_port()
    command = [
        sys.executable,
        str(ROOT / "atonce.py"),
        "serve",
        "--port",
        str(port),
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, MARK: mark}, stderr=subprocess.DEVNULL
    )
    deadline = time.perf_counter() + 60
    while len(alive(mark)) < 5:  # supervisor, two workers, two upstreams
        assert time.perf_counter() < deadline
        time.sleep(0.1)
    time.sleep(1.5)
    process.kill()
    process.wait()
    assert gone_within(mark) == []


def test_a_taken_port_is_a_sentence() -> None:
    """Another server listens there: exit code 4, and which command to type instead."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, str(ROOT / "atonce.py"), "serve", "--port", str(port)]
        shown = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    assert shown.returncode == 4
    assert f"Cannot use port {port}" in shown.stderr
    assert "atonce serve --port" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_serve_answers_the_lesson_and_leaves_nothing() -> None:
    """Every route of the lesson with its default, the 422s, gather in one delay, a clean end."""
    mark, port = new_mark(), free_port()
    command = [
        sys.executable,
        str(ROOT / "atonce.py"),
        "serve",
        "--port",
        str(port),
        "--threads",
        "7",
    ]
    env = {**os.environ, MARK: mark}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            wait_for_server(f"http://127.0.0.1:{port}")
            answers = {
                path: client.get(path)
                for path in (
                    "/sleep",
                    "/slow-sync",
                    "/safe-sync",
                    "/fetch",
                    "/concurrent",
                    "/remote-data",
                )
            }
            assert {200} == {answer.status_code for answer in answers.values()}
            assert answers["/sleep"].json() == {"slept": 0.5}
            assert {"slept": 1.0} == answers["/slow-sync"].json() == answers["/safe-sync"].json()
            assert answers["/fetch"].json() == {"origin": "127.0.0.1", "status": 200}
            assert 1.0 <= answers["/concurrent"].elapsed.total_seconds() < 2.0
            assert "slides" in answers["/remote-data"].json()
            for wrong in ("0", "-1", "5.1", "nan", "inf", "soon"):
                refused = client.get("/async", params={"seconds": wrong})
                assert refused.status_code == 422
                assert "Input should be" in refused.json()["detail"][0]["msg"]
            bodies = {client.get(f"/{variant}?seconds=0.05").text for variant in Variant}
            assert {'{"waited":0.05}'} == bodies
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}/broken-async" in said
    assert gone_within(mark) == []
