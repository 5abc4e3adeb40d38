"""The test bed: what the app is given, and that it is left in peace until it is idle."""

import os
import time
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from scenarios.doctor import controls
from scenarios.doctor import testbed as testbed_module
from scenarios.doctor.controls import cpu_seconds
from scenarios.doctor.testbed import AppTestBed
from scenarios.system import machine


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
    monkeypatch.setattr(controls, "cpu_seconds", lambda _: min(now, busy_seconds))
    monkeypatch.setattr(controls, "descendant_processes", lambda _: [])
    testbed = AppTestBed.__new__(AppTestBed)
    testbed.options = cast("Any", SimpleNamespace(budget=budget))
    testbed.stop_request = cast("Any", SimpleNamespace(raise_if_requested=lambda: None))
    testbed.can_become_idle, testbed.started_at = True, 0.0
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
