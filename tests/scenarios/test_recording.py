"""What a run in progress tells the judgement: its own session's spools, level by level."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.run_info import RouteRecord
from scenarios.doctor.levels import idle_neighbours_cell
from tests.support.evidence_factory import PINGS, ROUTE, bedside
from tests.support.recordings import mark, recording, write

PHASE_AND_ROUTE = ("steady", ROUTE, ROUTE, 0)


def sample(t: float, **state: float) -> dict[str, Any]:
    """A sample of a process."""
    return {"kind": "sample", "t": t, **state}


def test_it_reads_the_spools_of_its_own_session(tmp_path: Path) -> None:
    """Rate, mean, pings and CPU of one window; another session's lines are not read."""
    cell = replace(bedside(0.1).few_users_cell(), on="app-1")
    lines: list[list[Any]] = []
    for i in range(30):
        sent = 10.05 + i / 20
        error = "status 500" if i == 7 else None
        lines += [
            ["sent", i, cell.name, *PHASE_AND_ROUTE, sent, sent],
            ["done", i, sent + 0.1, 200, error, 2, *[None] * 5],
        ]
    for i in range(90, 100):
        ping = ("steady", "GET /_atonce/async", ROUTE, 0, 11.0, 11.0)
        lines += [["sent", i, cell.neighbour_cell_name, *ping], ["given-up", i, 11.5]]
    for worker in ("route-01-1", "route-011-1", "route-02-1"):
        write(tmp_path / "samples" / f"{worker}.jsonl", lines)
    write(tmp_path / "load" / "route-01-1.jsonl", mark(cell, open=10.0, close=12.0))
    for name, spent in (("app-1-11", 0.5), ("app-1-watch-12", 99.0), ("app-11-13", 99.0)):
        looks = [sample(10.1, loop_lag=0.0), sample(11.1, loop_lag=0.3)]
        system = [sample(10.1, cpu=1.0, loop_cpu=0.5), sample(11.1, cpu=1.0 + spent, loop_cpu=0.9)]
        write(tmp_path / "probe" / f"{name}.jsonl", looks)
        write(tmp_path / "probe" / f"{name}.system.jsonl", system)
    evidence = recording(tmp_path, cell).observe(RouteRecord(route=ROUTE))
    few = evidence.levels[8]
    assert (few.rate, len(few.latencies), few.sent) == (14.5, 29, 30)
    assert evidence.faults == {8: (1, 30, "status 500")}
    assert few.mean == pytest.approx(0.1)
    assert few.neighbours["async"].loaded == pytest.approx(0.5)
    assert few.neighbours["def"].loaded is None
    stats = few.server_stats
    assert [stats.cpu, stats.loop_cpu] == pytest.approx([0.5, 0.4])
    assert stats.longest_lag == 0.3


def test_what_has_no_window_is_no_level(tmp_path: Path) -> None:
    """It was asked, and never began: or it had one that was cut to almost nothing."""
    few, many = bedside(0.1).few_users_cell(), bedside(0.1).many_users_cell(None)
    write(tmp_path / "load" / "route-01-1.jsonl", mark(few, open=10.0, close=10.2))
    evidence = recording(tmp_path, few, many).observe(RouteRecord(route=ROUTE))
    assert evidence.levels == {}


def test_the_idle_app_has_its_neighbours(tmp_path: Path) -> None:
    """The cell there holds only pings; too few of them say nothing."""
    idle, few = idle_neighbours_cell(PINGS, 40.0), bedside(0.1).few_users_cell()
    lines: list[list[Any]] = []
    for i in range(10):
        kind = "async" if i < 8 else "def"
        sent = ["sent", i, idle.name, "steady", f"GET /_atonce/{kind}", "idle", 0, 2.0, 2.0]
        lines += [sent, ["done", i, 2.25, 200, None, 2, *[None] * 5]]
    write(tmp_path / "samples" / "idle-1.jsonl", lines)
    write(tmp_path / "load" / "idle-1.jsonl", mark(idle, open=1.0, close=5.0))
    write(tmp_path / "load" / "route-01-1.jsonl", mark(few, open=10.0, close=12.0))
    evidence = recording(tmp_path, idle, few).observe(RouteRecord(route=ROUTE))
    neighbours = evidence.levels[8].neighbours
    assert (neighbours["async"].idle, neighbours["async"].loaded) == (0.25, None)
    assert neighbours["def"].idle is None
