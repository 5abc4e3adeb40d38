"""A container's CPU limit: read from both cgroup versions, counted per window, named in advice."""

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from msgspec import structs

from reports.checks.model import Check, CheckStatus, TrustLevel
from reports.checks.trust import assess_trust
from reports.report import build_report
from scenarios.system.cpu_quota import CpuLimit, cpu_limit
from tests.reports.test_report import BROKEN
from tests.support import simulate_run as simulate

V1_STAT = "nr_periods 1118\nnr_throttled 580\nthrottled_time 31415926535\n"
V2_STAT = (
    "usage_usec 1\nuser_usec 1\nsystem_usec 0\n"
    "nr_periods 1118\nnr_throttled 580\nthrottled_usec 31415926\n"
)


def write(folder: Path, **files: str) -> None:
    """A group's files; `__` stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


@pytest.mark.parametrize(
    "own", ["/docker/a1", "/"], ids=["as the host names it", "in a namespace of its own"]
)
@pytest.mark.parametrize("place", ["cpu", "cpu,cpuacct"])
def test_a_limit_of_the_first_version_is_found(tmp_path: Path, place: str, own: str) -> None:
    """At the process's own group, or where the container sees its group as the root."""
    (tmp_path / "self").write_text(
        f"11:memory:/docker/a1\n4:{place}:{own}\n0::/\n", encoding="ascii"
    )
    group = tmp_path / "fs" / place
    write(group, cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n", cpu__stat=V1_STAT)
    assert cpu_limit(tmp_path / "fs", tmp_path / "self") == CpuLimit(0.5, 1118, 580)
    if own != "/":
        write(
            group / "docker" / "a1",
            cpu__cfs_quota_us="-1\n",
            cpu__cfs_period_us="100000\n",
            cpu__stat=V1_STAT,
        )
        assert cpu_limit(tmp_path / "fs", tmp_path / "self") == CpuLimit(0.5, 1118, 580)


@pytest.mark.parametrize("base", ["", "unified"])
def test_a_limit_of_the_second_version_is_found_and_the_tightest_counts(
    tmp_path: Path, base: str
) -> None:
    """A pod's limit stands above its container's: both may stop the process."""
    (tmp_path / "self").write_text("0::/pod/app\n", encoding="ascii")
    root = tmp_path / "fs" / base
    write(root, cgroup__controllers="cpu memory\n", cpu__stat="usage_usec 5\n")
    write(root / "pod", cpu__max="300000 100000\n", cpu__stat=V2_STAT.replace("580", "20"))
    write(root / "pod" / "app", cpu__max="150000 100000\n", cpu__stat=V2_STAT)
    assert cpu_limit(tmp_path / "fs", tmp_path / "self") == CpuLimit(1.5, 2236, 600)


def test_no_limit_is_none_and_no_cgroups_are_unknown(tmp_path: Path) -> None:
    """Without a limit nothing counts; without cgroups it is unknown; damaged files are ignored."""
    (tmp_path / "self").write_text("0::/app\n", encoding="ascii")
    root = tmp_path / "fs"
    write(root, cgroup__controllers="cpu\n")
    for text in ("max 100000\n", "max\n", "", "x y\n", "0 0\n"):
        write(root / "app", cpu__max=text, cpu__stat="nonsense\n")
        assert cpu_limit(root, tmp_path / "self") == CpuLimit(None, 0, 0)
    assert cpu_limit(tmp_path / "nowhere", tmp_path / "self") is None
    assert cpu_limit(root, tmp_path / "nobody") is None


def limited(folder: Path, **facts: Any) -> list[Check]:
    """The checks of a run whose periods ran out in 52 % of each cell's window."""
    path = simulate.write(
        folder, simulate.World(plan=BROKEN, facts=lambda run: run["machine"].update(facts))
    )
    load = pd.read_parquet(path / "load.parquet")
    load.assign(periods=10 * load.t, throttled=5.2 * load.t).to_parquet(path / "load.parquet")
    report = build_report(path)
    assert report.trust.trust_level is TrustLevel.UNTRUSTED
    return [check for check in report.trust.checks if check.name == "CPU limit"]


def test_a_run_that_its_container_stopped_is_untrusted_and_names_the_limit(tmp_path: Path) -> None:
    """580 of 1,118 periods, and the run was trusted."""
    checks = limited(tmp_path, cpu_limit=1.5)
    assert {check.status for check in checks if check.cell.startswith("crowd")} == {
        CheckStatus.FAIL
    }
    check = next(check for check in checks if check.cell.startswith("crowd"))
    assert "a limit of 1.5 cores stopped its processes in 52 % of the periods" in check.why
    assert "more than its 1.5 cores" in check.remedy


def test_what_has_no_limit_passes_and_what_is_older_is_unknown(tmp_path: Path) -> None:
    """A stored run without the columns cannot say; no check fails."""
    path = simulate.write(tmp_path, simulate.World(plan=BROKEN))
    report = build_report(path)
    assert {check.status for check in report.trust.checks if check.name == "CPU limit"} == {
        CheckStatus.PASS
    }
    assert report.trust.trust_level is TrustLevel.TRUSTED
    load = pd.read_parquet(path / "load.parquet")
    load.drop(columns=["periods", "throttled"]).to_parquet(path / "load.parquet")
    old = build_report(path)
    assert {check.status for check in old.trust.checks if check.name == "CPU limit"} == {
        CheckStatus.UNKNOWN
    }
    assert old.trust.trust_level is TrustLevel.TRUSTED


def test_less_than_two_cores_are_said_before_anything_is_stopped(honest: Any) -> None:
    """One core for the app, one for the load generator."""
    tight = dataclasses.replace(
        honest.run_metrics,
        run=structs.replace(
            honest.run_metrics.run,
            machine=structs.replace(honest.run_metrics.run.machine, cpu_limit=1.0),
        ),
    )
    (check,) = [check for check in assess_trust(tight).checks if check.name == "CPU limit, cores"]
    assert (check.status, assess_trust(tight).trust_level) == (CheckStatus.WARN, TrustLevel.SUSPECT)
    assert "1 core" in check.why


BURN = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from scenarios.system.machine import host_counters
from scenarios.system.cpu_quota import cpu_limit
pathlib.Path(sys.argv[2], "cgroup.procs").write_text("0")
before = host_counters()[3:]
while time.process_time() < 1.0:
    pass
after = host_counters()[3:]
print(cpu_limit().cores, after[0] - before[0], after[1] - before[1])
"""


@contextlib.contextmanager
def limited_group(quota: int) -> Iterator[Path]:
    """A real group that may use `quota` microseconds in 100,000; skipped if none can be made."""
    for root, files in (
        (
            Path("/sys/fs/cgroup/cpu"),
            {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": str(quota)},
        ),
        (Path("/sys/fs/cgroup"), {"cpu.max": f"{quota} 100000"}),
    ):
        group = root / "atonce-test"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                for name, text in files.items():
                    (group / name).write_text(text, encoding="ascii")
                yield group
            finally:
                group.rmdir()
            return
    pytest.skip("no group can be made here: that takes root, and cgroups that may be written")


def test_a_real_limit_is_read_and_counted() -> None:
    """A fifth of a core: a second of work meets the limit in nearly every period."""
    with limited_group(20_000) as group:
        root = Path(__file__).resolve().parents[2]
        said = subprocess.run(
            [sys.executable, "-c", BURN, str(root), str(group)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    cores, periods, throttled = map(float, said.stdout.split())
    assert cores == 0.2
    assert 0 < throttled <= periods
