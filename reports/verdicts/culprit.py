"""Whose line holds the event loop: the watch's lines become one Blame per guilty line.

In a stack the guilty line is the innermost one of the user's own code, as long as no part of the framework that serves requests
lies further in: a middleware that awaits the app is not to blame for what the framework does meanwhile. Where none of
the user's lines is left, the framework's work on the answer is named as such, or else the innermost line of all.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PACKAGE = re.compile(r"/(?:site-packages|dist-packages|python3\.\d+)/(?!site-packages|dist-packages)([^/]+?)(?:\.py)?(?:/|$)")
PLAIN = re.compile(r"(?!self\b|cls\b)[A-Za-z]\w*(\.\w+)*")
SERVING = {"__call__", "app"}  # functions of fastapi and starlette by which one layer calls the next
COLLECTOR = "<garbage collector>"  # the only frame of its stack
SERIALISING = {"serialize_response", "jsonable_encoder", "render"}  # what these make of a handler's answer


class Frame(NamedTuple):
    """One frame as the watch writes it."""

    file: str
    line: int
    function: str
    call: str
    mine: bool

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.rpartition(".")[2]

    @property
    def package(self) -> str:
        """What it was installed as, or the module: `requests`, `json`, `importlib`."""
        path = self.file.replace("\\", "/")
        found = PACKAGE.findall(path)
        return str(found[-1] if found else re.findall(r"\w+", path.rpartition("/")[2].removeprefix("<frozen "))[0])


@dataclass(frozen=True, slots=True)
class Hold:
    """Time during which one task or callback kept the loop; seconds under each stack, innermost frame first."""

    start: float
    end: float
    is_request: bool
    blind: float
    shares: tuple[tuple[float, tuple[Frame, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """One line and the time that it holds the loop."""

    file: str  # as the user knows it
    line: int
    function: str
    call: str  # what it calls there; "" where it computes by itself
    library: str  # what that leads to: `requests.get -> socket.recv_into`; "" where nothing lies below
    is_serialising: bool  # the framework makes an answer of what a handler returned
    share: float  # of all time during which somebody held the loop
    held: float
    holds: int
    longest: float
    median: float
    blind: float  # share of its holds in which the watch could not look
    elsewhere: float  # share of its time outside any request

    @property
    def place(self) -> tuple[str, int]:
        """File and line."""
        return self.file, self.line


@dataclass(frozen=True, slots=True)
class Held:
    """What held the loop in a window: seconds under somebody's stack, and those in which others kept the loop from running."""

    seconds: float
    nobody: float
    blames: tuple[Blame, ...]
    collected: float = 0.0  # seconds of garbage collections, which are no line's fault


def read_holds(folder: Path, act: str) -> list[list[Any]]:
    """The lines of all processes of an act; a line that a killed process left half written is dropped."""
    lines = []
    for path in sorted(folder.glob(f"{act}-*.jsonl")):
        if not path.stem.removeprefix(f"{act}-").isdigit():
            continue  # another act's: `route-01-watch` also begins with `route-01`
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return lines


def holds_of(lines: Iterable[Sequence[Any]]) -> list[Hold]:
    """Lines become holds: the pieces of a long one, each of which begins exactly where another ended, become one again."""
    found: list[Hold] = []
    for _, start, end, place, blind, told in lines:
        shares = tuple((float(weight), tuple(Frame(*frame) for frame in stack)) for weight, stack in told)
        one = Hold(start, end, place == "request", blind, shares)
        if found and found[-1].end == start:
            last = found.pop()
            one = Hold(last.start, end, last.is_request or one.is_request, last.blind + blind, last.shares + shares)
        found.append(one)
    return found


def held(lines: Iterable[Sequence[Any]], window: tuple[float, float], origin: float, roots: Sequence[Path]) -> Held:
    """Who held the loop within a window of seconds since `origin`; files are told relative to the first root they lie below."""
    start, end = window
    inside = [hold for hold in holds_of(lines) if start <= (hold.start + hold.end) / 2 - origin < end]
    parts: dict[tuple[str, int, str], list[Part]] = defaultdict(list)
    total = nobody = collected = 0.0
    for hold in inside:
        for weight, stack in hold.shares:
            if weight <= 0:
                continue  # less than the watch writes: rounded away, it accuses nobody
            if not stack:
                nobody += weight
            elif stack[0].file == COLLECTOR:
                collected += weight
            else:
                total += weight
                part = part_of(hold, weight, stack)
                parts[part.guilty[:3]].append(part)
    blames = sorted((blame(one, total, roots) for one in parts.values()), key=lambda one: -one.share)
    return Held(total, nobody, tuple(blames), collected)


class Part(NamedTuple):
    """Seconds of a hold under one stack, and whose they are."""

    hold: Hold
    weight: float
    guilty: Frame
    library: str
    is_serialising: bool


def part_of(hold: Hold, weight: float, stack: tuple[Frame, ...]) -> Part:
    """Find the guilty frame of a stack."""
    inner = list(until_serving(stack))
    mine = next((i for i, frame in enumerate(inner) if frame.mine), None)
    if mine is not None:
        return Part(hold, weight, inner[mine], library(inner[:mine]), is_serialising=False)
    serial = [i for i, frame in enumerate(inner) if frame.name in SERIALISING and is_framework(frame)]
    at = serial[-1] if serial else 0
    return Part(hold, weight, inner[at], library(inner[:at] or inner), is_serialising=bool(serial))


def until_serving(stack: tuple[Frame, ...]) -> Iterator[Frame]:
    """The frames from the innermost one on, to the first by which the framework serves a request."""
    for frame in stack:
        yield frame
        if is_framework(frame) and frame.name in SERVING:
            return


def is_framework(frame: Frame) -> bool:
    """Whether a frame belongs to FastAPI or Starlette."""
    return frame.package in {"fastapi", "starlette"}


def library(below: list[Frame]) -> str:
    """What the frames below a line do, first and last: `requests.get -> socket.recv_into`."""
    if not below:
        return ""
    first, last = f"{below[-1].package}.{below[-1].name}", called(below[0])
    return first if first == last else f"{first} -> {last}"


def called(frame: Frame) -> str:
    """What a frame of a library calls, as one would look it up; its own name where it computes."""
    if PLAIN.fullmatch(frame.call):
        return frame.call if "." in frame.call else f"{frame.package}.{frame.call}"
    last = frame.call.rpartition(".")[2]
    return f"{frame.package}.{last if last.isidentifier() else frame.name}"


def blame(parts: list[Part], total: float, roots: Sequence[Path]) -> Blame:
    """One line's parts together; what differs between them is told as in the heaviest."""
    most = max(parts, key=lambda part: part.weight)
    guilty = most.guilty
    times: dict[int, float] = defaultdict(float)
    for part in parts:
        times[id(part.hold)] += part.weight
    seconds = sum(times.values())
    whole = {id(part.hold): part.hold for part in parts}.values()
    lasted = sum(hold.end - hold.start for hold in whole)
    return Blame(
        file=shown(guilty.file, roots),
        line=guilty.line,
        function=guilty.function,
        call=guilty.call,
        library=most.library,
        is_serialising=most.is_serialising,
        share=seconds / total,
        held=seconds,
        holds=len(times),
        longest=max(times.values()),
        median=median(times.values()),
        blind=sum(hold.blind for hold in whole) / lasted if lasted else 0.0,
        elsewhere=sum(part.weight for part in parts if not part.hold.is_request) / seconds,
    )


def roots_of(patient: Mapping[str, Any]) -> list[Path]:
    """The folders from which files of an examined app are named."""
    return [Path(one) for name in ("cwd", "home") if (one := patient.get(name))]


def shown(file: str, roots: Sequence[Path]) -> str:
    """A file as its reader knows it: relative to the app or the working directory, or to the folder of installed packages."""
    for root in roots:
        if Path(file).is_relative_to(root):
            return str(Path(file).relative_to(root))
    return re.sub(r".*[/\\](?:site|dist)-packages[/\\]", "", file)
