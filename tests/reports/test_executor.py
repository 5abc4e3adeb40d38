"""The executor of `asyncio.to_thread` is sized by CPUs; from Python 3.13 on, by those allowed."""

import dataclasses
import os
from typing import Any

import pytest

from reports.claims.routes import documented_executor_size
from reports.metrics.executor import explain_small_executor, server_cpu_count
from reports.model import Report
from reports.verdicts.findings import describe_route
from results.run_info import Machine, RunInfo, Runtime
from results.schema import Variant
from results.verdicts import Verdict
from scenarios.system import machine


def run_of(python: str, cpus: int = 2, **more: Any) -> RunInfo:
    """What a run says of its machine."""
    return RunInfo(machine=Machine(python=python, cpus=cpus), **more)


@pytest.mark.parametrize(
    ("python", "runtime", "counted", "explained"),
    [
        ("3.11.7", {"cpus": [1], "executor_size": 6}, 2, False),  # counts the CPUs of the host
        ("3.13.5", {"cpus": [1], "executor_size": 5}, 1, True),  # a run without the count
        ("3.13.5", {"cpus": [1], "executor_size": 5, "cpu_count": 1}, 1, True),
        ("3.13.5", {"cpus": [1], "executor_size": 6, "cpu_count": 2}, 2, False),  # PYTHON_CPU_COUNT
        ("3.13.5", {"cpus": [0, 1], "executor_size": 6, "cpu_count": 2}, 2, False),
        # a pool of its own
        ("3.13.5", {"cpus": [1], "executor_size": 64, "cpu_count": 1}, 1, False),
        # not pinned
        ("3.13.5", {"cpus": None, "executor_size": 6, "cpu_count": 2}, 2, False),
    ],
)
def test_what_the_process_counts_predicts_its_executor(
    python: str, runtime: dict[str, Any], counted: int, *, explained: bool
) -> None:
    """If the core that we reserve made it smaller, the report says so."""
    run = run_of(python, targets={Variant.TO_THREAD: Runtime(**runtime)})
    assert server_cpu_count(run, Runtime(**runtime)) == counted
    assert documented_executor_size(run, "to-thread") == counted + 4
    assert bool(explain_small_executor(run, Runtime(**runtime))) is explained


def test_an_app_that_someone_else_serves_is_pinned_by_nobody() -> None:
    """Whatever it counts."""
    assert (
        explain_small_executor(
            run_of("3.13.5", host="http://127.0.0.1:1"), Runtime(cpus=[1], executor_size=5)
        )
        == ""
    )


def test_a_smaller_executor_is_said_in_the_finding(honest: Report) -> None:
    """5 threads, and 6 without us."""
    why = explain_small_executor(
        run_of("3.13.5"), Runtime(python="3.13.5", cpus=[1], executor_size=5, cpu_count=1)
    )
    route = honest.run_metrics.find_route(Variant.TO_THREAD)
    assert route is not None
    sentence = describe_route(dataclasses.replace(route, executor_note=why), Verdict.EXECUTOR_POOL)
    assert "its Python 3.13.5 counted 1 of 2 CPUs" in sentence
    assert "alone it would have 6 threads, not 5" in sentence
    assert "fewer cores" not in describe_route(route, Verdict.EXECUTOR_POOL)


@pytest.mark.parametrize(
    ("own", "has", "given", "expected"),
    [
        ({0, 1}, 2, "", {"PYTHON_CPU_COUNT": "2"}),
        ({0, 1}, 8, "", {}),  # a container's: os.cpu_count() says 8, and must go on saying it
        ({0}, 1, "", {}),  # nothing is pinned there
        ({0, 1}, 2, "7", {}),  # set on purpose
        (None, 2, "", {}),
    ],
)
def test_an_app_counts_the_cpus_that_it_would_count_without_us(
    monkeypatch: pytest.MonkeyPatch,
    own: set[int] | None,
    has: int,
    given: str,
    expected: dict[str, str],
) -> None:
    """A core is reserved for the load generator; the pools of the app keep their size."""
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    if given:
        monkeypatch.setenv("PYTHON_CPU_COUNT", given)
    monkeypatch.setattr(machine, "all_cores", lambda: frozenset(own) if own else None)
    monkeypatch.setattr(os, "cpu_count", lambda: has)
    assert machine.cpu_count_env() == expected
