"""A quick look at what one level has measured so far, to decide what is asked next. The verdict is not made here.

Only the spools of the act are read; everything that is said about the app is worked out later, from the sealed run.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import spool
from results.schema import Cell
from results.thresholds import AT_LEAST, AWAITS, COMPUTES, FULL, GROWS, LEAST_WINDOW, OVERLAP, STARTLING, SUFFERS, SUFFERS_FROM
from results.unloaded import added_wait, quartiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One level. Seconds, and requests per second; `pings` are the neighbours' latencies, sorted, by kind."""

    users: int
    think: float
    rate: float
    latencies: Sequence[float]  # of the right answers, sorted
    cpu: float | None  # cores that the app's processes used
    pings: dict[str, list[float]]
    wrong: int
    right: int
    sent: int  # in all its phases
    left: int  # that were given up

    @property
    def median(self) -> float:
        """The middle latency; 0 where nothing was answered."""
        return statistics.median_high(self.latencies) if self.latencies else 0.0

    @property
    def mean(self) -> float:
        """The mean latency; 0 where nothing was answered."""
        return statistics.fmean(self.latencies) if self.latencies else 0.0

    def p90(self, kind: str) -> float | None:
        """The 90th percentile of one neighbour, of however few."""
        found = self.pings.get(kind, [])
        return found[math.ceil(0.9 * len(found)) - 1] if found else None

    def suffers(self, kind: str, idle: dict[str, float]) -> bool:
        """Whether a neighbour waits much longer than alone."""
        p90 = self.p90(kind)
        return p90 is not None and p90 >= max(SUFFERS_FROM, SUFFERS * idle.get(kind, 0.0))

    @property
    def is_startled(self) -> bool:
        """Whether any single ping of the async neighbour took long."""
        found = self.pings.get("async", [])
        return bool(found) and found[-1] >= STARTLING

    @property
    def takes(self) -> float:
        """CPU seconds per request, as far as anybody knows."""
        return (self.cpu or 0.0) / self.rate if self.rate else 0.0

    @property
    def computes(self) -> bool:
        """Whether the app rather computes than waits, as far as anybody knows."""
        return (self.cpu or 0.0) >= COMPUTES

    def waits_alone(self, alone: "Seen") -> bool:
        """Whether requests seem to wait for something, one at a time, on a core that is not full. Whom nobody saw has no CPU."""
        waits = alone.mean - alone.takes
        is_full = (self.cpu or 0.0) >= FULL
        return not is_full and waits > AWAITS * alone.mean + AT_LEAST and self.rate * waits < OVERLAP

    def grows(self, service: float) -> bool:
        """Whether nothing queues: users, their pauses and the unloaded time explain the rate."""
        return self.rate * (service + self.think) >= GROWS * self.users

    def is_unmoved(self, few: "Seen") -> bool:
        """Whether most requests take no longer than among a few users, and nobody starves."""
        sooner, later = quartiles(few.latencies), quartiles(self.latencies)
        if not sooner or not later or not self.grows(self.mean):
            return False
        return added_wait(sooner, later) <= (1 - GROWS) * self.mean


def look(folder: Path, act: str, cell: Cell) -> Seen | None:
    """What a cell has measured, from the spools of its act; None when its window never opened, or its requests were used up at once."""
    marks = {
        line[2]: line[3] for line in spool.read(folder / "load" / f"{act}.jsonl") if line[0] == "mark" and line[1] == cell.name
    }
    if not {"open", "close"} <= set(marks) or marks["close"] <= marks["open"]:
        return None
    begin, end = marks["open"], marks["close"]
    if "ceiling" in marks and end - begin < LEAST_WINDOW:
        return None
    sent: dict[int, list[Any]] = {}
    pings: dict[str, list[float]] = {}
    latencies: list[float] = []
    answered = wrong = left = 0
    for kind, seq, *words in spool.read(folder / "samples" / f"{act}.jsonl"):
        if kind == "sent" and words[0] in {cell.name, cell.aside}:
            sent[seq] = words
        if kind not in {"done", "given-up"} or seq not in sent:
            continue
        name, _phase, route, _variant, _connection, intended, _left = sent[seq]
        done, fault = words[0], words[2] if kind == "done" else None
        if name == cell.name:
            wrong += fault is not None
            left += kind == "given-up"
            answered += kind == "done" and fault is None and begin < done <= end
        if begin < intended <= end and fault is None:
            (pings.setdefault(route.rpartition("/")[2], []) if name == cell.aside else latencies).append(done - intended)
    return Seen(
        users=cell.users,
        think=cell.think,
        rate=answered / (end - begin),
        latencies=sorted(latencies),
        cpu=cpu(folder / "probe", act, begin, end),
        pings={kind: sorted(found) for kind, found in pings.items()},
        wrong=wrong,
        right=answered,
        sent=sum(words[0] == cell.name for words in sent.values()),
        left=left,
    )


def cpu(folder: Path, act: str, begin: float, end: float) -> float | None:
    """Cores that the processes of an act used between two moments; None when nobody saw them."""
    found = []
    for path in (one for one in folder.glob("*.jsonl") if one.stem.rpartition("-")[0] == act):
        looks = [(line[1], line[6]) for line in spool.read(path) if line[0] == "sample" and begin < line[1] <= end]
        if len(looks) > 1:
            found.append((looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0]))
    return sum(found) if found else None
