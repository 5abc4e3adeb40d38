"""The test bed: what the app is given, and that it is left in peace until it is idle."""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from results.store import RunWriter
from scenarios.doctor import testbed as testbed_module
from scenarios.doctor.testbed import AppTestBed, OverBudgetError
from scenarios.runner.run_plan import NoProgress
from scenarios.system import machine
from scenarios.system.cpu_witness import cpu_seconds
from scenarios.system.interrupt import StopRequest


def waited(
    monkeypatch: pytest.MonkeyPatch, busy_seconds: float, budget: float
) -> tuple[AppTestBed, float]:
    """A test bed that has waited for an app that computes at first, and how long it waited."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    clock = SimpleNamespace(perf_counter=lambda: now, sleep=sleep)
    monkeypatch.setattr(testbed_module, "time", clock)
    monkeypatch.setattr(testbed_module, "cpu_seconds", lambda _: min(now, busy_seconds))
    monkeypatch.setattr(testbed_module, "descendant_processes", lambda _: [psutil.Process()])
    testbed = AppTestBed.__new__(AppTestBed)
    testbed.options = cast("Any", SimpleNamespace(budget=budget))
    testbed.stop_request = cast("Any", SimpleNamespace(raise_if_requested=lambda: None))
    testbed.can_become_idle, testbed.started_at, testbed.locust = True, 0.0, None
    testbed.wait_until_idle(cast("Any", SimpleNamespace(pid=os.getpid())))
    return testbed, now


def test_an_app_that_warms_up_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its neighbours at rest, or its first route, would pay for it."""
    testbed, seconds = waited(monkeypatch, 0.7, 100.0)
    assert testbed.can_become_idle
    assert 0.7 <= seconds <= 1.5


def test_an_app_that_never_rests_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before each of its routes, and for no more than a part of the budget."""
    testbed, seconds = waited(monkeypatch, 1e9, 5.0)
    assert not testbed.can_become_idle
    assert 0.5 <= seconds <= 1.0


def test_the_cpu_time_of_a_process_is_read_from_the_system() -> None:
    """It cannot be more than the process has used by the next reading."""
    before = cpu_seconds(psutil.Process())
    while time.process_time() < before + 0.1:
        pass
    assert before + 0.08 <= cpu_seconds(psutil.Process()) <= time.process_time() + 0.02


@pytest.mark.parametrize(
    ("mine", "given"), [({0, 1}, {1}), ({0, 1, 2, 3}, {1, 2, 3}), ({0}, None), (None, None)]
)
def test_an_app_has_all_cores_but_one(
    monkeypatch: pytest.MonkeyPatch, mine: set[int] | None, given: set[int] | None
) -> None:
    """Locust has that core; with one core only, or no way to pin, nothing is pinned."""
    if mine is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: mine, raising=False)
    assert given == machine.app_cores()


class Process:
    """A process of the app, at rest or not."""

    def __init__(self, name: str, *, rests: bool = True, code: int | None = None) -> None:
        self.name, self.rests = name, rests
        self.is_alive, self.stops = code is None, list[float]()
        stop = self.stops.append
        self.child: Any = SimpleNamespace(returncode=code, was_killed=False, stop=stop)

    def wait_for_rest(self, *_: Any) -> bool:
        """Whether it comes back to rest."""
        return self.rests


def made_testbed(folder: Path, monkeypatch: pytest.MonkeyPatch, startup: float = 1.0) -> AppTestBed:
    """A test bed whose app starts at once."""
    options: Any = SimpleNamespace(app=SimpleNamespace(), budget=60.0, stop_within=10.0)
    testbed = AppTestBed(options, RunWriter(folder, "doctor"), StopRequest(), NoProgress())
    testbed.startup_seconds = startup

    def start() -> Any:
        testbed.process_count += 1
        process: Any = Process(f"app-{testbed.process_count}")
        testbed.app_process = process
        return testbed.app_process

    monkeypatch.setattr(testbed, "_start_app", start)
    return testbed


def test_one_process_serves_as_long_as_it_comes_back_to_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a fresh one does; one that has ended by itself is told of."""
    testbed = made_testbed(tmp_path, monkeypatch)
    assert [testbed.use_app().name for _ in range(3)] == ["app-1"] * 3
    tired: Any = testbed.app_process
    tired.rests = False
    assert testbed.use_app(at_rest=False) is tired  # between two levels of a route
    assert testbed.use_app().name == "app-2"
    ended: Any = Process("app-2", code=9)
    testbed.app_process = ended
    assert testbed.use_app(at_rest=False).name == "app-3"
    assert testbed.run.info.plan.notes == [
        "The app ended by itself (exit code 9) and was started again."
    ]
    silent: Any = testbed.app_process
    testbed.stop_app(stop_within=0.0)
    assert silent.stops == [0.0]  # without a moment to end by itself
    assert testbed.use_app().name == "app-4"


def test_an_app_that_is_not_ours_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, and then loaded as it is."""
    testbed = made_testbed(tmp_path, monkeypatch)
    foreign: Any = testbed.use_app()
    foreign.child, foreign.rests = None, False
    assert testbed.use_app() is foreign


def test_no_process_is_started_for_which_no_time_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first always is: an error of the app is worth more than the budget."""
    testbed = made_testbed(tmp_path, monkeypatch, startup=70.0)
    tired: Any = testbed.use_app()
    tired.rests = False
    with pytest.raises(OverBudgetError):
        testbed.use_app()
