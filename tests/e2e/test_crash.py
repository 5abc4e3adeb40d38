"""What was measured survives whatever kills a run, counted and readable.

The killers: kill -9, Ctrl-C, a full disk, a dead target.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reports.metrics.run_data import load_run
from reports.report import build_report
from results.schema import Status
from results.store import read_run
from tests.support.processes import MARK, ROOT, gone_within, new_mark, pids, served

pytestmark = pytest.mark.slow
STEADY = ["steady", "--route", "/async?seconds=0.3", "--rate", "100/s", "-t", "60s"]
FROZEN = ["crowd", "--route", "/broken-async?seconds=0.2", "-u", "10", "-t", "30s"]


def press(
    url: str, folder: Path, mark: str, words: list[str], limit: int | None = None
) -> subprocess.Popen[str]:
    """Start `atonce run` as a user does; with a `limit`, no file may grow beyond these bytes."""
    command = [
        sys.executable,
        str(ROOT / "atonce.py"),
        "run",
        *words,
        "--host",
        url,
        "--out",
        str(folder),
    ]
    return subprocess.Popen(
        command,
        env={**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(  # noqa: PLW1509
            (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
        ),
    )


def wait_until(condition: str, file: Path, seconds: float = 60) -> None:
    """Wait until a file holds a word."""
    deadline = time.perf_counter() + seconds
    while not (file.exists() and condition in file.read_text(encoding="utf-8")):
        assert time.perf_counter() < deadline, f"{file} never held {condition!r}"
        time.sleep(0.05)


def wait_for_answers(folder: Path, count: int) -> None:
    """Wait until so many answers are on the disk: then the load is under way."""
    deadline = time.perf_counter() + 60
    while (
        sum(
            file.read_text(encoding="utf-8").count('["done"')
            for file in folder.glob("*/samples/load.jsonl")
        )
        < count
    ):
        assert time.perf_counter() < deadline
        time.sleep(0.05)


def report(run: Path) -> subprocess.CompletedProcess[str]:
    """`atonce report` as a person types it."""
    command = [sys.executable, str(ROOT / "atonce.py"), "report", str(run)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_after_kill_9_of_everything_a_second_is_lost_at_most(tmp_path: Path) -> None:
    """The moment is random; each arrival noted more than a second before it is a row."""
    mark, arrivals = new_mark(), tmp_path / "arrivals"
    with served(
        "tests.support.faulty_apps:counting_app", mark, ATONCE_TEST_ARRIVALS=str(arrivals)
    ) as (
        url,
        server,
    ):
        process = press(url, tmp_path / "runs", mark, STEADY)
        wait_until("load-5", arrivals)
        time.sleep(random.uniform(1.5, 4.5))  # noqa: S311
        dying = time.perf_counter()
        for pid in pids(mark):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
        server.wait()
    assert gone_within(mark) == []
    run = next((tmp_path / "runs").iterdir())
    rows = load_run(run).samples
    asked = [line.split() for line in arrivals.read_text(encoding="utf-8").splitlines()]
    due = {
        int(name.removeprefix("load-"))
        for moment, *names in asked
        for name in names
        if float(moment) < dying - 1.0
    }
    assert len(due) > 20
    assert due <= set(rows.seq)
    shown = report(run)
    assert shown.returncode == 3, shown.stderr
    assert "still in flight" in " ".join(shown.stdout.split())
    assert "never closed" in shown.stdout
    assert "Traceback" not in shown.stderr
    assert rows.censored.any()


@pytest.mark.parametrize(
    ("victim", "code", "says"),
    [
        ("uvicorn", 4, "The target is gone"),
        ("locust", 3, "Locust ended with exit code -9"),
        ("atonce.py", -9, ""),
    ],
)
def test_whoever_dies_alone_leaves_a_readable_run(
    tmp_path: Path, victim: str, code: int, says: str
) -> None:
    """The target, Locust or the driver dies: a survivor prints a sentence, and no process stays."""
    mark = new_mark()
    words = [*STEADY[:-1], "4s"]
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        process = press(url, tmp_path, mark, words)
        wait_for_answers(tmp_path, 60)
        for pid in pids(mark, victim):
            os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=90)
        assert (process.returncode, says in said) == (code, True), said
        assert "Traceback" not in said
        run = next(tmp_path.iterdir())
        assert report(run).returncode == 3
        assert len(build_report(run).path.name) > 0
        assert load_run(run).samples.error.isna().sum() > 50
    assert gone_within(mark) == []


@pytest.mark.parametrize(("number", "times"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_run_can_be_interrupted_in_a_frozen_route(
    tmp_path: Path, number: signal.Signals, times: int
) -> None:
    """Stop once: arrivals end, open answers are awaited, a report, 130. Twice: stop at once.

    No process stays behind.
    """
    mark = new_mark()
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        process = press(url, tmp_path, mark, FROZEN)
        wait_for_answers(tmp_path, 3)
        process.send_signal(number)
        if times == 2:
            time.sleep(0.3)
            process.send_signal(number)
        shown, said = process.communicate(timeout=90)
    assert process.returncode == 130, said
    assert "stopping; waiting for open requests" in said
    run = next(tmp_path.iterdir())
    if times == 1:
        assert read_run(run).status == Status.INTERRUPTED
        assert "not measured to its end: crowd/GET /broken-async?seconds=0.2/10" in shown
        assert not load_run(run).samples.censored.any()
    else:
        assert load_run(run).samples.censored.any()
        assert report(run).returncode == 3
    assert gone_within(mark) == []


def test_a_full_disk_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    """What fitted is kept and can be reported; exit code 3; no request goes on unrecorded."""
    mark = new_mark()
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        process = press(url, tmp_path, mark, STEADY, limit=100_000)
        _, said = process.communicate(timeout=50)
    assert process.returncode == 3, said
    assert "cannot be written any further" in said
    assert "Traceback" not in said
    run = next(tmp_path.iterdir())
    assert report(run).returncode == 3
    assert len(load_run(run).samples) > 100
    assert gone_within(mark) == []
