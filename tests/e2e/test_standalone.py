"""Plain Locust: headless, with its page, with its processes; rows match the target's count."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest

from reports.report import build_report
from results.schema import Phase, Status
from results.store import read_run
from tests.support.processes import (
    MARK,
    ROOT,
    free_port,
    gone_within,
    new_mark,
    pids,
    served,
    wait_for_server,
)

pytestmark = pytest.mark.slow
FROZEN = "--atonce-route /broken-async?seconds=0.1"
# Locust begins to count before it has read its files, which takes a busy machine seconds.
TIME = ("-t", "5s", "--headless")


def locust(scenario: str, url: str, folder: Path, mark: str, *words: str) -> subprocess.Popen[str]:
    """Locust as a person starts it, from a folder that is not the clone."""
    files = ",".join(str(ROOT / "scenarios" / f"{name}.py") for name in scenario.split(","))
    command = [sys.executable, "-m", "locust", "-f", files, "--host", url, "--only-summary", *words]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**env, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def several(processes: int) -> list[str]:
    """The words for so many worker processes, on a port of their own; none for a local runner."""
    port = str(free_port())
    return (
        ["--processes", str(processes), "--master-bind-port", port, "--master-port", port]
        if processes
        else []
    )


def counted(url: str) -> int:
    """How many requests the target has had."""
    return int(httpx.get(f"{url}/counted", timeout=30).json())


def wait_for_requests(url: str, count: int) -> None:
    """Wait until the target has had so many: then the load is under way."""
    deadline = time.perf_counter() + 60
    while counted(url) < count:
        assert time.perf_counter() < deadline
        time.sleep(0.1)


def rows_of(folder: Path, said: str) -> tuple[Path, pd.DataFrame]:
    """The only run of a folder, sealed, with its rows."""
    runs = list((folder / "atonce-results").iterdir())
    assert len(runs) == 1, said
    assert read_run(runs[0]).status == Status.COMPLETE, said
    return runs[0], pd.read_parquet(runs[0] / "samples.parquet")


@pytest.mark.parametrize(
    ("scenario", "words", "processes"),
    [
        ("crowd", f"-u 12 {FROZEN}", 2),
        ("burst", f"-u 12 {FROZEN}", 0),
        ("neighbours", "-u 1", 0),
        ("crowd,neighbours", f"-u 6 {FROZEN}", 2),
    ],
)
def test_every_row_that_was_sent_was_counted_at_the_target(
    tmp_path: Path, scenario: str, words: str, processes: int
) -> None:
    """Stopped by -t in a frozen route: nothing is lost or asked twice, and the report reads it."""
    mark = new_mark()
    with served("tests.support.faulty_apps:counting_app", mark) as (url, server):
        process = locust(scenario, url, tmp_path, mark, *words.split(), *TIME, *several(processes))
        said, _ = process.communicate(timeout=90)
        run, rows = rows_of(tmp_path, said)
        assert counted(url) == rows.sent.notna().sum() > 10, said
        server.kill()
    assert not rows.censored.any()
    assert rows.error.isna().all(), said
    assert rows.worker.nunique() == max(1, processes)
    assert not rows.duplicated(["worker", "seq"]).any()
    table = next(line for line in said.splitlines() if "Aggregated" in line)
    assert int(table.split()[1]) == len(rows)
    assert int(table.split("|")[1].split()[0]) == pytest.approx(
        (rows.done - rows.intended).mean() * 1000, abs=2
    )
    assert build_report(run).run_metrics.run.command == "locust"
    assert gone_within(mark) == []


def test_what_the_cap_refuses_is_a_row_and_each_fresh_connection_is_one(tmp_path: Path) -> None:
    """At most three in flight on a frozen route: planned = sent + never sent.

    The target counts the sent ones.
    """
    mark = new_mark()
    words = f"{FROZEN} --atonce-rate 60/s --atonce-cap 3 --atonce-connections fresh".split()
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        said, _ = locust("steady", url, tmp_path, mark, *words, *TIME).communicate(timeout=90)
        _, rows = rows_of(tmp_path, said)
        sent = rows[rows.sent.notna()]
        assert counted(url) == len(sent)
    refused = rows[rows.sent.isna()]
    assert set(refused.error) == {"the in-flight cap of 3 was reached"}
    assert len(refused) > 10
    assert sent.connection.is_unique
    assert (
        (sent.sent.to_numpy()[:, None] >= sent.sent.to_numpy())
        & (sent.sent.to_numpy()[:, None] < sent.done.to_numpy())
    ).sum(1).max() <= 3


@pytest.mark.parametrize("processes", [0, 2])
def test_with_locusts_page_each_test_is_a_run(tmp_path: Path, processes: int) -> None:
    """A typo is a sentence and no run; then two tests, each sealed at its stop, counted alone."""
    mark, port = new_mark(), free_port()
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        process = locust(
            "crowd",
            url,
            tmp_path,
            mark,
            *FROZEN.split(),
            "--web-port",
            str(port),
            *several(processes),
        )
        page = f"http://127.0.0.1:{port}"
        wait_for_server(page)
        deadline = time.perf_counter() + 60
        while (
            len(httpx.get(f"{page}/stats/requests", timeout=30).json().get("workers", []))
            < processes
        ):
            assert time.perf_counter() < deadline
            time.sleep(0.2)

        def start(users: int, route: str) -> None:
            form = {"user_count": users, "spawn_rate": users, "host": url, "atonce_route": route}
            assert httpx.post(f"{page}/swarm", data=form, timeout=30).json()["success"]

        start(2, "nonsense")
        time.sleep(1.0)
        httpx.post(f"{page}/stop", timeout=30)
        for number, users in enumerate((4, 8), start=1):
            before = counted(url)
            start(users, "/broken-async?seconds=0.1")
            wait_for_requests(url, before + 3 * users)
            httpx.post(f"{page}/stop", timeout=30)
            runs = sorted((tmp_path / "atonce-results").iterdir())
            assert len(runs) == number
            assert all(read_run(run).status == Status.COMPLETE for run in runs)
        asked = counted(url)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert "invalid route 'nonsense'" in said
    assert "Traceback" not in said
    tables = [pd.read_parquet(run / "samples.parquet") for run in runs]
    assert sum(len(rows) for rows in tables) == asked, said
    assert [rows.groupby(["worker", "connection"]).ngroups for rows in tables] == [4, 8]
    assert {"crowd/GET /broken-async?seconds=0.1/4"} == set(tables[0].cell)
    assert gone_within(mark) == []


@pytest.mark.parametrize(
    ("number", "scenario", "processes"),
    [(signal.SIGINT, "crowd", 2), (signal.SIGTERM, "crowd", 2), (signal.SIGTERM, "steady", 0)],
)
def test_a_signal_drains_before_it_ends(
    tmp_path: Path, number: signal.Signals, scenario: str, processes: int
) -> None:
    """In a frozen route without a time limit: requests in flight are awaited, facts are JSON."""
    mark = new_mark()
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        words = ["-u", "10", *FROZEN.split(), "--atonce-rate", "7/s", "--headless"]
        process = locust(scenario, url, tmp_path, mark, *words, *several(processes))
        wait_for_requests(url, 12)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        run, rows = rows_of(tmp_path, said)
        assert counted(url) == rows.sent.notna().sum() > 10
    assert not rows.censored.any()
    json.loads(
        (run / "run.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
    )  # no Infinity, no NaN
    assert gone_within(mark) == []


@pytest.mark.parametrize(("times", "status"), [(1, Status.INTERRUPTED), (2, Status.RUNNING)])
def test_a_signal_before_the_time_limit_cuts_a_run_short_and_two_leave_at_once(
    tmp_path: Path, times: int, status: Status
) -> None:
    """130 each; two signals, sent during a drain, seal nothing, and the rows can be read."""
    mark, route = new_mark(), ["--atonce-route", "/broken-async?seconds=0.3"]
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        process = locust(
            "crowd", url, tmp_path, mark, "-u", "10", *route, "--headless", "-t", "60s"
        )
        wait_for_requests(url, 12)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    run = next((tmp_path / "atonce-results").iterdir())
    assert read_run(run).status == status
    assert build_report(run).exit_code() == 3
    assert gone_within(mark) == []


def test_a_lost_worker_is_said(tmp_path: Path) -> None:
    """Of two, kill -9 ends one: the other's rows are sealed, the run says so, exit code 3."""
    mark = new_mark()
    words = [
        "--atonce-route",
        "/async?seconds=0.1",
        "--atonce-rate",
        "40/s",
        "-t",
        "8s",
        "--headless",
        *several(2),
    ]
    with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
        process = locust("steady", url, tmp_path, mark, *words)
        wait_for_requests(url, 20)
        child = max(number for number in pids(mark, "locust") if number != process.pid)
        os.kill(child, signal.SIGKILL)
        said, _ = process.communicate(timeout=90)
    assert process.returncode == 3, said
    assert "Not every Locust worker came to its end" in said
    run = next((tmp_path / "atonce-results").iterdir())
    assert read_run(run).status == Status.FAILED
    assert len(build_report(run).run_metrics.run.troubles) == 1
    assert gone_within(mark) == []


def test_the_schedule_is_the_same_however_many_share_it(tmp_path: Path) -> None:
    """One process or two: the same moments, each asked once; and another variant meets them too."""
    planned = []
    for processes, route in ((0, "/async?seconds=0.01"), (2, "/sync?seconds=0.01")):
        mark, folder = new_mark(), tmp_path / str(processes)
        folder.mkdir()
        words = ["--atonce-route", route, "--atonce-rate", "50/s", *TIME, *several(processes)]
        with served("tests.support.faulty_apps:counting_app", mark) as (url, _):
            said, _ = locust("steady", url, folder, mark, *words).communicate(timeout=90)
            run, rows = rows_of(folder, said)
            assert counted(url) == rows.sent.notna().sum()
        load = pd.read_parquet(run / "load.parquet")
        go = load[load.mark == "go"].t.min()
        planned.append((rows.intended - go).sort_values().round(3).tolist())
        assert (rows.phase == Phase.STEADY).any()
        assert rows.worker.nunique() == max(1, processes)
        assert "open model" in said
    # when the last ones are due, a busy machine may have stopped
    first, second = (moments[:50] for moments in planned)
    assert len(first) == 50
    assert first == pytest.approx(second, abs=0.1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--host http://example.org", "is not this machine"),
        ("--atonce-cap 0", "at least 1"),
        ("--atonce-out /dev/null", "Cannot write results"),
    ],
)
def test_wrong_words_end_locust_with_a_sentence(tmp_path: Path, words: str, says: str) -> None:
    """Nothing is sent; no traceback.

    Routes, rates and durations have the reader that test_command_line.py tests.
    """
    mark = new_mark()
    process = locust(
        "steady", "http://127.0.0.1:9", tmp_path, mark, *words.split(), "--headless", "-t", "3s"
    )
    said, _ = process.communicate(timeout=60)
    assert process.returncode not in {0, None}
    assert says in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
