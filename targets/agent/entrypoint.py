"""Import the user's app as uvicorn would, wrap it in the probe, write facts or a failure.

`uvicorn --factory _atonce_agent.entrypoint:create_app` serves it; `ATONCE_AGENT` says which app.
Its two neighbours answer outside the app's middleware: on the loop, and through the threads. A file
of the driver switches the watchdog on and off.
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
from typing import Any

from . import process_stats
from .app_info import collect_app_info
from .probe import ASGIApp, Message, Probe, Receive, Scope, Send, current_trace, send_json
from .stack_frames import FrameFormatter

# annotations must not be evaluated: their names may be unknown
_TEXT_ANNOTATIONS: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    _TEXT_ANNOTATIONS["annotation_format"] = importlib.import_module("annotationlib").Format.STRING
_NO_GIL_REASON = (
    "its Python runs without the GIL, where reading another thread's stack may crash it; "
    "--env PYTHON_GIL=1 makes it safe"
)
_STARTUP_FAILED_EXIT = 3  # as uvicorn itself exits: its supervisor then starts no more workers


@dataclass(frozen=True)
class AgentConfig:
    """Which app, and for which process of which run."""

    app: str
    factory: bool
    home: str
    folder: str
    process: str
    secret: str
    census: bool = False  # whether to write the app info
    hidden: Sequence[str] = ()

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a private file of the run, atomically: several workers may write the same."""
        path = Path(self.folder, "guest", f"{name}-{self.process}.json")
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(content, default=str), encoding="utf-8")
        draft.replace(path)

    def report_failure(self, what: str, message: str, error: BaseException | None = None) -> None:
        """Write what fails in the app, at the innermost frame of the user, else outside ours."""
        file, line, function = _error_location(error, self.home) if error else (None, None, None)
        for secret in self.hidden:
            message = message.replace(secret, "***")
        facts = {"what": what, "message": message, "file": file, "line": line, "function": function}
        with contextlib.suppress(OSError):
            self.write_json("trouble", facts)


def create_app() -> Probe:
    """Return the user's app in agent and probe, as the server gets it."""
    config = AgentConfig(**json.loads(os.environ["ATONCE_AGENT"]))
    with contextlib.suppress(RuntimeError):  # before the app can make an executor of its own
        process_stats.expose_default_executor(asyncio.get_running_loop())
    agent_app = AgentApp(_import_app(config), config)
    if "starlette" in sys.modules:  # an older one loads this with the first `def` route
        with contextlib.suppress(ImportError):
            importlib.import_module("anyio.to_thread")
    log_folder = Path(config.folder, "probe")
    log_folder.mkdir(exist_ok=True)
    probe = Probe(agent_app, str(log_folder / config.process))
    if probe.trace_log:
        probe.trace_log.on_tick = agent_app.follow_switches
        agent_app.traces = probe.trace_log.active
    return probe


def _import_app(config: AgentConfig) -> Any:
    what = "cannot be imported"
    try:
        module, _, names = config.app.partition(":")
        app: Any = importlib.import_module(module)
        what = "does not exist"
        for name in names.split("."):
            app = getattr(app, name)
        if config.factory:
            what = "cannot be created by its factory"
            app = app()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's module may raise anything
        traceback.print_tb(error.__traceback__)
        print(_error_summary(error), file=sys.stderr)
        config.report_failure(what, _error_summary(error), error)
    else:
        why = _why_not_asgi(app)
        if not why:
            return app
        config.report_failure("is not an ASGI app", why)
    if parent_process():  # an old supervisor would start the next worker for ever
        os.kill(os.getppid(), signal.SIGTERM)
    raise SystemExit(_STARTUP_FAILED_EXIT)


def _why_not_asgi(app: Any) -> str:
    if not callable(app):
        is_module, kind = inspect.ismodule(app), type(app).__name__
        return f"it is the module {app.__name__}" if is_module else f"it is of type {kind}"
    try:
        signature = inspect.signature(app, **_TEXT_ANNOTATIONS)
    except Exception:  # noqa: BLE001 - written in C, or it runs the user's code
        return ""
    takes = []
    for count in range(4):
        with contextlib.suppress(TypeError):
            signature.bind(*range(count))
            takes.append(count)
    if 3 in takes:  # noqa: PLR2004 - scope, receive, send
        return ""
    if takes == [2]:
        return "it takes two arguments, as a WSGI app does"
    if 0 in takes and not inspect.iscoroutinefunction(app):
        return "it is called without arguments; if it makes the app, add --factory"
    return "it cannot be called with scope, receive and send"


def _error_summary(error: BaseException) -> str:
    """Shorten the last lines of a traceback, without the values that pydantic quotes."""
    lines = traceback.format_exception_only(type(error), error)[-1].splitlines()
    kept = [line for line in lines[:3] if "For further information" not in line]
    return " ".join(line.partition(" [type=")[0].strip() for line in kept)


def _error_location(error: BaseException, home: str) -> tuple[str | None, int | None, str | None]:
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno, "<module>"
    ours = (str(Path(__file__).parent), "<frozen", importlib.__file__)
    frames = [
        (frame.filename, frame.lineno, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours)
    ]
    formatter = FrameFormatter(Path(home))
    own = [frame for frame in frames if formatter.is_user_code(os.path.realpath(frame[0]))]
    return (own or frames)[-1] if frames else (None, None, None)


class AgentApp:
    """The user's app and its neighbours. The state: its loop, whether to watch it, the watchdog."""

    def __init__(self, app: ASGIApp, config: AgentConfig) -> None:
        self.app, self.config = app, config
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_watched = False
        self.watchdog: Any = None
        self.wait_sampler: Any = None
        self.traces: set[Any] = set()  # of the requests in flight
        self.watch_file = Path(config.folder, "guest", f"{config.process}.watch")
        self.profile_file = self.watch_file.with_suffix(".profile")
        self.neighbours = {
            f"/_atonce-{config.secret}/async": _answer_on_loop,
            f"/_atonce-{config.secret}/def": _answer_in_thread,
            f"/_atonce-{config.secret}/rest": _answer_what_is_in_progress,
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass requests on to the app, except the neighbours'."""
        if scope["type"] == "lifespan":
            return self._run_lifespan(scope, receive, send)
        neighbour = self.neighbours.get(scope.get("path", ""))
        return neighbour(send) if neighbour else self.app(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app's lifespan unchanged, or answer for an app that has none."""
        message_types: list[str] = []

        async def forward_message(message: Message) -> None:
            message_types.append(message["type"])
            if message_types[-1] == "lifespan.startup.complete":
                await self.on_started()
            if message_types[-1] == "lifespan.startup.failed":
                reason = message.get("message", "").strip() or "it does not say why"
                self.config.report_failure("fails in its start-up code", reason.splitlines()[-1])
            await send(message)

        try:
            try:
                await self.app(scope, receive, forward_message)
            except BaseException as error:
                if message_types == ["lifespan.startup.failed"]:
                    self.config.report_failure(
                        "fails in its start-up code", _error_summary(error), error
                    )
                if message_types or not isinstance(error, Exception):
                    raise
            if not message_types:  # this app knows no lifespan; uvicorn does the same
                await forward_message({"type": "lifespan.startup.complete"})
                while (await receive())["type"] != "lifespan.shutdown":
                    pass
                await forward_message({"type": "lifespan.shutdown.complete"})
        finally:
            loop, self.loop = self.loop, None
            self.stop_watchdog()
            if loop and self.wait_sampler:
                self.switch_wait_sampler(loop)

    async def on_started(self) -> None:
        """Write the app info, if asked to. An error of ours must not fail the app."""
        loop, config = asyncio.get_running_loop(), self.config
        try:
            if config.census:
                # in a thread: it may take seconds, and the app's loop goes on
                with ThreadPoolExecutor(1) as executor:
                    collecting = loop.run_in_executor(executor, collect_app_info, self.app, loop)
                    config.write_json("census", await collecting)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
        self.loop = loop

    def follow_switches(self) -> None:
        """Start the watchdog and the wait sampler when the driver's files appear, else stop them.

        The trace log's thread calls it; the watchdog must start in the loop's.
        """
        loop, wanted = self.loop, self.watch_file.exists()
        if loop and self.profile_file.exists() != bool(self.wait_sampler):
            self.switch_wait_sampler(loop)
        if loop is None or wanted == self.is_watched:
            return
        self.is_watched = wanted
        if not wanted:
            self.stop_watchdog()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.start_watchdog, loop)

    def start_watchdog(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the watchdog, unless it is no longer wanted, or write why it cannot start."""
        if not self.is_watched or self.watchdog:
            return
        config, why = self.config, ""
        try:
            if getattr(sys, "_is_gil_enabled", lambda: True)():
                from .watchdog import Watchdog  # noqa: PLC0415 - of no use otherwise

                path = Path(config.folder, "holds", f"{config.process}-{os.getpid()}.jsonl")
                path.parent.mkdir(exist_ok=True)
                self.watchdog = Watchdog(path, Path(config.home))
                self.watchdog.start(loop)
            else:
                why = _NO_GIL_REASON
        except Exception as error:  # noqa: BLE001 - an error of ours must not fail the app
            traceback.print_exc()
            why = _error_summary(error)
        if why:
            with contextlib.suppress(OSError):
                config.write_json("unwatched", {"why": why})

    def list_requests(self) -> list[Any]:
        """Return the coroutines of the requests in flight, without the neighbours'."""
        ours = {answer.__code__ for answer in self.neighbours.values()}
        coroutines = [trace.coroutine for trace in list(self.traces)]
        return [it for it in coroutines if it and getattr(it, "cr_code", None) not in ours]

    def switch_wait_sampler(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the wait sampler, or stop it. An error of ours must not fail the app."""
        sampler, self.wait_sampler = self.wait_sampler, None
        try:
            if sampler:
                sampler.stop()
                return
            from .wait_sampler import WaitSampler  # noqa: PLC0415 - of no use otherwise

            path = Path(self.config.folder, "waits", f"{self.config.process}-{os.getpid()}.jsonl")
            path.parent.mkdir(exist_ok=True)
            self.wait_sampler = WaitSampler(path, Path(self.config.home), self.list_requests)
            self.wait_sampler.start(loop)
        except Exception:  # noqa: BLE001
            traceback.print_exc()

    def stop_watchdog(self) -> None:
        """Stop the watchdog, if there is one."""
        watchdog, self.watchdog = self.watchdog, None
        if watchdog:
            watchdog.stop()


async def _answer_on_loop(send: Send) -> None:
    """Answer as the `async` neighbour: slow only while a route holds the loop."""
    await send_json(send, {"neighbour": "async"})


async def _answer_in_thread(send: Send) -> None:
    """Answer as the `def` neighbour: slow also when all threads are taken. Needs AnyIO."""
    to_thread, trace = sys.modules.get("anyio.to_thread"), current_trace.get()
    if to_thread is None or trace is None:
        await send_json(send, {"neighbour": "none"}, 404)
    else:
        kind = await to_thread.run_sync(trace.time_handler, lambda: "def")
        await send_json(send, {"neighbour": kind})


async def _answer_what_is_in_progress(send: Send) -> None:
    """Answer what is in progress here, so that the driver sees when the app rests again."""
    loop = asyncio.get_running_loop()
    limiter, (_, waiting) = process_stats.thread_limiter(), process_stats.longest_queue_pool(loop)
    counts = {
        "tasks": len(asyncio.all_tasks(loop)),
        "threads": limiter.borrowed_tokens if limiter else 0,
        "queued": (process_stats.count_queued_calls(loop) or 0) + (waiting or 0),
    }
    await send_json(send, counts)
