"""One real Locust serves many jobs: an app that restarts between them, cells that end early."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from results.records import (
    Done,
    GivenUp,
    Mark,
    RequestLine,
    Sent,
    Unsent,
    decode_load_line,
    decode_request_line,
)
from results.schema import Cell, Neighbour, Phase
from results.spool import read_spool
from results.thresholds import CLOSED_EARLY
from scenarios.generator.job import Job, RequestTemplate
from scenarios.plans.cells import Target, Times
from scenarios.runner.run_plan import locust_command, locust_env
from scenarios.runner.supervise import supervise_locust
from scenarios.system.child_process import supervised_process
from scenarios.system.private_log import RunLog
from tests.support.processes import ROOT, free_port

PING = Neighbour(
    kind="async", route="GET /ping", path="/ping", expects="1", rate=60.0, connections=8
)
PATIENCE = 0.6


class RestartingServer:
    """The tiny server on one port, once and again."""

    def __init__(self, log: Path) -> None:
        self.log, self.port = log, free_port()
        self.groups: list[int] = []
        self.start()

    def start(self) -> None:
        """Serve, from now on."""
        script = ROOT / "tests" / "support" / "tiny_server.py"
        command = [sys.executable, str(script), str(self.port), str(self.log)]
        self.process = subprocess.Popen(command, start_new_session=True)
        self.groups.append(self.process.pid)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.process.poll() is None
            time.sleep(0.01)

    def restart(self) -> None:
        """Another process on the same port; a child of the old one keeps its connections."""
        self.process.terminate()
        assert self.process.wait(10) == 0
        self.start()

    def close(self) -> None:
        """Kill all of it."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait(10)


@dataclass(frozen=True)
class Measured:
    """What one job left behind."""

    cell: Cell
    lines: list[RequestLine]
    marks: dict[str, Mark]  # of the cell itself, by name
    ping_marks: dict[str, Mark]

    @property
    def seconds(self) -> float:
        """From the start of the cell to its end."""
        return self.marks["end"].t - self.marks["go"].t

    def sent(self, *, pings: bool = False) -> list[Sent]:
        """Its requests that left, or those of its neighbours."""
        name = self.cell.neighbour_cell_name if pings else self.cell.name
        return [line for line in self.lines if isinstance(line, Sent) and line.cell == name]

    def ends(self, kind: type[Done | GivenUp], *, pings: bool = False) -> list[Done | GivenUp]:
        """How its requests ended."""
        own = {line.seq for line in self.sent(pings=pings)}
        return [line for line in self.lines if isinstance(line, kind) and line.seq in own]


def cell(path: str, users: int, times: Times, *neighbours: Neighbour, **more: float) -> Cell:
    """A crowd on one path."""
    target = Target(variant=f"GET {path}", route=f"GET {path}", path=path)
    crowd = replace(target.closed_loop_cell(users, times, 0.005), neighbours=neighbours)
    return replace(crowd, **more)  # type: ignore[arg-type]


CELLS = {
    "early": cell("/quick", 4, Times(0.1, 8.0), PING, precision=0.3, least=0.3, longest=20.0),
    "restarted": cell("/quick", 4, Times(0.1, 0.4), PING),
    "warm-up": cell("/stuck/0", 3, Times(5.0, 5.0), PING, patience=PATIENCE, longest=20.0),
    "window": cell("/stuck/30", 3, Times(0.02, 5.0), PING, patience=PATIENCE, longest=20.0),
    "drain": cell("/stuck/1", 2, Times(0.0, 0.3), PING, patience=PATIENCE),
    "lone": cell("/quick", 1, Times(0.05, 8.0), precision=0.5, least=0.02, patience=PATIENCE),
}
TOKENS = dict(zip(CELLS, "abcdef", strict=True))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    """All jobs of one Locust, each with its own spools and templates."""
    folder = tmp_path_factory.mktemp("jobs")
    server = RestartingServer(folder / "seen.txt")

    def jobs() -> Iterator[Job]:
        for name, planned in CELLS.items():
            assert not open_connections(server.port), f"the cell before {name} left some open"
            if name == "restarted":
                server.restart()
            letters = {planned.route: RequestTemplate(headers={"x-token": TOKENS[name]})}
            yield Job(folder, f"job-{name}", 1, (planned,), letters=letters, users=4)

    command = locust_command(4, 100, f"http://127.0.0.1:{server.port}")
    log, pipe = RunLog.from_here(folder / "log.txt"), subprocess.PIPE
    try:
        with supervised_process(
            command, folder=folder, env=locust_env(folder), core=None, stdin=pipe, stdout=pipe
        ) as locust:
            supervise_locust(None, locust, jobs(), lambda _cell, _seconds: None, log, lambda: None)
    finally:
        server.close()
    return {name: read(folder, f"job-{name}", planned) for name, planned in CELLS.items()}


def open_connections(port: int) -> list[object]:
    """Those of Locust's to the port: an app comes to rest only without them."""
    return [
        connection
        for connection in psutil.net_connections("tcp4")
        if connection.raddr and connection.raddr.port == port and connection.status == "ESTABLISHED"
    ]


def read(folder: Path, worker: str, planned: Cell) -> Measured:
    """One job's spools."""
    load = list(read_spool(folder / "load" / f"{worker}.jsonl", decode_load_line))
    marks = [line for line in load if isinstance(line, Mark)]
    names = (planned.name, planned.neighbour_cell_name)
    own, pings = ({mark.mark: mark for mark in marks if mark.cell == name} for name in names)
    samples = folder / "samples" / f"{worker}.jsonl"
    lines = list(read_spool(samples, decode_request_line))
    for line in (folder / "seen.txt").read_text(encoding="utf-8").splitlines():
        path, request, token = line.split()
        job, _, seq = request.rpartition("-")
        if job == worker:
            assert any(isinstance(line, Sent) and line.seq == int(seq) for line in lines)
            assert token == (TOKENS[worker.removeprefix("job-")] if path != "/ping" else "-")
    return Measured(planned, lines, own, pings)


@pytest.mark.parametrize("name", ["early", "restarted", "lone"])
def test_no_job_pays_for_the_one_before(measured: dict[str, Measured], name: str) -> None:
    """Nothing fails, though the app restarted, and connections to its remains looked alive."""
    for pings in (False, True):
        ends = measured[name].ends(Done, pings=pings)
        assert len(ends) == len(measured[name].sent(pings=pings))
        assert {(end.status, end.error) for end in ends if isinstance(end, Done)} <= {(200, None)}
    assert len(measured[name].ends(Done)) >= 8
    assert "silent" not in measured[name].marks


def test_a_window_closes_once_the_mean_is_known(measured: dict[str, Measured]) -> None:
    """Not before `least`; after whole rounds of the users; later pings are left out on purpose."""
    early = measured["early"]
    opened, closed = early.marks["open"].t, early.marks["close"].t
    assert 0.3 <= closed - opened < 4.0
    assert list(early.marks) == ["go", "open", "precise", "close", "end"]
    answers = [line for line in early.ends(Done) if opened < line.done <= closed]
    assert len(answers) >= 8
    unsent = [line for line in early.lines if isinstance(line, Unsent)]
    assert {line.reason for line in unsent} == {CLOSED_EARLY}
    assert min(line.intended for line in unsent) > closed - 0.01
    assert early.ping_marks["planned"].in_flight == len(unsent) + len(early.sent(pings=True))
    assert "precise" not in measured["restarted"].marks


@pytest.mark.parametrize("name", ["warm-up", "window", "drain"])
def test_a_silent_cell_ends_at_once(measured: dict[str, Measured], name: str) -> None:
    """Its requests are given up, whatever its neighbours were answered."""
    silent = measured[name]
    assert PATIENCE <= silent.seconds < PATIENCE + 2.0
    assert {"go", "open", "silent", "close", "end"} == set(silent.marks)
    assert set(silent.marks) | {"planned"} == set(silent.ping_marks)
    assert len(silent.ends(GivenUp)) == silent.cell.users
    answered = {"warm-up": 0, "window": 30, "drain": 1}[name]
    ends = [line for line in silent.ends(Done) if isinstance(line, Done) and line.error is None]
    assert len(ends) == answered
    assert silent.ends(Done, pings=True)
    begun = silent.marks["silent"]
    assert all(end.done < begun.t for end in ends)
    assert (begun.in_flight, silent.marks["end"].in_flight) == (silent.cell.users, 0)


def test_the_window_of_a_cell_that_never_answered_is_its_silence(
    measured: dict[str, Measured],
) -> None:
    """Reports see a window in which nothing was answered; else the window opened as planned."""
    marks, ping_marks = measured["warm-up"].marks, measured["warm-up"].ping_marks
    assert marks["open"].t == marks["silent"].t
    assert ping_marks["open"].t == ping_marks["silent"].t
    assert marks["close"].t - marks["open"].t >= PATIENCE - 0.2
    area = marks["close"].area - marks["open"].area
    assert area == pytest.approx(3 * (marks["close"].t - marks["open"].t), rel=0.01)
    assert {line.phase for line in measured["warm-up"].sent()} == {Phase.WARM_UP}
    marks = measured["window"].marks
    assert marks["go"].t < marks["open"].t < marks["silent"].t < marks["close"].t
    marks = measured["drain"].marks
    assert marks["open"].t < marks["silent"].t < marks["close"].t < marks["end"].t - 0.1
