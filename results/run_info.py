"""What run.json keeps of a run: where, when and how it measured, with which plan.

Older formats are read: what was named or kept otherwise is brought into today's shape.
"""

import json
import math
from typing import Any

import msgspec
from msgspec import Struct

from results.schema import Amount, Cell, Count, Status

# keys of formats before 7
_OLD_KEYS = {
    "acts": "sessions",
    "asks": "extra_requests",
    "told": "answers",
    "patient": "app",
    "rest": "idle_span",
}
_OLD_ROUTE_KEYS = {
    "act": "session",
    "wrong": "fault",
    "unfit": "unmeasured",
    "polite": "smoke_seconds",
}


class Clock(Struct):
    """The clock's resolution (seconds), and how often it stepped back in many reads."""

    resolution: Amount = 0.0
    backward: Count = 0


class Machine(Struct, kw_only=True):
    """The facts of a machine that move a measurement; None where unknown."""

    system: str | None = None
    python: str = ""
    cpu: str | None = None
    cpus: Count | None = None
    cpu_limit: Amount | None = None  # of the container, in cores
    memory_bytes: int | None = None
    busy_before: Amount | None = None  # share of the CPU that others used before the run
    clock: Clock | None = None
    app_core: int | None = None
    locust_core: int | None = None


class Plan(Struct, kw_only=True):
    """The cells of a run, and notes on what it does not measure."""

    seconds: Amount | None = None  # the wait in every variant
    notes: list[str] = []
    cells: list[Cell] = []


class Answer(Struct):
    """The app's answer to one extra request."""

    status: int
    body: str


class SessionAnswers(Struct):
    """The answers to a session's extra requests, by path, and the app's log without load."""

    answers: list[dict[str, Answer]]
    log: str = ""


class SkippedSession(Struct):
    """Why a session did not run, and its cells."""

    why: str
    cells: list[str]


class Runtime(Struct, kw_only=True):
    """What ran in a server's process; None where it did not say."""

    pid: int | None = None
    python: str | None = None
    loop: str | None = None
    http_parser: str | None = None
    thread_tokens: int | float | None = None  # infinite where the app lifted the limit
    executor_size: int | float | None = None
    cpus: list[int] | None = None  # that the process might use
    cpu_count: int | None = None  # that its Python counts
    frozen: list[tuple[float, float]] = []  # when a server stood still on purpose

    @property
    def thread_limit(self) -> int | None:
        """How many of AnyIO's threads may run at once; None where unknown or unlimited."""
        return _whole_number(self.thread_tokens)

    @property
    def executor_limit(self) -> int | None:
        """How many threads the loop's default executor may have; None where unknown."""
        return _whole_number(self.executor_size)


def _whole_number(size: float | None) -> int | None:
    return math.ceil(size) if size is not None and math.isfinite(size) else None


class AppInfo(Struct, kw_only=True, omit_defaults=True):
    """The examined app, and the interpreter that runs it."""

    app: str = ""
    how: str = ""
    workers: int | None = None
    home: str = ""
    cwd: str = ""
    python: str | None = None
    uvicorn: bool | None = None
    uvloop: bool | None = None
    framework: dict[str, str | None] | None = None


class RouteRecord(Struct, kw_only=True):
    """What became of one route of an examined app; reasons are None where there is none."""

    route: str
    path: str = ""
    skipped: str | None = None  # why it was not loaded
    is_async: bool | None = None
    file: str | None = None
    line: int | None = None
    session: str = ""  # the processes that measured it; empty if none did
    fault: str | None = None  # what is wrong with its answer to a single request
    unmeasured: str | None = None  # why it was not measured, or not far enough
    unwatched: str | None = None  # why no watchdog ran
    notes: list[str] = []
    smoke_seconds: list[float] = []  # how long its single requests took
    status: int | None = None

    @property
    def is_unreached(self) -> bool:
        """Whether it was not reached at all: no time was left, or the run ended before."""
        return bool(self.unmeasured) and not self.session


class RunInfo(Struct, kw_only=True):
    """The content of run.json; times in seconds."""

    format: int = 0
    run: str = ""  # the name of its folder
    command: str = ""
    scenario: str | None = None
    host: str | None = None  # None where the target is ours
    status: Status = Status.RUNNING
    started: str = ""
    origin: float = 0.0  # the reading of the monotonic clock from which all times count
    seconds: Amount | None = None  # how long it took
    seed: int = 0
    schedule: str = ""
    loop: str = ""
    loops: dict[str, str] = {}  # of sessions that chose another on purpose
    workers: Count = 0  # processes of the target, or load generators of plain Locust
    probe: bool = True
    connections: str = ""
    machine: Machine = msgspec.field(default_factory=Machine)
    packages: dict[str, str | None] = {}
    plan: Plan = msgspec.field(default_factory=Plan)
    sessions: list[str] = []
    extra_requests: dict[str, list[str]] = {}  # paths that a session requests without load
    answers: dict[str, SessionAnswers] = {}
    unpinned: list[str] = []  # sessions whose server may use all cores
    skipped: dict[str, SkippedSession] = {}
    claims: list[str] = []  # those that were named
    targets: dict[str, Runtime] = {}
    troubles: list[str] = []
    # of `atonce doctor`
    app: AppInfo = msgspec.field(default_factory=AppInfo)
    budget: float | None = None
    gates: list[str] = []
    routes: list[RouteRecord] = []
    idle_span: tuple[float, float] | None = None  # when the watchdog watched the idle app

    @property
    def label(self) -> str:
        """The command and its scenario."""
        return " ".join(filter(None, (self.command, self.scenario)))

    def runtime(self, session: str) -> Runtime:
        """Return what ran in a session's server, with nothing known if there was none."""
        return self.targets.get(session, Runtime())


_REQUIRED_KEYS = (
    *("format", "run", "command", "status", "started", "loop", "connections"),
    *("machine", "packages", "plan", "seed", "troubles", "origin"),
)


def decode_run_info(text: str) -> RunInfo:
    """Read run.json. Raises ValueError with a reason if it was cut or edited."""
    raw = json.loads(text)  # not by msgspec, which refuses the size of an infinite thread pool
    if missing := [name for name in _REQUIRED_KEYS if name not in raw]:
        raise ValueError(f"its run.json lacks {', '.join(missing)}")
    try:
        return msgspec.convert(_rename_old_keys(raw), RunInfo)
    except ValueError as error:
        raise ValueError(f"its run.json was edited: {error}") from error


def encode_run_info(info: RunInfo) -> str:
    """Return the text of run.json."""
    return json.dumps(msgspec.to_builtins(info), indent=1)


def _rename_old_keys(raw: dict[str, Any]) -> dict[str, Any]:
    renamed = {_OLD_KEYS.get(key, key): value for key, value in raw.items()}
    if isinstance(routes := renamed.get("routes"), list):
        renamed["routes"] = [_rename_route_keys(route) for route in routes]
    return renamed


def _rename_route_keys(route: Any) -> Any:
    if not isinstance(route, dict):
        return route
    known = {key: value for key, value in route.items() if value is not None}
    return {_OLD_ROUTE_KEYS.get(key, key): value for key, value in known.items()}
