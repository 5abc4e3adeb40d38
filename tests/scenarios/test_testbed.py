"""The test bed: what the app is given, and that it is left in peace until it is idle."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from scenarios.doctor.controls import cpu_seconds
from scenarios.doctor.testbed import AppTestBed
from scenarios.system import machine

BUSY = "import time\nprint(flush=True)\nwhile {}: pass\ntime.sleep(60)\n"


def waited(program: str, budget: float) -> tuple[AppTestBed, float]:
    """A test bed that has waited for an idle process, and the CPU seconds used by then."""
    testbed = AppTestBed.__new__(AppTestBed)
    testbed.options = cast("Any", SimpleNamespace(budget=budget))
    testbed.stop_request = cast("Any", SimpleNamespace(raise_if_requested=lambda: None))
    testbed.can_become_idle, testbed.started_at = True, time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as app:
        try:
            assert app.stdout
            app.stdout.readline()
            testbed.wait_until_idle(app)
            used = cpu_seconds(psutil.Process(app.pid))
        finally:
            app.kill()
    return testbed, used


def test_an_app_that_warms_up_is_waited_for() -> None:
    """Else its neighbours at rest, or its first route, would pay for it."""
    testbed, used = waited(BUSY.format("time.process_time() < 0.7"), 100.0)
    assert testbed.can_become_idle
    assert used >= 0.65  # the system counts in hundredths


def test_an_app_that_never_rests_is_waited_for_once() -> None:
    """Not before each of its routes, and for no more than a part of the budget."""
    testbed, _ = waited(BUSY.format(True), 5.0)
    assert not testbed.can_become_idle


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
