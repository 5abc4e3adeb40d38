"""The CPU routes: equal answers in every form, a pool as long as the app, CPU of the target."""

import os
import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest

from scenarios.plans.lesson import cpu
from targets.agent import process_stats
from targets.agent.process_stats import child_cpu_seconds
from tests.support.processes import alive, gone_within, new_mark, served


def workers(mark: str) -> list[str]:
    """The pool's processes."""
    return [command for command in alive(mark) if "spawn_main" in command]


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_every_form_does_all_of_the_same_work_and_the_pool_ends_with_the_app(end: str) -> None:
    """The answer depends on each round; a killed app says nothing to its workers, yet they end."""
    paths = {cell.path: cell.expects for session in cpu.SESSIONS for cell in session.cells}
    mark = new_mark()
    with (
        served("targets.app:app", mark) as (url, process),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert workers(mark) == []  # until they are needed
        assert {path: client.get(path).text for path in paths} == paths
        assert client.get("/cpu/inline?rounds=499999").text != cpu.COMPUTE_ANSWER
        assert client.get("/cpu/workers").json() == {"workers": cpu.CORES, "nice": os.nice(0) + 10}
        assert len(workers(mark)) == cpu.CORES
        getattr(process, end)()
        assert gone_within(mark, 60) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_cpu_of_descendants_counts_while_they_live_and_afterwards() -> None:
    """A child's own, its child's, and once both have ended still theirs."""
    spin = "import time\nwhile time.process_time() < .15: pass"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}]); "
        "print(1, flush=True); sys.stdin.read()"
    )
    before = child_cpu_seconds()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout
    child.stdout.readline()
    living = child_cpu_seconds() - before
    child.communicate()
    # twice as much, if processes that ended counted again
    assert 0.13 <= living <= child_cpu_seconds() - before < 1.6 * living


def test_a_child_may_have_a_lower_number_than_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its highest number the system begins again with the low ones."""
    parents = {"1": 0, "9": 1, "7": 5, "5": 30001, "30001": 30000}
    own = "S {} " + "0 " * 9 + "1 1 1 1 0"

    class Stat:
        def __init__(self, path: str) -> None:
            self.pid = path.split("/")[2]

        def read_bytes(self) -> bytes:
            return f"{self.pid} (x) {own.format(parents[self.pid])}".encode()

    system = SimpleNamespace(
        getpid=lambda: 30000,
        listdir=lambda _: list(parents),
        times=lambda: (0.0,) * 5,
        sysconf=lambda _: 100,
    )
    monkeypatch.setattr(process_stats, "os", system)
    monkeypatch.setattr(process_stats, "Path", Stat)
    assert child_cpu_seconds() == pytest.approx(3 * 0.04)  # a child, its child, and its grandchild
