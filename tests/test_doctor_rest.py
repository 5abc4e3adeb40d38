"""An app at rest: its neighbours are asked as under load, and only then is its loop watched."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.schema import Neighbour
from scenarios._doctor import drive
from scenarios._doctor.drive import Examination
from scenarios._doctor.surroundings import waits_for


class Ward:
    """One whose app and whose Locust are made up: only what happens in which order is kept."""

    secret, origin = "s", 100.0

    def __init__(self, folder: Path, how: str) -> None:
        self.order = SimpleNamespace(patient=SimpleNamespace(how=how))
        self.patient, self.audience = self.order.patient, None
        self.run = SimpleNamespace(path=folder, facts={"plan": {"notes": []}, "origin": self.origin}, write=lambda: None)
        self.interruption = SimpleNamespace(check=lambda: None)
        self.wait = waits_for(folder)
        self.wait.parent.mkdir()
        if how == "module":
            self.wait.touch()
        self.happened: list[tuple[str, bool]] = []

    def tell(self, what: str) -> None:
        """Not kept."""

    def fits(self, _: float) -> bool:
        """There is time for all."""
        return True

    @contextlib.contextmanager
    def seated(self, act: str, *, watched: bool) -> Iterator[tuple[None, str]]:
        """The app, and whether its watch has to wait as it starts and ends."""
        assert (act, watched) == ("idle", True)
        self.happened.append(("started", self.wait.exists()))
        yield None, "http://127.0.0.1:1"
        self.happened.append(("ended", self.wait.exists()))

    @contextlib.contextmanager
    def client(self, _: str) -> Iterator[None]:
        """Nobody asks."""
        yield None

    locust = client

    def script(self, *_: Any) -> None:
        """Nothing to do."""

    def follow(self, *_: Any) -> None:
        """The neighbours are asked."""
        self.happened.append(("asked", self.wait.exists()))


@pytest.mark.parametrize("how", ["module", "url"])
def test_the_loop_is_watched_when_the_neighbours_have_been_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The watch changes how threads take turns; the levels under load are measured without it."""
    ward: Any = Ward(tmp_path, how)
    beside = (Neighbour(kind="async", route="/a", path="/a", expects="", rate=1.0, connections=1),)
    monkeypatch.setattr(Examination, "routes", lambda *_: [])
    monkeypatch.setattr(drive, "neighbours", lambda *_: (beside, 0.0))
    monkeypatch.setattr(drive, "workers_of", lambda _: 1)
    monkeypatch.setattr(drive, "disturbed", lambda *_: None)
    monkeypatch.setattr(drive, "look", lambda *_: None)
    clock = SimpleNamespace(now=103.0)
    passing = SimpleNamespace(perf_counter=lambda: clock.now, sleep=lambda spent: setattr(clock, "now", clock.now + spent))
    monkeypatch.setattr(drive, "time", passing)
    Examination(ward).at_rest()
    ours = how == "module"
    assert ward.happened == [("started", ours), ("asked", ours), ("ended", False)]
    assert ward.run.facts.get("rest") == ([3.0 + drive.BEGINS, 3.0 + drive.BEGINS + drive.RESTS] if ours else None)
    assert drive.BEGINS + drive.RESTS < 3.0
