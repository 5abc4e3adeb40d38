"""The lines that hold the event loop: one `Culprit` per line, from what the watchdog wrote.

The culprit of a stack is the innermost line of the user's code, unless the part of the framework
that serves requests lies further in: a middleware that awaits the app does not cause what the
framework does then. Without such a line it is the framework's work on the answer, or the innermost.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from results.records import Hold, StackFrame, StackTime, decode_app_line
from results.run_info import AppInfo
from results.spool import read_spool

_PACKAGE_PATH = re.compile(
    r"/(?:site-packages|dist-packages|python3\.\d+)/"
    r"(?!site-packages|dist-packages)([^/]+?)(?:\.py)?(?:/|$)"
)
_PLAIN_CALL = re.compile(r"(?!self\b|cls\b)[A-Za-z]\w*(\.\w+)*")
# functions of fastapi and starlette by which one layer calls the next
_SERVING_FUNCTIONS = {"__call__", "app"}
_REQUEST = "request"  # the context of a hold in which a request was served
_GC_FRAME = "<garbage collector>"  # the only frame of its stack
# functions that turn what a handler returned into an answer
_SERIALISING_FUNCTIONS = {"serialize_response", "jsonable_encoder", "render"}


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
    share: float  # of all the time that a stack holds the loop
    hold_seconds: float
    holds: int
    longest: float
    median: float
    blind: float  # share of its holds in which the watchdog could not sample
    outside_requests: float  # share of its time outside any request
    computing: float | None = None  # share of its holds in which the loop's thread computed

    @property
    def location(self) -> tuple[str, int]:
        """File and line."""
        return self.file, self.line


@dataclass(frozen=True, slots=True)
class LoopHolds:
    """What holds the loop in a window, in seconds."""

    seconds: float  # under a stack
    unattributed: float  # without a stack: others kept the loop from running
    culprits: tuple[Culprit, ...]
    gc_seconds: float = 0.0  # seconds of garbage collections, which no line causes


def read_holds(folder: Path, session: str, origin: float) -> list[Hold]:
    """Return all processes' holds of a session in seconds since `origin`.

    What a killed process left half written is left out.
    """
    # not another session's: `route-01-watch` also begins with `route-01`
    process_file = re.compile(rf"{re.escape(session)}-\d+")
    paths = [path for path in sorted(folder.glob("*.jsonl")) if process_file.fullmatch(path.stem)]
    lines = (line for path in paths for line in read_spool(path, decode_app_line))
    return [
        msgspec.structs.replace(line, start=line.start - origin, end=line.end - origin)
        for line in lines
        if isinstance(line, Hold)
    ]


def merge_holds(holds: Iterable[Hold]) -> list[Hold]:
    """Join the pieces of holds: those that begin exactly where another ended."""
    merged: list[Hold] = []
    for hold in holds:
        last = merged[-1] if merged else None
        if last is None or last.end != hold.start:
            merged.append(hold)
            continue
        context = last.context if last.context == _REQUEST else hold.context
        blind, stacks = last.blind + hold.blind, last.stacks + hold.stacks
        ran = None if last.ran is None or hold.ran is None else last.ran + hold.ran
        merged[-1] = Hold(last.start, hold.end, context, blind, stacks, ran)
    return merged


def summarise_holds(
    holds: Iterable[Hold], windows: Sequence[tuple[float, float]], roots: Sequence[Path]
) -> LoopHolds:
    """Return what holds the loop in some windows, in seconds; name files by `roots`."""
    parts: dict[tuple[str, int, str], list[_AttributedTime]] = defaultdict(list)
    total = unattributed = gc_seconds = 0.0
    for hold in merge_holds(holds):
        middle = (hold.start + hold.end) / 2
        if not any(start <= middle < end for start, end in windows):
            continue
        for stack in hold.stacks:
            if stack.seconds <= 0:
                continue  # less than the watchdog writes: rounded to zero, it names no culprit
            if not stack.frames:
                unattributed += stack.seconds
            elif stack.frames[0].file == _GC_FRAME:
                gc_seconds += stack.seconds
            else:
                total += stack.seconds
                part = _attribute_stack(hold, stack)
                parts[part.frame.file, part.frame.line, part.frame.function].append(part)
    culprits = [_build_culprit(item, total, roots) for item in parts.values()]
    culprits.sort(key=lambda item: -item.share)
    return LoopHolds(total, unattributed, tuple(culprits), gc_seconds)


class _AttributedTime(NamedTuple):
    hold: Hold
    seconds: float
    frame: StackFrame
    library: str
    is_serialising: bool


def frames_of_one_layer(frames: Sequence[StackFrame]) -> Sequence[StackFrame]:
    """Return the frames from the innermost one to where the framework calls the next layer."""
    serving = (i for i, frame in enumerate(frames) if _is_framework(frame, _SERVING_FUNCTIONS))
    return frames[: next(serving, len(frames)) + 1]


def _attribute_stack(hold: Hold, stack: StackTime) -> _AttributedTime:
    inner = frames_of_one_layer(stack.frames)
    own = [i for i, frame in enumerate(inner) if frame.is_user_code]
    answering = [i for i, frame in enumerate(inner) if _is_framework(frame, _SERIALISING_FUNCTIONS)]
    culprit = own[0] if own else (answering or [0])[-1]
    below = inner[:culprit] or ([] if own else inner)
    is_serialising = not own and bool(answering)
    return _AttributedTime(hold, stack.seconds, inner[culprit], _call_path(below), is_serialising)


def _own_name(frame: StackFrame) -> str:
    return frame.function.rpartition(".")[2]


def _package(frame: StackFrame) -> str:
    """Return what a file was installed as, or the module: `requests`, `json`, `importlib`."""
    path = frame.file.replace("\\", "/")
    file = path.rpartition("/")[2].removeprefix("<frozen ")
    return str((_PACKAGE_PATH.findall(path) or re.findall(r"\w+", file)[:1])[-1])


def _is_framework(frame: StackFrame, functions: set[str]) -> bool:
    return _own_name(frame) in functions and _package(frame) in {"fastapi", "starlette"}


def _call_path(below: Sequence[StackFrame]) -> str:
    """Return the frames below a line, first and last: `requests.get -> socket.recv_into`."""
    if not below:
        return ""
    first, last = f"{_package(below[-1])}.{_own_name(below[-1])}", _callee_name(below[0])
    return first if first == last else f"{first} -> {last}"


def _callee_name(frame: StackFrame) -> str:
    """Return what a library's frame calls, with its package; its own name where it computes."""
    if _PLAIN_CALL.fullmatch(frame.call):
        return frame.call if "." in frame.call else f"{_package(frame)}.{frame.call}"
    last = frame.call.rpartition(".")[2]
    return f"{_package(frame)}.{last if last.isidentifier() else _own_name(frame)}"


def _build_culprit(parts: list[_AttributedTime], total: float, roots: Sequence[Path]) -> Culprit:
    """Join one line's parts; the heaviest gives what differs between them."""
    heaviest = max(parts, key=lambda part: part.seconds)
    frame = heaviest.frame
    times: dict[int, float] = defaultdict(float)
    for part in parts:
        times[id(part.hold)] += part.seconds
    seconds = sum(times.values())
    holds = {id(part.hold): part.hold for part in parts}.values()
    duration = sum(hold.end - hold.start for hold in holds)
    # a sample taken after the hold's end is blind for longer than the hold
    blind = sum(min(hold.blind, hold.end - hold.start) for hold in holds)
    ran = [hold.ran for hold in holds if hold.ran is not None]
    # a hold's time without a stack is no code's: its thread waited for the core
    known = sum(x.seconds for hold in holds for x in hold.stacks if x.frames)
    outside = sum(part.seconds for part in parts if part.hold.context != _REQUEST)
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
        blind=blind / duration if duration else 0.0,
        outside_requests=outside / seconds,
        computing=min(1.0, sum(ran) / known) if len(ran) == len(holds) and known else None,
    )


def source_roots(app_info: AppInfo) -> list[Path]:
    """Return the folders relative to which an examined app's files are named."""
    return [Path(folder) for folder in (app_info.cwd, app_info.home) if folder]


def display_path(file: str, roots: Sequence[Path]) -> str:
    """Return a file relative to the first of `roots` around it, or to the installed packages."""
    for root in roots:
        if Path(file).is_relative_to(root):
            return str(Path(file).relative_to(root))
    return re.sub(r".*[/\\](?:site|dist)-packages[/\\]", "", file)
