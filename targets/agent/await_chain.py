"""Where a request waits: the chain of awaits from its first coroutine on, read from outside.

A thread reads it while the loop runs or is held. It creates no frame's dictionary of locals, as
that would keep the app's objects alive: the collector names what a coroutine refers to. It looks
at such objects in frames of the known libraries in `_JOINS` only, to find the tasks that work for
the one that waits.
"""

import asyncio
import gc
from collections.abc import Iterator
from itertools import chain
from types import AsyncGeneratorType, CodeType, CoroutineType, GeneratorType
from typing import Any, NamedTuple

from .stack_frames import RawFrame

_MAX_LINKS = 200  # of one chain; and branches of one request
_MAX_BRANCHES = 32

# coroutines of libraries that wait for other tasks: the function, and how the file's name ends
_JOINS = {
    "wait_for": ("/asyncio/tasks.py",),
    "wait": ("/asyncio/tasks.py",),
    "_wait": ("/asyncio/tasks.py",),
    "__aexit__": ("/asyncio/taskgroups.py", "/anyio/_backends/_asyncio.py"),
    "_aexit": ("/asyncio/taskgroups.py",),
    "__call__": ("/starlette/middleware/base.py",),
}
_TASK_GROUPS = {("asyncio.taskgroups", "TaskGroup"), ("anyio._backends._asyncio", "TaskGroup")}


class AwaitChain(NamedTuple):
    """One branch of a request's chain of awaits, the outermost first."""

    frames: list[RawFrame]
    coroutines: list[Any]  # one for each frame; none of them may outlive the look
    awaited: Any  # what the innermost waits for: a future mostly; None while it runs

    @property
    def key(self) -> tuple[int, ...]:
        """Numbers for its places in the code: the hash of a code object takes far longer."""
        return tuple(chain.from_iterable((id(code), last) for code, last in self.frames))


def await_chains(awaitable: Any) -> Iterator[AwaitChain]:
    """Yield each branch of the chain of awaits that starts here, with its tasks' chains."""
    begun, seen, count = [AwaitChain([], [], awaitable)], set[int](), 0
    while begun and count < _MAX_BRANCHES:
        branch = _follow(*begun.pop())
        tasks = [task for task in _tasks_waited_for(branch) if id(task) not in seen]
        seen.update(map(id, tasks))
        begun += [
            AwaitChain([*branch.frames], [*branch.coroutines], task.get_coro()) for task in tasks
        ]
        if not tasks:
            count += 1
            yield branch


def _follow(frames: list[RawFrame], coroutines: list[Any], here: Any) -> AwaitChain:
    """Follow a chain within its task; the lists grow."""
    for _ in range(_MAX_LINKS):
        kind = type(here)
        if kind is CoroutineType:
            frame, inner = here.cr_frame, here.cr_await
        elif kind is AsyncGeneratorType:
            frame, inner = here.ag_frame, here.ag_await
        elif kind is GeneratorType:
            frame, inner = here.gi_frame, here.gi_yieldfrom
        elif asyncio.isfuture(here):
            break
        else:  # compiled, or C code between two of them, such as the iterator of a future
            frame = getattr(here, "cr_frame", None)
            inner = getattr(here, "cr_await", None) or next(
                filter(_is_link, gc.get_referents(here)), None
            )
        if frame is not None:
            frames.append((frame.f_code, frame.f_lasti))
            coroutines.append(here)
        here = inner
        if here is None:
            break
    return AwaitChain(frames, coroutines, here)


def _is_link(thing: Any) -> bool:
    return asyncio.isfuture(thing) or any(
        hasattr(thing, name) for name in ("cr_await", "gi_yieldfrom", "ag_await")
    )


def _tasks_waited_for(branch: AwaitChain) -> list[Any]:
    """Return the tasks that work for the one that waits at the end of a branch."""
    awaited = branch.awaited
    if isinstance(awaited, asyncio.Task):
        return [awaited]
    if children := getattr(awaited, "_children", None):  # of `asyncio.gather`
        return _pending(children)
    for (code, _), coroutine in zip(
        reversed(branch.frames), reversed(branch.coroutines), strict=True
    ):
        if _is_join(code) and (tasks := _tasks_of(gc.get_referents(coroutine))):
            return tasks
    return []


def _is_join(code: CodeType) -> bool:
    ends = _JOINS.get(code.co_name)
    return ends is not None and code.co_filename.replace("\\", "/").endswith(ends)


def _tasks_of(things: list[Any]) -> list[Any]:
    """Return the pending tasks among the locals of a library's coroutine."""
    tasks = []
    for thing in things:
        kept = getattr(thing, "cell_contents", thing) if type(thing).__name__ == "cell" else thing
        kind = type(kept)
        if (kind.__module__, kind.__qualname__) in _TASK_GROUPS:
            tasks += [*getattr(kept, "_tasks", ())]
        elif isinstance(kept, set | list | tuple):
            tasks += [*kept]
        else:
            tasks.append(kept)
    return _pending(tasks)


def _pending(tasks: Any) -> list[Any]:
    kept = {id(x): x for x in tasks if isinstance(x, asyncio.Task) and not x.done()}
    return list(kept.values())
