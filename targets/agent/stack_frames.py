"""What a frame of a stack is called: file, line, function, the call under way, and whether it is the user's own code."""

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
from typing import Any

Raw = tuple[CodeType, int]  # of a frame, all that outlives it: keeping frames would end the user's objects in our thread
Frame = tuple[str, int, str, str, bool]  # file, line, function, call, mine

COLLECTOR: tuple[Frame, ...] = (("<garbage collector>", 0, "", "", False),)  # a stack of its own
DEEPEST = 25  # frames of a stack that are told
SERVING = re.compile(r"[/\\](?:fastapi|starlette)[/\\](?:routing|applications|middleware)|[/\\]uvicorn[/\\]protocols[/\\]")
STARTING = re.compile(r"[/\\]uvicorn[/\\]lifespan[/\\]")
PACKAGES = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
AGENT = str(Path(__file__).resolve().parent) + os.sep


class Part(Enum):
    """What a frame does in the life of an app, as far as its file tells."""

    SERVES = "serves"
    """Answers a request."""
    STARTS = "starts"
    """Starts the app, or ends it."""
    GUESTS = "guests"
    """Work of the guest's own, which is nobody's fault."""
    ANY = "any"
    """Everything else."""


class Words:
    """Puts stacks into words; each place in the code is worked out once, which takes a tenth of a millisecond."""

    def __init__(self, home: Path) -> None:
        self.roots = [str(root.resolve()).rstrip(os.sep) + os.sep for root in (home, Path.cwd())]
        self.standard = [os.path.realpath(path) + os.sep for path in map(sysconfig.get_path, ("stdlib", "platstdlib"))]
        self.known: dict[tuple[int, int], tuple[Frame, Part, CodeType]] = {}  # the code, so that its id stays its own

    def of(self, stack: Sequence[Raw]) -> tuple[tuple[Frame, ...], bool]:
        """A stack, innermost first, and whether it answers a request; empty where the guest itself is at work."""
        told = [self.known.get((id(code), last)) or self.learn(code, last) for code, last in stack]
        parts = [part for _, part, _ in told]
        if not told or Part.GUESTS in parts or told[0][0][0].startswith(AGENT):
            return (), False
        return shortened([frame for frame, _, _ in told]), Part.SERVES in parts and Part.STARTS not in parts

    def without_line(self, raw: Sequence[Raw], stack: tuple[Frame, ...]) -> tuple[Frame, ...]:
        """A stack whose lines are not known: from the function on by which the user's own code began."""
        first = None
        for i, (code, last) in enumerate(raw):
            frame, part, _ = self.known[id(code), last]
            if part is Part.SERVES:
                break
            first = i if frame[4] else first
        return stack if not stack or first is None else self.of([(raw[first][0], 0), *raw[first + 1 :]])[0]

    def learn(self, code: CodeType, last: int) -> tuple[Frame, Part, CodeType]:
        """One place in the code."""
        named = code.co_filename
        file = named if named.startswith("<") else os.path.realpath(named)
        line, call = place_of(code, max(last, 0))
        frame = (file, line, getattr(code, "co_qualname", code.co_name), call, self.is_mine(file))
        self.known[id(code), last] = told = frame, part_of(code, file), code
        return told

    def is_mine(self, file: str) -> bool:
        """Whether the user wrote it. An app may itself be installed among packages: what counts is the path from its home on."""
        if file.startswith(AGENT):
            return False
        foreign = [path for path in self.standard if file.startswith(path)]
        return any(
            file.startswith(root) and not PACKAGES.search(file, len(root) - 1) and all(root.startswith(path) for path in foreign)
            for root in self.roots
        )


def part_of(code: CodeType, file: str) -> Part:
    """The guest's coroutines hand requests on; its plain functions work for themselves."""
    if STARTING.search(file):
        return Part.STARTS
    if file.startswith(AGENT):
        return Part.SERVES if code.co_flags & inspect.CO_COROUTINE else Part.GUESTS
    return Part.SERVES if SERVING.search(file) else Part.ANY


def shortened(stack: list[Frame]) -> tuple[Frame, ...]:
    """At most so many frames: the innermost ones, the user's own, and what these call."""
    if len(stack) > DEEPEST:
        calls_on = [mine for *_, mine in stack[1:]] + [False]
        stack = [frame for i, frame in enumerate(stack) if i < DEEPEST // 2 or frame[4] or calls_on[i]]
    if len(stack) > DEEPEST:
        stack = [*stack[: DEEPEST // 2], *stack[-(DEEPEST - DEEPEST // 2) :]]
    return tuple(stack)


def place_of(code: CodeType, last: int) -> tuple[int, str]:
    """Line and call of an instruction. Some have no line (3.11: the jump back of a loop): they count to the one before."""
    if hasattr(code, "co_positions"):
        so_far = list(islice(code.co_positions(), last // 2 + 1))
        line = next((one[0] for one in reversed(so_far) if one[0]), code.co_firstlineno)
        return line, call_in(segment(code.co_filename, *so_far[-1]))
    line = next((line for start, end, line in code.co_lines() if start <= last < end and line), code.co_firstlineno)
    return line, only_call_in(linecache.getline(code.co_filename, line).strip())


def segment(file: str, line: int | None, end_line: int | None, column: int | None, end_column: int | None) -> str:
    """The piece of source that an instruction was made from; its columns count bytes."""
    if line is None or end_line is None or column is None or end_column is None:
        return ""
    lines = [linecache.getline(file, number).encode() for number in range(line, end_line + 1)]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    return b"".join(lines).decode(errors="replace")


def call_in(text: str) -> str:
    """What an expression calls, or looks up: a property and a lazy attribute work as well."""
    node: Any = parsed(f"({text})").body[:1]
    node = node and node[0].value
    node = node.value if isinstance(node, ast.Await) else node
    return name_of(node.func) if isinstance(node, ast.Call) else name_of(node) if isinstance(node, ast.Attribute) else ""


def only_call_in(line: str) -> str:
    """What a line calls if it calls one thing: before Python 3.11 an instruction knows no more than its line."""
    calls = [node for node in ast.walk(parsed(f"{line} pass" if line.endswith(":") else line)) if isinstance(node, ast.Call)]
    return name_of(calls[0].func) if len(calls) == 1 else ""


def parsed(text: str) -> ast.Module:
    """The statements of a text; none where it is not Python by itself."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def name_of(node: ast.expr) -> str:
    """An expression as it is written, but for the arguments of calls inside it, which may be anybody's secret."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            inner.args = [ast.Constant(...)] if inner.args or inner.keywords else []
            inner.keywords = []
    return ast.unparse(node)
