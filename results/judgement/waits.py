"""Where requests wait: the looks of the app's wait sampler in a window, summed by place.

The place of a request is the innermost line of the user's code in its chain of awaits, or of the
pool's thread that works for it, and what that line waits in.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from results import records
from results.judgement.culprit import display_path, frames_of_one_layer
from results.judgement.window import Window
from results.spool import read_spool

RUNNING = "running"
GATES = ("lock", "semaphore", "pool", "limiter", "queue")  # each lets some requests in at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A place at which requests, or a pool's threads, were seen, and how many on average."""

    count: float
    pool: str = ""  # the pool whose threads these are; "" for requests
    file: str  # as the user knows it; "" without a line of the user's code
    line: int
    function: str
    call: str  # what the line calls
    what: str
    name: str = ""
    size: int | None = None

    @property
    def location(self) -> tuple[str, int]:
        """File and line."""
        return self.file, self.line


@dataclass(frozen=True, slots=True)
class WaitStack:
    """A whole stack as `function file:line`, the outermost first, and how many were there."""

    count: float
    pool: str
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WaitProfile:
    """Where the requests of one level were, the commonest place first."""

    looks: int
    requests: float  # in flight, on average
    waits: tuple[Wait, ...]  # of the requests
    threads: tuple[Wait, ...]  # of the busy threads
    stacks: tuple[WaitStack, ...] = ()  # of both

    def total(self, pool: str) -> float:
        """Return the requests in flight, or the busy threads of a pool."""
        return sum(wait.count for wait in (*self.waits, *self.threads) if wait.pool == pool)

    def share(self, wait: Wait) -> float:
        """Return the share of the requests in flight, or of the pool's busy threads."""
        total = self.total(wait.pool)
        return wait.count / total if total else 0.0


def read_waits(
    folder: Path, session: str, origin: float, window: Window, roots: Sequence[Path]
) -> WaitProfile | None:
    """Return the profile of a session in a window, in seconds since `origin`; None if unseen."""
    process_file = re.compile(rf"{re.escape(session)}-\d+")
    counts: defaultdict[Wait, float] = defaultdict(float)  # by waits whose own count is 0
    stacks: defaultdict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
    looks = requests = 0
    for path in sorted(folder.glob("*.jsonl")):
        if not process_file.fullmatch(path.stem):
            continue
        places: dict[int, records.WaitPlace] = {}
        for line in read_spool(path, records.decode_app_line):
            if isinstance(line, records.WaitPlace):
                places[line.number] = line
            elif isinstance(line, records.WaitLook) and window.covers(line.t - origin):
                looks, requests = looks + 1, requests + line.requests
                for pool, number, count in (*(("", *wait) for wait in line.waits), *line.threads):
                    counts[_name_place(places[number], pool, roots)] += count
                    stacks[pool, _name_frames(places[number], roots)] += count
    if not looks:
        return None
    waits = [replace(wait, count=count / looks) for wait, count in counts.items()]
    waits.sort(key=lambda wait: -wait.count)
    return WaitProfile(
        looks,
        requests / looks,
        tuple(wait for wait in waits if not wait.pool),
        tuple(wait for wait in waits if wait.pool),
        tuple(WaitStack(count / looks, *key) for key, count in stacks.items()),
    )


def _name_frames(place: records.WaitPlace, roots: Sequence[Path]) -> tuple[str, ...]:
    return tuple(
        f"{frame.function} {display_path(frame.file, roots)}:{frame.line}"
        for frame in reversed(place.frames)
    )


def _name_place(place: records.WaitPlace, pool: str, roots: Sequence[Path]) -> Wait:
    own = (frame for frame in frames_of_one_layer(place.frames) if frame.is_user_code)
    frame = next(own, records.StackFrame("", 0, "", "", is_user_code=False))
    return Wait(
        count=0.0,
        pool=pool,
        file=frame.file and display_path(frame.file, roots),
        line=frame.line,
        function=frame.function,
        call=frame.call,
        what=place.what,
        name=place.name,
        size=place.size,
    )
