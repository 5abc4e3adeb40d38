"""The lines that hold the event loop: one `Culprit` per line, from what the watchdog wrote.

In a stack the culprit is the innermost line of the user's own code, as long as no part of the
framework that serves requests lies further in: a middleware that awaits the app does not cause what
the framework does in that time. Where none of the user's lines is left, the framework's work on the
answer is named as such, or else the innermost line of all.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

_PACKAGE_PATH = re.compile(
    r"/(?:site-packages|dist-packages|python3\.\d+)/"
    r"(?!site-packages|dist-packages)([^/]+?)(?:\.py)?(?:/|$)"
)
_PLAIN_CALL = re.compile(r"(?!self\b|cls\b)[A-Za-z]\w*(\.\w+)*")
# functions of fastapi and starlette by which one layer calls the next
_SERVING_FUNCTIONS = {"__call__", "app"}
_GC_FRAME = "<garbage collector>"  # the only frame of its stack
# functions that turn what a handler returned into an answer
_SERIALISING_FUNCTIONS = {"serialize_response", "jsonable_encoder", "render"}


class StackFrame(NamedTuple):
    """One frame as the watchdog writes it."""

    file: str
    line: int
    function: str
    call: str
    is_user_code: bool

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.rpartition(".")[2]

    @property
    def package(self) -> str:
        """What it was installed as, or the module: `requests`, `json`, `importlib`."""
        path = self.file.replace("\\", "/")
        matches = _PACKAGE_PATH.findall(path)
        return str(
            matches[-1]
            if matches
            else re.findall(r"\w+", path.rpartition("/")[2].removeprefix("<frozen "))[0]
        )


@dataclass(frozen=True, slots=True)
class LoopHold:
    """Time during which one task or callback held the loop, by stack."""

    start: float
    end: float
    is_request: bool
    blind_time: float
    # seconds under each stack, innermost frame first
    stack_times: tuple[tuple[float, tuple[StackFrame, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """One line and the time that it holds the loop."""

    file: str  # as the user knows it
    line: int
    function: str
    call: str  # what it calls there; "" where it computes by itself
    # what that leads to: `requests.get -> socket.recv_into`; "" where nothing lies below
    library: str
    is_serialising: bool  # the framework makes an answer of what a handler returned
    share: float  # of all time during which the loop was held
    hold_seconds: float
    holds: int
    longest: float
    median: float
    blind: float  # share of its holds in which the watchdog could not sample
    outside_requests: float  # share of its time outside any request

    @property
    def location(self) -> tuple[str, int]:
        """File and line."""
        return self.file, self.line


@dataclass(frozen=True, slots=True)
class LoopHolds:
    """Seconds of a window in which the loop was held, under a stack or without one."""

    seconds: float
    unattributed: float  # without a stack: others kept the loop from running
    culprits: tuple[Culprit, ...]
    gc_seconds: float = 0.0  # seconds of garbage collections, which no line causes


def read_holds(folder: Path, session: str) -> list[list[Any]]:
    """All processes' lines of a session; what a killed process left half written is dropped."""
    lines = []
    for path in sorted(folder.glob(f"{session}-*.jsonl")):
        if not path.stem.removeprefix(f"{session}-").isdigit():
            continue  # another session's: `route-01-watch` also begins with `route-01`
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return lines


def merge_holds(lines: Iterable[Sequence[Any]]) -> list[LoopHold]:
    """Turn lines into holds; pieces that begin exactly where another ended are joined."""
    merged: list[LoopHold] = []
    for _, start, end, kind, blind, stacks in lines:
        stack_times = tuple(
            (float(weight), tuple(StackFrame(*frame) for frame in stack))
            for weight, stack in stacks
        )
        hold = LoopHold(start, end, kind == "request", blind, stack_times)
        if merged and merged[-1].end == start:
            last = merged.pop()
            hold = LoopHold(
                last.start,
                end,
                last.is_request or hold.is_request,
                last.blind_time + blind,
                last.stack_times + stack_times,
            )
        merged.append(hold)
    return merged


def summarise_holds(
    lines: Iterable[Sequence[Any]],
    window: tuple[float, float],
    origin: float,
    roots: Sequence[Path],
) -> LoopHolds:
    """What held the loop in a window of seconds since `origin`.

    Files are named relative to the first of `roots` that they lie below.
    """
    start, end = window
    inside = [
        hold for hold in merge_holds(lines) if start <= (hold.start + hold.end) / 2 - origin < end
    ]
    parts: dict[tuple[str, int, str], list[_AttributedTime]] = defaultdict(list)
    total = unattributed = gc_seconds = 0.0
    for hold in inside:
        for weight, stack in hold.stack_times:
            if weight <= 0:
                continue  # less than the watchdog writes: rounded to zero, it names no culprit
            if not stack:
                unattributed += weight
            elif stack[0].file == _GC_FRAME:
                gc_seconds += weight
            else:
                total += weight
                part = _attribute_stack(hold, weight, stack)
                parts[part.frame[:3]].append(part)
    culprits = sorted(
        (_build_culprit(item, total, roots) for item in parts.values()),
        key=lambda item: -item.share,
    )
    return LoopHolds(total, unattributed, tuple(culprits), gc_seconds)


class _AttributedTime(NamedTuple):
    """Seconds of a hold under one stack, and their culprit."""

    hold: LoopHold
    seconds: float
    frame: StackFrame
    library: str
    is_serialising: bool


def _attribute_stack(
    hold: LoopHold, weight: float, stack: tuple[StackFrame, ...]
) -> _AttributedTime:
    """Find the culprit's frame in a stack."""
    inner = list(_frames_until_serving(stack))
    own_index = next((i for i, frame in enumerate(inner) if frame.is_user_code), None)
    if own_index is not None:
        return _AttributedTime(
            hold, weight, inner[own_index], _call_path(inner[:own_index]), is_serialising=False
        )
    serialising = [
        i
        for i, frame in enumerate(inner)
        if frame.name in _SERIALISING_FUNCTIONS and _is_framework_frame(frame)
    ]
    culprit_index = serialising[-1] if serialising else 0
    return _AttributedTime(
        hold,
        weight,
        inner[culprit_index],
        _call_path(inner[:culprit_index] or inner),
        is_serialising=bool(serialising),
    )


def _frames_until_serving(stack: tuple[StackFrame, ...]) -> Iterator[StackFrame]:
    """The frames from the innermost to the first by which the framework serves a request."""
    for frame in stack:
        yield frame
        if _is_framework_frame(frame) and frame.name in _SERVING_FUNCTIONS:
            return


def _is_framework_frame(frame: StackFrame) -> bool:
    """Whether a frame belongs to FastAPI or Starlette."""
    return frame.package in {"fastapi", "starlette"}


def _call_path(below: list[StackFrame]) -> str:
    """What the frames below a line do, first and last: `requests.get -> socket.recv_into`."""
    if not below:
        return ""
    first, last = f"{below[-1].package}.{below[-1].name}", _callee_name(below[0])
    return first if first == last else f"{first} -> {last}"


def _callee_name(frame: StackFrame) -> str:
    """What a library's frame calls, with its package; its own name where it computes."""
    if _PLAIN_CALL.fullmatch(frame.call):
        return frame.call if "." in frame.call else f"{frame.package}.{frame.call}"
    last = frame.call.rpartition(".")[2]
    return f"{frame.package}.{last if last.isidentifier() else frame.name}"


def _build_culprit(parts: list[_AttributedTime], total: float, roots: Sequence[Path]) -> Culprit:
    """Join one line's parts; what differs between them is taken from the heaviest."""
    heaviest = max(parts, key=lambda part: part.seconds)
    frame = heaviest.frame
    times: dict[int, float] = defaultdict(float)
    for part in parts:
        times[id(part.hold)] += part.seconds
    seconds = sum(times.values())
    whole = {id(part.hold): part.hold for part in parts}.values()
    duration = sum(hold.end - hold.start for hold in whole)
    return Culprit(
        file=display_path(frame.file, roots),
        line=frame.line,
        function=frame.function,
        call=frame.call,
        library=heaviest.library,
        is_serialising=heaviest.is_serialising,
        share=seconds / total,
        hold_seconds=seconds,
        holds=len(times),
        longest=max(times.values()),
        median=median(times.values()),
        blind=sum(hold.blind_time for hold in whole) / duration if duration else 0.0,
        outside_requests=sum(part.seconds for part in parts if not part.hold.is_request) / seconds,
    )


def source_roots(app_info: Mapping[str, Any]) -> list[Path]:
    """The folders relative to which an examined app's files are named."""
    return [Path(folder) for name in ("cwd", "home") if (folder := app_info.get(name))]


def display_path(file: str, roots: Sequence[Path]) -> str:
    """A file relative to the first of `roots` around it, or to the folder of installed packages."""
    for root in roots:
        if Path(file).is_relative_to(root):
            return str(Path(file).relative_to(root))
    return re.sub(r".*[/\\](?:site|dist)-packages[/\\]", "", file)
