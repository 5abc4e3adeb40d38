"""A stack frame in words: file, line, function, current call, and whether it is user code."""

import ast
import inspect
import linecache
import os
import re
import sysconfig
from collections.abc import Sequence
from enum import Enum
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

# what outlives a frame; keeping frames would destroy the user's objects in our thread
RawFrame = tuple[CodeType, int]


class Frame(NamedTuple):
    """A frame in words."""

    file: str
    line: int
    function: str
    call: str
    is_user_code: bool


GC_STACK = (Frame("<garbage collector>", 0, "", "", False),)  # the stack of collections
_MAX_FRAMES = 25  # frames of a stack that are written
_SERVING_PATHS = re.compile(
    r"[/\\](?:fastapi|starlette)[/\\](?:routing|applications|middleware)"
    r"|[/\\]uvicorn[/\\]protocols[/\\]"
)
_STARTUP_PATHS = re.compile(r"[/\\]uvicorn[/\\]lifespan[/\\]")
_PACKAGES_PATH = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
_AGENT_FOLDER = str(Path(__file__).resolve().parent) + os.sep


class FrameRole(Enum):
    """What a frame does for the app, by its file."""

    SERVES = "serves"  # answers a request
    STARTS = "starts"  # starts the app, or ends it
    AGENT = "agent"  # work of the agent itself, never a culprit
    ANY = "any"


class FrameFormatter:
    """Formats stacks; caches each place in the code, as a new place takes 0.1 ms."""

    def __init__(self, home: Path) -> None:
        self.roots = [str(root.resolve()).rstrip(os.sep) + os.sep for root in (home, Path.cwd())]
        folders = map(sysconfig.get_path, ("stdlib", "platstdlib"))
        self.stdlib_folders = [os.path.realpath(path) + os.sep for path in folders]
        # keeps the code, so that its id stays unique
        self.cache: dict[tuple[int, int], tuple[Frame, FrameRole, CodeType]] = {}

    def format_stack(self, stack: Sequence[RawFrame]) -> tuple[tuple[Frame, ...], bool]:
        """Describe a stack, and whether it serves a request; empty for the agent's own work."""
        places = [
            self.cache.get((id(code), i)) or self._describe_frame(code, i) for code, i in stack
        ]
        frames, roles = [place[0] for place in places], [place[1] for place in places]
        if not frames or FrameRole.AGENT in roles or frames[0].file.startswith(_AGENT_FOLDER):
            return (), False
        serves = FrameRole.SERVES in roles and FrameRole.STARTS not in roles
        return _shorten_stack(frames), serves

    def stack_without_line(
        self, raw: Sequence[RawFrame], stack: tuple[Frame, ...]
    ) -> tuple[Frame, ...]:
        """Return the stack from the user's outermost function on, without its line there."""
        first = None
        for i, (code, last) in enumerate(raw):
            frame, role, _ = self.cache[id(code), last]
            if role is FrameRole.SERVES:
                break
            first = i if frame.is_user_code else first
        if not stack or first is None:
            return stack
        return self.format_stack([(raw[first][0], 0), *raw[first + 1 :]])[0]

    def _describe_frame(self, code: CodeType, last: int) -> tuple[Frame, FrameRole, CodeType]:
        file = code.co_filename
        file = file if file.startswith("<") else os.path.realpath(file)
        function = getattr(code, "co_qualname", code.co_name)
        line, call = line_and_call(code, max(last, 0))
        frame = Frame(file, line, function, call, self.is_user_code(file))
        self.cache[id(code), last] = entry = frame, _frame_role(code, file), code
        return entry

    def is_user_code(self, file: str) -> bool:
        """Return whether the user wrote a file: it lies in a root, in no package or library."""
        if file.startswith(_AGENT_FOLDER):
            return False
        foreign = [path for path in self.stdlib_folders if file.startswith(path)]
        return any(
            file.startswith(root)
            and not _PACKAGES_PATH.search(file, len(root) - 1)
            and all(root.startswith(path) for path in foreign)
            for root in self.roots
        )


def _frame_role(code: CodeType, file: str) -> FrameRole:
    if _STARTUP_PATHS.search(file):
        return FrameRole.STARTS
    if file.startswith(_AGENT_FOLDER):  # its coroutines serve, its plain functions are its work
        return FrameRole.SERVES if code.co_flags & inspect.CO_COROUTINE else FrameRole.AGENT
    return FrameRole.SERVES if _SERVING_PATHS.search(file) else FrameRole.ANY


def _shorten_stack(stack: list[Frame]) -> tuple[Frame, ...]:
    """Return at most `_MAX_FRAMES`: the innermost, the user's own, and what these call."""
    half = _MAX_FRAMES // 2
    if len(stack) > _MAX_FRAMES:
        calls_on = [*(frame.is_user_code for frame in stack[1:]), False]
        stack = [
            frame for i, frame in enumerate(stack) if i < half or frame.is_user_code or calls_on[i]
        ]
    if len(stack) > _MAX_FRAMES:
        stack = [*stack[:half], *stack[half - _MAX_FRAMES :]]
    return tuple(stack)


def line_and_call(code: CodeType, last: int) -> tuple[int, str]:
    """Return line and call of an instruction; without a line of its own, the line before."""
    if hasattr(code, "co_positions"):  # 3.11: the jump back of a loop has no line
        so_far = list(islice(code.co_positions(), last // 2 + 1))
        lines = [code.co_firstlineno, *(position[0] for position in so_far if position[0])]
        return lines[-1], _find_call(_source_segment(code.co_filename, *so_far[-1]))
    lines = [line for start, end, line in code.co_lines() if start <= last < end and line]
    line = (lines or [code.co_firstlineno])[0]
    return line, find_only_call(linecache.getline(code.co_filename, line).strip())


def _source_segment(
    file: str, line: int | None, end_line: int | None, column: int | None, end_column: int | None
) -> str:
    """Return the source of an instruction; columns count bytes."""
    if line is None or end_line is None or column is None or end_column is None:
        return ""
    lines = [linecache.getline(file, number).encode() for number in range(line, end_line + 1)]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    return b"".join(lines).decode(errors="replace")


def _find_call(text: str) -> str:
    """Return what an expression calls or looks up, as a property runs code as well."""
    node: Any = _parse_source(f"({text})").body[:1]
    node = node and node[0].value
    node = node.value if isinstance(node, ast.Await) else node
    if isinstance(node, ast.Call):
        return _expression_text(node.func)
    return _expression_text(node) if isinstance(node, ast.Attribute) else ""


def find_only_call(line: str) -> str:
    """Return what a line calls if it has one call: Python 3.10 knows only the line."""
    source = _parse_source(f"{line} pass" if line.endswith(":") else line)
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    return _expression_text(calls[0].func) if len(calls) == 1 else ""


def _parse_source(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _expression_text(node: ast.expr) -> str:
    """Return the expression without the arguments of its calls, which may be secret."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            inner.args = [ast.Constant(...)] if inner.args or inner.keywords else []
            inner.keywords = []
    return ast.unparse(node)
