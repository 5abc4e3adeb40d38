"""The CPU limit of this process's container and how often it was throttled: cgroups v1 and v2.

A limit is so many microseconds of CPU in each period of 100 ms; a process that has used them up
stands still until the next period. Every group above a process counts; a container may see its own
group as the root, so that a path of the host's is not there.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUP_ROOT, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """The tightest limit, and totals so far over all limited groups."""

    cores: float | None  # None without a limit
    periods: int
    throttled: int  # periods that were cut short


def cpu_limit(groups: Path = _CGROUP_ROOT, own: Path = _OWN_CGROUPS) -> CpuLimit | None:
    """Return the limit of this process and its cost so far; None on a system without cgroups."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    folders: list[Path] = []
    for line in lines:
        if line.count(":") > 1:
            folders += _cgroup_folders(groups, *line.split(":", 2)[1:])
    limited = [(cores, folder) for folder in folders if (cores := _quota_cores(folder)) is not None]
    if not folders:
        return None
    stats = [_read_cpu_stat(folder) for _, folder in limited]
    cores = min((cores for cores, _ in limited), default=None)
    names = ("nr_periods", "nr_throttled")
    return CpuLimit(cores, *(sum(stat.get(name, 0) for stat in stats) for name in names))


def _cgroup_folders(groups: Path, controllers: str, path: str) -> Iterator[Path]:
    """Yield a process's group for CPU, and all above it, as far as they are visible from here."""
    if controllers and "cpu" not in controllers.split(","):
        return
    roots = [groups / name for name in ((controllers, "cpu") if controllers else ("", "unified"))]
    marker = "cpu.stat" if controllers else "cgroup.controllers"
    if root := next((folder for folder in roots if (folder / marker).exists()), None):
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and folder.is_dir():
                yield folder


def _quota_cores(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        both = folder / "cpu.max"
        names = ["cpu.max"] if both.exists() else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        text = " ".join((folder / name).read_text(encoding="ascii") for name in names)
        quota, period = text.split()[:2]
        return int(quota) / int(period) if int(quota) > 0 < int(period) else None
    return None


def _read_cpu_stat(folder: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "cpu.stat").read_text(encoding="ascii").splitlines()
        pairs = (line.partition(" ") for line in lines)
        return {name: int(number) for name, _, number in pairs if number}
    return {}
