"""Shared by the tests: simulated runs, made once, and the command line."""

import gc
from pathlib import Path

import pytest

from reports.model import Report
from reports.report import build_report
from tests.support import simulate_run as simulate
from tests.support.cli import Here
from tests.support.processes import ROOT

# A simulated run is many small lists that live: looking for garbage takes a seventh of its time.
gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session")
def honest_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean simulated run of the quick plan: every variant behaves as the lesson says."""
    return simulate.write(tmp_path_factory.mktemp("honest"), simulate.World())


@pytest.fixture(scope="session")
def honest(honest_run: Path) -> Report:
    """The report of the clean simulated run."""
    return build_report(honest_run)


@pytest.fixture(scope="session")
def example() -> Report:
    """The stored doctor run of the antipattern app."""
    return build_report(ROOT / "results" / "example-doctor")


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Here:
    """The command line, in this process."""
    return Here(capfd)
