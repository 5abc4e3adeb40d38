"""An app at rest: its neighbours are asked as under load, and only then is its loop watched."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.run_info import RunInfo
from results.schema import Neighbour
from scenarios.doctor import examine, testbed
from scenarios.doctor.app import watch_file
from scenarios.doctor.examine import Examination


class MadeUp:
    """A test bed with made-up app and Locust: only what happens in which order is kept."""

    secret, origin, unwatched_reason = "s", 100.0, ""
    watch_idle_app = testbed.AppTestBed.watch_idle_app

    def __init__(self, folder: Path, how: str) -> None:
        self.options = SimpleNamespace(app=SimpleNamespace(launch_mode=how))
        self.app, self.listener = self.options.app, None
        self.run = SimpleNamespace(
            path=folder, info=RunInfo(origin=self.origin), write_info=lambda: None
        )
        self.stop_request = SimpleNamespace(raise_if_requested=lambda: None)
        self.watch = watch_file(folder, "idle")
        self.watch.parent.mkdir()
        self.happened: list[tuple[str, bool]] = []

    def report_step(self, what: str) -> None:
        """Not kept."""

    def fits_budget(self, _: float) -> bool:
        """There is time for all."""
        return True

    @contextlib.contextmanager
    def app_running(self, session: str, *, with_watchdog: bool) -> Iterator[tuple[None, str]]:
        """The app, and whether its watch is on as it starts and ends."""
        assert (session, with_watchdog) == ("idle", True)
        self.happened.append(("started", self.watch.exists()))
        yield None, "http://127.0.0.1:1"
        self.happened.append(("ended", self.watch.exists()))

    @contextlib.contextmanager
    def open_client(self, _: str) -> Iterator[None]:
        """No request is sent."""
        yield None

    locust_running = open_client

    def run_levels(self, *_: Any) -> None:
        """The neighbours are asked."""
        self.happened.append(("asked", self.watch.exists()))


@pytest.mark.parametrize("how", ["module", "url"])
def test_the_loop_is_watched_when_the_neighbours_have_been_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The watch changes how threads take turns; the levels under load are measured without it."""
    made: Any = MadeUp(tmp_path, how)
    beside = (Neighbour(kind="async", route="/a", path="/a", expects="", rate=1.0, connections=1),)
    monkeypatch.setattr(examine, "read_routes", lambda *_: [])
    monkeypatch.setattr(examine, "find_neighbours", lambda *_: (beside, 0.0))
    monkeypatch.setattr(examine, "count_workers", lambda _: 1)
    monkeypatch.setattr(examine, "session_interference", lambda *_: None)
    monkeypatch.setattr(examine, "read_interim_stats", lambda *_: None)
    clock = SimpleNamespace(now=103.0)
    passing = SimpleNamespace(
        perf_counter=lambda: clock.now, sleep=lambda spent: setattr(clock, "now", clock.now + spent)
    )
    monkeypatch.setattr(testbed, "time", passing)
    Examination(made).measure_idle()
    ours = how == "module"
    assert made.happened == [("started", False), ("asked", False), ("ended", ours)]
    assert made.run.info.idle_span == (
        (3.0 + testbed.WATCHDOG_DELAY, 3.0 + testbed.WATCHDOG_DELAY + testbed.IDLE_WATCH_SECONDS)
        if ours
        else None
    )
    assert testbed.WATCHDOG_DELAY + testbed.IDLE_WATCH_SECONDS < 3.0


def test_where_the_watchdog_cannot_sample_no_time_is_spent_on_it(tmp_path: Path) -> None:
    """Its reason is kept for the verdicts, and noted in the run."""
    made: Any = MadeUp(tmp_path, "module")
    (tmp_path / "guest" / "unwatched-idle.json").write_text('{"why": "no GIL"}')
    made.watch_idle_app()
    assert (made.unwatched_reason, made.run.info.idle_span) == ("no GIL", None)
    assert "no GIL" in made.run.info.plan.notes[0]
