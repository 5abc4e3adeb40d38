"""A process of the app: when it is at rest again, and whether its watchdog runs."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from scenarios.doctor import app_process as module
from scenarios.doctor.app_process import AppProcess
from scenarios.system.cpu_witness import CpuWitness

Course = Callable[[float], float]  # of something over time, since the load ended


class SimulatedApp:
    """What a process does, on a clock that passes only while it is looked at."""

    def __init__(self, ping: Course, cores: Course, tasks: Course | None) -> None:
        self.now, self.cpu = -1.0, 0.0
        self.ping, self.cores, self.tasks = ping, cores, tasks
        self.is_idle = True  # until the load ends

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the app compute."""
        self.cpu += 0.0 if self.is_idle else seconds * self.cores(self.now)
        self.now += seconds

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a ping or the count of open work."""
        if request.url.path == "/rest":
            tasks = 5 if self.is_idle or not self.tasks else self.tasks(self.now)
            counts = {"tasks": tasks, "threads": 0, "queued": None}
            return httpx.Response(200, json=counts) if self.tasks else httpx.Response(404)
        latency = 0.001 if self.is_idle else self.ping(self.now)
        self.pass_time(min(latency, 1.0))
        if latency > 1.0:
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(200)

    def process(self, folder: Path, monkeypatch: pytest.MonkeyPatch, child: Any) -> AppProcess:
        """Return the process, measured before its first load; now its load ends."""
        clock = SimpleNamespace(perf_counter=lambda: self.now, sleep=self.pass_time)
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "cpu_seconds", lambda _: self.cpu)
        client = httpx.Client(base_url="http://a", transport=httpx.MockTransport(self.answer))
        witness, given = CpuWitness(folder, "app-1"), [psutil.Process()]
        made = AppProcess(witness, given, client, ("/ping", "/rest"), child)
        self.is_idle, self.now = False, 0.0
        return made


def constant(value: float) -> Course:
    """Return the same at any time."""
    return lambda _: value


def until(end: float, value: float, then: float) -> Course:
    """Return one value until a moment, then another."""
    return lambda now: value if now < end else then


def falling(value: float, per_second: float, then: float) -> Course:
    """Return what falls to a floor."""
    return lambda now: max(then, value - now * per_second)


OURS: Any = SimpleNamespace(poll=lambda: None)
DEAD: Any = SimpleNamespace(poll=lambda: 9)
QUICK, FREE, FIVE = constant(0.001), constant(0.02), constant(5)


@pytest.mark.parametrize(
    ("ping", "cores", "tasks", "child", "startup", "is_rest", "between"),
    [
        (QUICK, FREE, FIVE, OURS, 1, True, (0, 0.5)),
        (constant(0.0025), FREE, FIVE, OURS, 1, True, (0, 0.5)),
        (QUICK, FREE, constant(7), OURS, 1, True, (0, 0.5)),  # connections of ours
        (QUICK, FREE, None, OURS, 1, True, (0, 0.5)),  # an app that does not tell
        (constant(0.02), FREE, FIVE, OURS, 1, False, (1, 1.6)),
        (constant(math.inf), FREE, FIVE, OURS, 1, False, (1, 2.5)),  # its loop is held
        (QUICK, FREE, constant(500), OURS, 20, False, (1, 1.6)),  # tasks that it leaks
        (QUICK, FREE, falling(500, 150, 5), OURS, 1, True, (3, 4)),  # a backlog
        (QUICK, FREE, falling(500, 50, 5), OURS, 1, False, (5, 5.6)),
        (QUICK, falling(1.0, 0.4, 0.02), FIVE, OURS, 1, True, (2, 3)),
        (QUICK, constant(1.0), FIVE, OURS, 1, False, (1, 1.6)),
        (until(8, 0.02, 0.001), FREE, FIVE, OURS, 20, True, (8, 9)),  # a start takes longer
        (until(20, 0.02, 0.001), FREE, None, None, 1, True, (20, 21)),  # not ours: no other way
        (QUICK, constant(1.0), None, None, 1, False, (5, 5.6)),  # it has other users
        (QUICK, FREE, FIVE, DEAD, 1, False, (0, 0)),
    ],
)
# A row of the table
def test_a_process_is_loaded_again_only_from_rest(  # noqa: PLR0913, PLR0917
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ping: Course,
    cores: Course,
    tasks: Course | None,
    child: Any,
    startup: float,
    is_rest: bool,  # noqa: FBT001
    between: tuple[float, float],
) -> None:
    """Quick again, without CPU and without work left over; and how long that is waited for."""
    app = SimulatedApp(ping, cores, tasks)
    process = app.process(tmp_path, monkeypatch, child)
    assert process.wait_for_rest(lambda: None, startup) is is_rest
    assert between[0] <= app.now <= between[1]


def test_tasks_that_the_first_requests_begin_are_part_of_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that keeps its pool alive has tasks of its own from then on."""
    app = SimulatedApp(QUICK, FREE, constant(11))
    process = app.process(tmp_path, monkeypatch, OURS)
    assert not process.wait_for_rest(lambda: None, 1)
    process.raise_idle_work()
    assert process.wait_for_rest(lambda: None, 1)


@pytest.mark.parametrize(
    ("written", "failure"),
    [
        ("holds/app-1-77.jsonl", None),
        ("guest/unwatched-app-1.json", "no GIL"),
        ("holds/app-12-77.jsonl", "the watchdog did not start within 3 s"),
    ],
)
def test_the_watchdog_is_on_for_the_length_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, failure: str | None
) -> None:
    """The agent answers the driver's file by one of its own; without either time runs out."""
    process = SimulatedApp(QUICK, FREE, FIVE).process(tmp_path, monkeypatch, OURS)
    switch = tmp_path / "guest" / "app-1.watch"
    for folder in ("guest", "holds"):
        (tmp_path / folder).mkdir()

    def answer() -> None:
        assert switch.exists()
        (tmp_path / written).write_text('{"why": "no GIL"}')

    with process.watched(answer) as why:
        assert (why, switch.exists()) == (failure, True)
    assert not switch.exists()
