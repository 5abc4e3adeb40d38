"""Our Locust process: it follows our options only, and it never holds up a run for ever."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.errors import AtonceError, ExitCode
from results.schema import Cell, Scenario
from results.store import RunWriter
from scenarios.doctor.testbed import AppTestBed
from scenarios.generator.job import Job
from scenarios.runner import locust_process
from scenarios.runner.locust_process import LocustProcess
from scenarios.runner.run_plan import NoProgress, locust_command, locust_env
from scenarios.runner.supervise import run_job, supervise_locust
from scenarios.system.child_process import supervised_process
from scenarios.system.interrupt import StopRequest
from scenarios.system.private_log import RunLog
from tests.support.processes import ROOT

APP = """
from fastapi import FastAPI
app = FastAPI()
@app.get("/x")
async def x():
    return 1
"""
PARSED = """
import json, sys
from locust import argument_parser as it
parser = it.get_parser()
parser.add_argument("--atonce-plan")
options = parser.parse_args(sys.argv[1:])
print(json.dumps([options.processes, options.num_users, options.stop_timeout]))
"""
QUIET = "import time; time.sleep(600)"
LEFT = (
    "import subprocess, sys; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
    "start_new_session=True)"
)


def test_no_setting_of_a_person_reaches_our_locust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from a file in their home or folder, nor from a variable."""
    run, home = tmp_path / "run", tmp_path / "home"
    run.mkdir()
    home.mkdir()
    (home / ".locust.conf").write_text("processes = 2\n", encoding="utf-8")
    (home / "locust.conf").write_text("processes = 3\n", encoding="utf-8")
    (home / "pyproject.toml").write_text("[tool.locust]\nprocesses = 4\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOCUST_STOP_TIMEOUT", "77")
    monkeypatch.chdir(home)
    command = [sys.executable, "-c", PARSED, *locust_command(7, 60, "http://127.0.0.1:1")[3:]]
    with supervised_process(
        command,
        folder=run,
        env=locust_env(run),
        core=None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        said, _ = process.communicate(timeout=60)
    assert json.loads(said.splitlines()[-1]) == [None, 7, 0]


def script(folder: Path) -> Job:
    """A job whose only cell takes no time."""
    cell = Cell(
        name="crowd/x/1",
        scenario=Scenario.CROWD,
        variant="x",
        route="GET /x",
        path="/x",
        expects="",
        users=1,
        warm_up=0.0,
        window=0.0,
        drain=0.0,
    )
    return Job(folder, "x", 1, (cell,))


@pytest.mark.parametrize(
    ("code", "silence", "words"),
    [(QUIET, 0.1, "was silent for"), (LEFT, 60.0, "Another process stopped Locust")],
)
def test_a_locust_that_does_not_go_on_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, silence: float, words: str
) -> None:
    """A process that hangs silently, or that ends while its child keeps the pipe open."""
    monkeypatch.setattr(locust_process, "SILENCE_LIMIT", silence)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    log = RunLog.from_here(tmp_path / "log.txt")
    with (
        supervised_process(
            [sys.executable, "-c", code], folder=tmp_path, env=os.environ, core=None, **pipes
        ) as locust,
        pytest.raises(AtonceError) as trouble,
    ):
        supervise_locust(
            None, locust, iter([script(tmp_path)]), lambda _cell, _seconds: None, log, lambda: None
        )
    assert trouble.value.code is ExitCode.UNTRUSTED
    assert words in trouble.value.sentence


ECHO = """
import json, sys
for line in iter(sys.stdin.readline, ""):
    worker = json.loads(line)["worker"]
    print("@atonce", json.dumps(["connect", worker]), flush=True)
    print("@atonce", json.dumps(["rest", ""]), flush=True)
"""


def test_one_locust_does_job_after_job_and_ends_when_there_are_no_more(tmp_path: Path) -> None:
    """It rests in between for as long as it takes to decide what is next."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    log, steps = RunLog.from_here(tmp_path / "log.txt"), list[str]()
    with supervised_process(
        [sys.executable, "-c", ECHO], folder=tmp_path, env=os.environ, core=None, **pipes
    ) as process:
        locust = LocustProcess(process)
        for worker in ("route-01-1", "route-01-2"):
            job = replace(script(tmp_path), worker=worker)
            run_job(None, locust, job, lambda cell, _: steps.append(cell), log, lambda: None)
            assert (steps[-1], process.poll()) == (worker, None)
        run_job(None, locust, None, lambda *_: None, log, lambda: None)
        assert process.poll() == 0


def test_a_crowd_that_waits_for_whole_rounds_may_be_silent_for_as_long() -> None:
    """A window lasts until a round of all users has ended: up to three times its planned length."""
    scripted = script(Path())
    slow = replace(scripted.cells[0], warm_up=2.0, window=58.0, longest=180.0, drain=10.0)
    process: Any = SimpleNamespace(job=replace(scripted, cells=(slow,)))
    assert locust_process.LocustProcess.longest_cell_time(process, "whole") == 190.0
    assert locust_process.LocustProcess.longest_cell_time(process, "drain") == 10.0


def test_what_hangs_elsewhere_ends_when_the_budget_is_long_over() -> None:
    """For a minute after its end the drain may still go on."""
    order: Any = SimpleNamespace(app=None, budget=30.0)
    testbed = AppTestBed(order, RunWriter(Path("run"), "doctor"), StopRequest(), NoProgress())
    testbed.started_at = time.perf_counter() - order.budget - 60
    testbed.raise_if_stopped()
    testbed.started_at -= 61
    with pytest.raises(AtonceError, match=r"The budget of 30 s is over by 120 s") as trouble:
        testbed.raise_if_stopped()
    assert trouble.value.code is ExitCode.UNTRUSTED


@pytest.mark.slow
def test_an_examination_ends_whatever_a_person_has_set_for_locust(tmp_path: Path) -> None:
    """With two processes of its own it would never begin."""
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    (tmp_path / ".locust.conf").write_text("processes = 2\n", encoding="utf-8")
    words = ["doctor", "shop:app", "--budget", "60s", "--out", str(tmp_path / "out")]
    command = [sys.executable, str(ROOT / "atonce.py"), *words]
    env = {**os.environ, "HOME": str(tmp_path)}
    shown = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, timeout=120, check=False
    )
    assert b"GET /x" in shown.stdout, shown.stderr.decode()
    assert not list(tmp_path.glob("out/*/.[a-z]*"))  # it has put nothing into what was its home
