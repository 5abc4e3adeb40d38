"""What the machine went through so far: CPU time used by anybody, CPU time stolen by its host, pages swapped.

Running totals of the kernel; two readings give what happened between them. Read from files, because a load generator must
not spend its time on more. (The kernel's pressure counters would count our own two pinned processes as pressure.)
"""

import os
from pathlib import Path

USER, NICE, SYSTEM, _IDLE, _IOWAIT, IRQ, SOFTIRQ, STEAL = range(1, 9)  # words of /proc/stat's first line


def hardship() -> tuple[float | None, float | None, int | None]:
    """Stolen and used seconds of all cores together, pages swapped in or out; None where the system does not tell."""
    stat, memory = read("stat").partition("\n")[0].split(), read("vmstat")
    ticks = [int(stat[i]) / os.sysconf("SC_CLK_TCK") for i in range(1, STEAL + 1)] if stat else []
    used = sum(ticks[i - 1] for i in (USER, NICE, SYSTEM, IRQ, SOFTIRQ)) if ticks else None
    words = dict(line.split() for line in memory.splitlines())
    swapped = int(words["pswpin"]) + int(words["pswpout"]) if {"pswpin", "pswpout"} <= set(words) else None
    return ticks[STEAL - 1] if ticks else None, used, swapped


def read(name: str) -> str:
    """A file of /proc; empty where there is none."""
    try:
        return Path("/proc", name).read_text(encoding="ascii")
    except OSError:
        return ""
