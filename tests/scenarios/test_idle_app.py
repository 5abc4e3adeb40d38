"""An app at rest: its neighbours are asked as under load, and only then is its loop watched."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.schema import Neighbour
from results.store import RunWriter
from scenarios.doctor import examine
from scenarios.doctor import testbed as testbed_module
from scenarios.doctor.examine import Examination
from scenarios.doctor.testbed import IDLE_WATCH_SECONDS, AppTestBed
from scenarios.runner.run_plan import NoProgress
from scenarios.system.interrupt import StopRequest


def examined_at_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str, failure: str | None
) -> tuple[list[str], AppTestBed]:
    """What happens, in order, to made-up processes of an app and Locust; and the test bed."""
    happened, clock = list[str](), SimpleNamespace(now=0.0)
    options: Any = SimpleNamespace(app=SimpleNamespace(launch_mode=how), budget=60.0)
    testbed = AppTestBed(options, RunWriter(folder, "doctor"), StopRequest(), NoProgress())
    testbed.run.info.origin = 100.0

    @contextlib.contextmanager
    def watched(_: Any) -> Iterator[str | None]:
        happened.append("watched")
        clock.now += 0.5
        yield failure
        happened.append(f"watched for {round(clock.now - 103.5)} s")

    process: Any = SimpleNamespace(client=None, watched=watched)
    monkeypatch.setattr(testbed, "start_locust", lambda: happened.append("Locust started"))
    monkeypatch.setattr(testbed, "use_app", lambda: process)
    monkeypatch.setattr(testbed, "run_level", lambda *_: happened.append("asked"))
    beside = (Neighbour(kind="async", route="/a", path="/a", expects="", rate=1.0, connections=1),)
    monkeypatch.setattr(examine, "read_routes", lambda *_: [])
    monkeypatch.setattr(examine, "find_neighbours", lambda *_: (beside, 0.0))
    monkeypatch.setattr(examine, "count_workers", lambda _: 1)
    clock.now = 103.0
    passing = SimpleNamespace(
        perf_counter=lambda: clock.now, sleep=lambda spent: setattr(clock, "now", clock.now + spent)
    )
    monkeypatch.setattr(testbed_module, "time", passing)
    Examination(testbed).measure_idle()
    return happened, testbed


@pytest.mark.parametrize("how", ["module", "url"])
def test_the_loop_is_watched_when_the_neighbours_have_been_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The watch changes how threads take turns; the neighbours are measured without it."""
    happened, testbed = examined_at_rest(tmp_path, monkeypatch, how, None)
    ours = ["watched", "watched for 2 s"] if how == "module" else []
    assert happened == ["Locust started", "asked", *ours]
    span = (3.5, 3.5 + IDLE_WATCH_SECONDS) if ours else None
    assert testbed.run.info.idle_span == span


def test_where_the_watchdog_cannot_sample_no_time_is_spent_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reason is kept for the verdicts, and noted in the run."""
    happened, testbed = examined_at_rest(tmp_path, monkeypatch, "module", "no GIL")
    assert happened[-1] == "watched for 0 s"
    assert (testbed.unwatched_reason, testbed.run.info.idle_span) == ("no GIL", None)
    assert "no GIL" in testbed.run.info.plan.notes[0]
