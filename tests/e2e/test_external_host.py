"""`atonce run` on a real server: levels, repeats, a knee, and a host that says what it serves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.checks.model import TrustLevel
from reports.report import build_report
from tests.support.processes import MARK, ROOT, gone_within, new_mark, served
from tests.support.trust_tolerances import unsound

pytestmark = pytest.mark.slow


def run(folder: Path, *words: str, loop: str = "asyncio") -> tuple[int, dict[str, Any], str]:
    """`atonce run` against the bundled app: exit code, summary, stderr; nothing stays behind."""
    mark = new_mark()
    with served("targets.app:app", mark, loop=loop) as (url, _):
        command = [
            sys.executable,
            str(ROOT / "atonce.py"),
            "run",
            *words,
            "--host",
            url,
            "--out",
            str(folder),
            "--json",
        ]
        shown = subprocess.run(
            command,
            env={**os.environ, MARK: mark},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert gone_within(mark) == []
    return shown.returncode, json.loads(shown.stdout), shown.stderr


@pytest.mark.alone
def test_levels_and_repeats_of_several_routes(tmp_path: Path) -> None:
    """Each is measured by itself; those with room serve all users.

    A route that does nothing would leave the generator no CPU.
    """
    words = [
        "crowd",
        "-u",
        "1,6",
        "--repeat",
        "2",
        "-t",
        "1s",
        "--route",
        "/async?seconds=0.05",
        "--route",
        "/sync?seconds=0.05",
    ]
    code, data, said = run(tmp_path, *words)
    assert code in {0, 3}, said
    assert (data["command"], unsound(build_report(next(tmp_path.iterdir()))), data["claims"]) == (
        "run",
        set(),
        [],
    )
    first, second = data["routes"]
    assert (first["route"], second["route"]) == (
        "GET /async?seconds=0.05",
        "GET /sync?seconds=0.05",
    )
    assert [level["users"] for level in first["levels"]] == [1, 1, 6, 6]
    assert 3.5 < first["served_at_once"] < 8


@pytest.mark.alone
def test_a_knee_measures_the_capacity_first(tmp_path: Path) -> None:
    """A frozen route: seven rates follow from the crowd's throughput, the last is overloaded."""
    code, data, said = run(
        tmp_path, "knee", "-u", "6", "-t", "1s", "--route", "/broken-async?seconds=0.05"
    )
    assert code in {0, 3}, said  # a second is short: a busy machine may make it suspect, or worse
    route = data["routes"][0]
    assert 8 < route["levels"][-1]["rps"] < 21
    assert [offer["share"] for offer in route["offered"]] == [0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.2]
    assert route["offered"][4]["rate_rps"] == pytest.approx(
        0.8 * route["levels"][-1]["rps"], rel=0.02
    )
    assert next(tmp_path.glob("*/report/charts/knee.svg")).exists()


@pytest.mark.alone
def test_cold_arrivals_open_what_they_need_and_what_the_drain_does_not_bring_is_a_bound(
    tmp_path: Path,
) -> None:
    """A route with room, then one that serves five of twelve: given up after a second.

    Its slowest answer is printed as "at least".

    Of a warmed pool the last of 52 connections is taken first; a cold one begins with its first and
    keeps them alive.
    """
    words = ["--rate", "12/s", "-t", "3s", "--drain", "1s", "--pool", "cold"]
    routes = ["--route", "/async?seconds=0.05", "--route", "/broken-async?seconds=0.2"]
    code, data, said = run(tmp_path, "steady", *words, *routes)
    assert code in {0, 3}, said  # three seconds are short
    (offer,) = data["routes"][1]["offered"]
    # what is due as the window closes may be left out
    assert offer["planned"] - 2 <= offer["sent"] <= offer["planned"]
    assert offer["unfinished"] > 5
    assert offer["overloaded"]
    assert offer["max_s"] is None
    assert offer["max_at_least_s"] > 1.0
    rows = pd.read_parquet(next(tmp_path.iterdir()) / "samples.parquet")
    rows = rows[(rows.cell == "steady/GET /async?seconds=0.05/12") & rows.connection.notna()]
    assert rows.connection.max() < 40
    assert len(rows.drop_duplicates(["connection", "peer"])) == rows.connection.nunique()
    assert len(rows) > rows.connection.nunique()


def test_a_route_that_is_not_named_is_offered_and_one_that_fails_is_not_loaded(
    tmp_path: Path,
) -> None:
    """A sentence each, before any load."""
    code, data, _ = run(tmp_path, "crowd")
    assert (code, "It describes GET /async, GET /sync" in data["error"]) == (2, True)
    code, data, _ = run(tmp_path, "crowd", "--route", "/nowhere")
    assert (code, "status 404; nothing was loaded" in data["error"]) == (4, True)


@pytest.mark.alone
def test_a_cold_crowd_that_is_not_drained_is_untrusted_and_so_is_one_that_hides_it(
    tmp_path: Path,
) -> None:
    """On uvloop some connections get in and the rest starve (docs/method.md, order of service).

    V7 says which are missing; V11 says it when their rows are gone.
    """
    words = [
        "-u",
        "50",
        "-t",
        "10s",
        "--drain",
        "0s",
        "--pool",
        "cold",
        "--route",
        "/broken-async?seconds=0.05",
    ]
    code, data, said = run(tmp_path, "crowd", *words, loop="uvloop")
    assert (code, data["trust"]["verdict"]) == (3, "untrusted"), said
    level = data["routes"][0]["levels"][0]
    assert level["unfinished"] == 50
    assert 0.3 < level["p50_at_least_s"] < level["p50_at_most_s"] < 1.8  # warmed: N D = 2.5 s
    assert (level["p99_s"], level["p99_at_least_s"] > level["p50_at_most_s"]) == (None, True)
    assert data["environment"]["connections"].startswith("cold")
    whole = next(tmp_path.iterdir())
    assert unsound(build_report(whole)) == {"V7"}
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    rows = pd.read_parquet(cut / "samples.parquet")
    rows[~rows.censored].to_parquet(cut / "samples.parquet")
    report = build_report(cut)
    assert report.trust.trust_level is TrustLevel.UNTRUSTED
    assert unsound(report) == {"V11"}


@pytest.mark.alone
def test_a_route_whose_answers_come_in_lumps_is_counted_from_lump_to_lump(tmp_path: Path) -> None:
    """All 20 users are answered once a second, so a window of 0.8 s may hold nothing.

    One `@app.middleware("http")` in the app is enough for that.
    """
    mark = new_mark()
    with served("tests.support.faulty_apps:lumpy_app", mark) as (url, _):
        for scenario, words in (("crowd", ["-u", "1,20", "-t", "1s"]), ("burst", ["-u", "20"])):
            command = [
                sys.executable,
                str(ROOT / "atonce.py"),
                "run",
                scenario,
                *words,
                "--route",
                "/held?seconds=0.05",
            ]
            done = subprocess.run(
                [*command, "--host", url, "--out", str(tmp_path / scenario), "--json"],
                env={**os.environ, MARK: mark},
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert done.returncode in {0, 3}, done.stderr  # two rounds are few for any percentile
    route = build_report(next((tmp_path / "crowd").iterdir())).run_metrics.routes[0]
    assert route.top_level is not None
    assert (route.top_level.users, route.top_level.completed % 20) == (20, 0)
    assert route.top_level.completed >= 40
    # counted by the window, it would be half of one, or none, by the luck of the edges
    assert route.served_at_once == pytest.approx(1.0, rel=0.1)
    (again,) = build_report(next((tmp_path / "burst").iterdir())).run_metrics.routes
    assert again.first_burst is not None
    # the first request may go ahead of the others
    assert again.first_burst.count_answer_steps(route.unloaded_mean) <= 3
