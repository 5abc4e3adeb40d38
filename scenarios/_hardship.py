"""What the machine suffered so far: CPU time stolen by its host, time in which somebody waited for a core, pages swapped.

Running totals of the kernel; two readings give what happened between them. Read from files, because a load generator must
not spend its time on more.
"""

import os
from pathlib import Path

STEAL = 8  # the word of /proc/stat's first line that counts stolen time


def hardship() -> tuple[float | None, float | None, int | None]:
    """Stolen seconds of all cores, seconds with a process waiting for a core, pages swapped in or out; None where not told."""
    stat, pressure, memory = (read(name) for name in ("stat", "pressure/cpu", "vmstat"))
    stolen = int(stat.split(maxsplit=STEAL + 1)[STEAL]) / os.sysconf("SC_CLK_TCK") if stat else None
    waited = int(pressure.partition("total=")[2].partition("\n")[0]) / 1e6 if "total=" in pressure else None
    words = dict(line.split() for line in memory.splitlines())
    swapped = int(words["pswpin"]) + int(words["pswpout"]) if {"pswpin", "pswpout"} <= set(words) else None
    return stolen, waited, swapped


def read(name: str) -> str:
    """A file of /proc; empty where there is none."""
    try:
        return Path("/proc", name).read_text(encoding="ascii")
    except OSError:
        return ""
