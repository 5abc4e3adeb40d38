"""`atonce run` on a real server: levels, repeats, a knee, and a host that says what it serves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import MARK, ROOT, gone_within, new_mark, served

pytestmark = pytest.mark.slow


def run(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary and stderr of `atonce run` against the bundled app; nothing may stay behind."""
    mark = new_mark()
    with served("targets.app:app", mark) as (url, _):
        command = [sys.executable, str(ROOT / "atonce.py"), "run", *words, "--host", url, "--out", str(folder), "--json"]
        shown = subprocess.run(command, env={**os.environ, MARK: mark}, capture_output=True, text=True, timeout=120, check=False)
    assert gone_within(mark, 3.0) == []
    return shown.returncode, json.loads(shown.stdout), shown.stderr


def test_levels_and_repeats_of_several_routes(tmp_path: Path) -> None:
    """Each measured by itself; a route that awaits serves all who ask."""
    words = ["crowd", "-u", "1,6", "--repeat", "2", "-t", "2s", "--route", "/async?seconds=0.05", "--route", "/noop/def"]
    code, data, said = run(tmp_path, *words)
    assert code == 0, said
    assert (data["command"], data["trust"]["verdict"], data["claims"]) == ("run", "trusted", [])
    first, second = data["routes"]
    assert (first["route"], second["route"]) == ("GET /async?seconds=0.05", "GET /noop/def")
    assert [level["users"] for level in first["levels"]] == [1, 1, 6, 6]
    assert 4.5 < first["served_at_once"] < 6.5


def test_a_knee_measures_the_capacity_first(tmp_path: Path) -> None:
    """One at a time on a frozen route: seven rates follow from the crowd's throughput, the last is overloaded."""
    code, data, said = run(tmp_path, "knee", "-u", "6", "-t", "2s", "--route", "/broken-async?seconds=0.05")
    assert code in {0, 3}, said  # two seconds are short: a busy machine may make it suspect, or worse
    route = data["routes"][0]
    assert 15 < route["levels"][-1]["rps"] < 21
    assert [one["share"] for one in route["offered"]] == [0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.2]
    assert route["offered"][4]["rate_rps"] == pytest.approx(0.8 * route["levels"][-1]["rps"], rel=0.02)
    assert next(tmp_path.glob("*/report/charts/knee.svg")).exists()


def test_what_the_drain_does_not_bring_is_a_bound(tmp_path: Path) -> None:
    """Twelve a second on a route that serves five: given up after a second, counted, and printed as "at least"."""
    words = ["--rate", "12/s", "-t", "4s", "--drain", "1s", "--route", "/broken-async?seconds=0.2"]
    code, data, said = run(tmp_path, "steady", *words)
    assert code == 0, said
    (one,) = data["routes"][0]["offered"]
    assert one["planned"] == one["sent"]
    assert one["unfinished"] > 5
    assert one["overloaded"]
    assert one["max_s"] is None
    assert one["max_at_least_s"] > 1.0


def test_a_route_that_is_not_named_is_offered_and_one_that_fails_is_not_loaded(tmp_path: Path) -> None:
    """A sentence each, before any load."""
    code, data, _ = run(tmp_path, "crowd")
    assert (code, "It describes GET /async, GET /sync" in data["error"]) == (2, True)
    code, data, _ = run(tmp_path, "crowd", "--route", "/nowhere")
    assert (code, "status 404; nothing was loaded" in data["error"]) == (4, True)
