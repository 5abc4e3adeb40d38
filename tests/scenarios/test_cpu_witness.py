"""The driver's witness: CPU of real processes, read from outside, while it calls often."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from results.spool_tables import RunSpools
from scenarios.system.cpu_witness import CpuWitness

# a second thread computes `thread` seconds and a child `child` seconds; then this one waits
APP = """
import asyncio, subprocess, sys, threading, time
thread, child = map(float, sys.argv[1:])
spin = "import time\\nwhile time.process_time() < {}: pass"
def burn():
    while time.thread_time() < thread: pass
worker = threading.Thread(target=burn)
worker.start()
if child:
    subprocess.run([sys.executable, "-c", spin.format(child)])
worker.join()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(threading.get_native_id(), flush=True)
asyncio.run(asyncio.sleep(60))
"""


@contextmanager
def app(thread: float, child: float) -> Iterator[tuple[subprocess.Popen[str], Callable[[], int]]]:
    """Run the app; the function returns its loop's thread once it has computed all."""
    process = subprocess.Popen(
        [sys.executable, "-c", APP, str(thread), str(child)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    output = process.stdout
    try:
        yield process, lambda: int(output.readline())
    finally:
        process.kill()
        process.communicate()


def watch(witness: CpuWitness, seconds: float) -> None:
    """Call it as often as the driver does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        witness.sample()
        time.sleep(0.02)


def rows(folder: Path) -> list[dict[str, Any]]:
    """The process samples of the run, as its readers see them."""
    return [
        {"variant": row.variant, "pid": row.pid, "cpu": row.cpu, "loop": row.loop_cpu}
        | {"kin": row.kin_cpu, "memory": row.memory, "t": row.t}
        for row in RunSpools(folder, 0.0).probe
    ]


def test_cpu_of_a_process_its_threads_and_its_children_is_read_from_outside(
    tmp_path: Path,
) -> None:
    """That of a child counts while it lives and afterwards; of the loop's thread only its own."""
    with (
        app(0.4, 0.4) as (process, wait_until_done),
        closing(CpuWitness(tmp_path, "app-1", [psutil.Process(process.pid)])) as witness,
    ):
        witness.sample()
        loop_thread = wait_until_done()
        watched, deadline = witness.watched[process.pid], time.monotonic() + 10
        while sys.platform == "linux" and watched.loop_thread is None:
            assert time.monotonic() < deadline
            watch(witness, 0.2)
        watch(witness, 0.6)
        assert watched.loop_thread in {None, loop_thread}
    first, *_, last = rows(tmp_path)
    assert (last["variant"], last["pid"]) == ("app-1", process.pid)
    assert 0.4 <= last["cpu"] < 0.8
    assert 0.38 <= last["kin"] < 0.7
    assert first["cpu"] <= last["cpu"]
    assert last["memory"] > 1_000_000
    if sys.platform == "linux":
        assert last["loop"] < last["cpu"] - 0.39


def test_an_app_with_our_agent_is_the_processes_that_write_spools(tmp_path: Path) -> None:
    """Neither the supervisor nor another app's process; the agent names the loop's thread."""
    spool = tmp_path / "probe" / "app-1-0.jsonl"
    spool.parent.mkdir()
    with app(0, 0) as (process, wait_until_done), app(0, 0) as (other, _):
        wait_until_done()
        with closing(CpuWitness(tmp_path, "app-1")) as witness:
            watch(witness, 0.3)
            assert rows(tmp_path) == []
            runtime = {"kind": "runtime", "t": 0.0, "facts": {"loop_thread": process.pid}}
            for name in (f"app-1-{process.pid}", f"app-11-{other.pid}"):
                spool.with_name(f"{name}.jsonl").write_text(json.dumps(runtime) + "\n")
            watch(witness, 1.3)
    seen = rows(tmp_path)
    assert {row["pid"] for row in seen} == {process.pid}
    assert {row["loop"] is None for row in seen} == {False}
    gaps = [later["t"] - row["t"] for row, later in pairwise(seen)]
    assert min(gaps) >= 0.05
    assert len(seen) <= 14


def test_an_app_that_has_ended_is_no_longer_read(tmp_path: Path) -> None:
    """It is read until then."""
    with app(0, 0) as (process, wait_until_done):
        wait_until_done()
        with closing(CpuWitness(tmp_path, "a", [psutil.Process(process.pid)])) as witness:
            watch(witness, 0.3)
            assert list(witness.watched) == [process.pid]
            process.kill()
            process.wait()
            watch(witness, 0.3)
            assert witness.watched == {}


def test_what_an_inner_process_of_the_app_starts_is_of_its_own_kin_only(tmp_path: Path) -> None:
    """Of a master, its worker and what the worker has started, each counts once."""
    with app(0, 30) as (worker, _):
        while len(tree := [psutil.Process(), *psutil.Process().children(recursive=True)]) < 3:
            pass
        known = [process for process in tree if process.pid in {os.getpid(), worker.pid}]
        witness = CpuWitness(tmp_path, "a", known)
        witness.sample()
        master, inner = (witness.watched[process.pid].family for process in known)
        assert {process.pid for process in tree} >= {process.pid for process in inner} > set()
        assert not {worker.pid, *(process.pid for process in inner)} & {it.pid for it in master}
        witness.close()
        for process in inner:
            process.kill()
