"""Takes the user's app in: imports it as uvicorn would, wraps it in the probe, writes down what it is, or why it cannot be had.

`uvicorn --factory _atonce_agent.entrypoint:lodge` serves it; the environment's `ATONCE_AGENT` says which app. It adds two
neighbours of its own, outside the app's middleware: one answers on the loop, one through the threads of `def` routes.
"""

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NoReturn

from .app_info import census
from .probe import ASGIApp, Message, Probe, Receive, Scope, Send, current_visit
from .process_stats import show_executor
from .stack_frames import Words

AS_TEXT: dict[str, Any] = {}  # annotations are not to be worked out: their names may be unknown
if sys.version_info >= (3, 14):
    AS_TEXT["annotation_format"] = importlib.import_module("annotationlib").Format.STRING
NO_GIL = (
    "its Python runs without the GIL, where to look at the stack of another thread may crash it; "
    "--env PYTHON_GIL=1 lets the watchdog look"
)
FAILED = 3  # uvicorn's own exit code for a start-up that failed; its supervisor of workers gives up on it


@dataclass(frozen=True)
class Order:
    """Which app, and for which act of which run."""

    app: str
    factory: bool
    home: str
    folder: str
    act: str
    secret: str
    watch: bool
    hidden: Sequence[str] = ()

    def write(self, what: str, told: dict[str, Any]) -> None:
        """A file beside the run, at one stroke: several workers may write the same. It is nobody else's to read."""
        path = Path(self.folder, "guest", f"{what}-{self.act}.json")
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(told, default=str), encoding="utf-8")
        draft.replace(path)


def lodge() -> Probe:
    """The app as the server is to see it."""
    order = Order(**json.loads(os.environ["ATONCE_AGENT"]))
    with contextlib.suppress(RuntimeError):  # before the app can make an executor of its own
        show_executor(asyncio.get_running_loop())
    lodger = Lodger(had(order), order)
    if "starlette" in sys.modules:  # an older one loads this with the first `def` route
        with contextlib.suppress(ImportError):
            importlib.import_module("anyio.to_thread")
    journals = Path(order.folder, "probe")
    journals.mkdir(exist_ok=True)
    return Probe(lodger, str(journals / order.act))


def had(order: Order) -> Any:
    """The user's app. Where it cannot be had, says why and ends the process."""
    kind = "import"
    try:
        module, _, names = order.app.partition(":")
        found: Any = importlib.import_module(module)
        kind = "attribute"
        for name in names.split("."):
            found = getattr(found, name)
        if order.factory:
            kind = "factory"
            found = found()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's module does
        traceback.print_tb(error.__traceback__)
        print(last_line(error), file=sys.stderr)
        leave(order, kind, last_line(error), error)
    if why := no_asgi(found):
        leave(order, "not-asgi", why)
    return found


def no_asgi(app: Any) -> str:
    """Why something is no ASGI app; empty where nothing speaks against it."""
    if not callable(app):
        return f"it is the module {app.__name__}" if inspect.ismodule(app) else f"it is of type {type(app).__name__}"
    try:
        signature = inspect.signature(app, **AS_TEXT)
    except Exception:  # noqa: BLE001 - written in C, or it runs what somebody has written
        return ""
    takes = [count for count in range(4) if binds(signature, count)]
    if 3 in takes:  # noqa: PLR2004 - scope, receive, send
        return ""
    if takes == [2]:
        return "it takes two arguments, as a WSGI app does"
    if 0 in takes and not inspect.iscoroutinefunction(app):
        return "it is called without arguments; if it makes the app, add --factory"
    return "it cannot be called with scope, receive and send"


def binds(signature: inspect.Signature, count: int) -> bool:
    """Whether something can be called with so many arguments."""
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def leave(order: Order, kind: str, message: str, error: BaseException | None = None) -> NoReturn:
    """Tell why, and end this process; an old supervisor would start the next worker for ever."""
    tell(order, kind, message, error)
    if parent_process():
        os.kill(os.getppid(), signal.SIGTERM)
    raise SystemExit(FAILED)


def tell(order: Order, kind: str, message: str, error: BaseException | None = None) -> None:
    """Write the trouble down, with the innermost place in the user's code, else in anybody's but ours."""
    file, line, function = place(error, order.home) if error else (None, None, None)
    for secret in order.hidden:
        message = message.replace(secret, "***")
    with contextlib.suppress(OSError):
        order.write("trouble", {"kind": kind, "message": message, "file": file, "line": line, "function": function})


def last_line(error: BaseException) -> str:
    """The last line of a traceback; of a long complaint its beginning, without the values that pydantic quotes."""
    lines = traceback.format_exception_only(type(error), error)[-1].splitlines()
    return " ".join(line.partition(" [type=")[0].strip() for line in lines[:3] if "For further information" not in line)


def place(error: BaseException, home: str) -> tuple[str | None, int | None, str | None]:
    """Where an exception comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno, "<module>"
    ours = str(Path(__file__).parent)
    frames = [(one.filename, one.lineno, one.name) for one in traceback.extract_tb(error.__traceback__)]
    others = [one for one in frames if not one[0].startswith((ours, "<frozen", importlib.__file__))]
    words = Words(Path(home))
    mine = [one for one in others if words.is_mine(os.path.realpath(one[0]))]
    return (mine or others)[-1] if others else (None, None, None)


class Lodger:
    """The user's app and its two neighbours; beyond its watch it keeps nothing."""

    def __init__(self, app: ASGIApp, order: Order) -> None:
        self.app = app
        self.order = order
        self.watch: Any = None
        self.neighbours = {f"/_atonce-{order.secret}/async": on_the_loop, f"/_atonce-{order.secret}/def": in_a_thread}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand on, but for the neighbours."""
        if scope["type"] == "lifespan":
            return self.live(scope, receive, send)
        neighbour = self.neighbours.get(scope.get("path", ""))
        return neighbour(send) if neighbour else self.app(scope, receive, send)

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's lifespan, unchanged. For an app that has none somebody stands in: the probe lives as long as the server."""
        said: list[str] = []

        async def listen(message: Message) -> None:
            said.append(message["type"])
            if said[-1] == "lifespan.startup.complete":
                await self.move_in()
            if said[-1] == "lifespan.startup.failed":
                words = message.get("message", "").strip().splitlines() or ["it does not say why"]
                tell(self.order, "startup", words[-1])
            await send(message)

        try:
            try:
                await self.app(scope, receive, listen)
            except BaseException as error:
                if said == ["lifespan.startup.failed"]:
                    tell(self.order, "startup", last_line(error), error)
                if said or not isinstance(error, Exception):
                    raise
            if not said:  # as uvicorn does: this app knows no lifespan
                await listen({"type": "lifespan.startup.complete"})
                while (await receive())["type"] != "lifespan.shutdown":
                    pass
                await listen({"type": "lifespan.shutdown.complete"})
        finally:
            if self.watch:
                self.watch.stop()

    async def move_in(self) -> None:
        """The app is there: write down what it is, and begin to watch it. A fault of ours is not to be its own."""
        loop = asyncio.get_running_loop()
        try:
            if self.order.act == "idle":  # of another process nobody reads it
                with ThreadPoolExecutor(1) as ours:  # it may take seconds: the app's loop goes on
                    told = await loop.run_in_executor(ours, census, self.app, loop)
                self.order.write("census", told)
            if self.order.watch and not getattr(sys, "_is_gil_enabled", lambda: True)():
                self.order.write("unwatched", {"why": NO_GIL})
            elif self.order.watch:
                from .watchdog import Watch  # noqa: PLC0415 - of no use otherwise

                path = Path(self.order.folder, "holds", f"{self.order.act}-{os.getpid()}.jsonl")
                path.parent.mkdir(exist_ok=True)
                self.watch = Watch(path, Path(self.order.home))
                self.watch.start(loop)
        except Exception:  # noqa: BLE001
            traceback.print_exc()


async def on_the_loop(send: Send) -> None:
    """The async neighbour: slow only when somebody holds the loop."""
    await answer(send, "async")


async def in_a_thread(send: Send) -> None:
    """The `def` neighbour: slow also when all threads are taken. An app without AnyIO has no such threads."""
    to_thread, visit = sys.modules.get("anyio.to_thread"), current_visit.get()
    if to_thread is None or visit is None:
        await answer(send, "none", 404)
    else:
        await answer(send, await to_thread.run_sync(visit.in_thread, lambda: "def"))


async def answer(send: Send, who: str, status: int = 200) -> None:
    """A short answer, once."""
    body = json.dumps({"neighbour": who}, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
