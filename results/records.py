"""The lines of a run's spools and the rows of its tables: the only place that knows their layout.

The generator writes JSON lists, as short as they can be: two per request. The app's side may lack
our packages: it writes JSON objects; before format 7, lists in the order of the fields below. Times
are seconds: in lines on the machine's monotonic clock, in rows since the run's start.
"""

import json
from types import UnionType
from typing import Any, get_args

import msgspec

from results.schema import Phase


class _GeneratorLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


class _StartLine(_GeneratorLine, frozen=True):
    seq: int
    cell: str
    phase: Phase
    route: str
    variant: str
    connection: int | None
    intended: float


class Sent(_StartLine, tag="sent", frozen=True):
    """A request that leaves."""

    sent: float


class Unsent(_StartLine, tag="unsent", frozen=True):
    """A planned request that could not leave."""

    reason: str


class Done(_GeneratorLine, tag="done", frozen=True):
    """What came back for a request; right without `error`. The probe adds the last five."""

    seq: int
    done: float
    status: int | None
    error: str | None
    size: int | None
    app_start: float | None
    handler_start: float | None
    handler_end: float | None
    app_end: float | None
    peer: int | None


class GivenUp(_GeneratorLine, tag="given-up", frozen=True):
    """A request whose answer is no longer waited for."""

    seq: int
    done: float


class Mark(_GeneratorLine, tag="mark", frozen=True):
    """A moment of a cell (go, open, close, end), requests in flight, and the host's counters.

    Others say why a window closed early: ceiling, failing, precise or silent. `silent` is the
    moment when nothing had come back for 0.1 s, and may cut a drain short as well. The `in_flight`
    of the mark `planned` is how many requests a schedule has.
    """

    cell: str
    mark: str
    t: float
    in_flight: int
    area: float
    stolen: float | None = None
    used: float | None = None
    swapped: int | None = None
    periods: int | None = None
    throttled: int | None = None


class Tick(_GeneratorLine, tag="tick", frozen=True):
    """The generator's own state: how late its ticker is, and its CPU seconds so far."""

    cell: str
    t: float
    in_flight: int
    area: float
    lateness: float
    cpu: float


class _AppLine(msgspec.Struct, tag_field="kind", frozen=True):
    pass


class Trace(_AppLine, tag="visit", frozen=True):
    """What the probe saw of a request whose answer could not carry all of it."""

    request: str  # the client's id of it: worker and number
    app_start: float | None = None
    handler_start: float | None = None
    handler_end: float | None = None
    app_end: float | None = None
    peer: int | None = None


class _ProcessState(msgspec.Struct, frozen=True):
    t: float
    loop_lag: float | None = None
    threads_busy: float | None = None
    threads_waiting: int | None = None
    executor_queue: int | None = None
    cpu: float | None = None
    memory: int | None = None
    # since formats 4 and 5
    kin_cpu: float | None = None  # of its descendants
    loop_cpu: float | None = None  # of the loop's thread
    pool_threads: int | None = None
    pool_waiting: int | None = None
    tasks: int | None = None  # since format 8: of the event loop


class ProcessSample(_ProcessState, tag_field="kind", tag="sample", frozen=True):
    """The state of a process of the app; CPU since its start. None is unknown."""


class Runtime(_AppLine, tag="runtime", frozen=True):
    """What runs in a process of the app."""

    t: float
    facts: dict[str, Any]


class Frozen(_AppLine, tag="frozen", frozen=True):
    """A server that froze on purpose, from when to when."""

    begin: float
    end: float


class StackFrame(msgspec.Struct, frozen=True):
    """One frame of a stack as the watchdog writes it."""

    file: str
    line: int
    function: str
    call: str
    is_user_code: bool


class StackTime(msgspec.Struct, frozen=True):
    """Seconds under a stack, innermost frame first."""

    seconds: float
    frames: tuple[StackFrame, ...]


class Hold(_AppLine, tag="hold", frozen=True):
    """A time in which one task or callback keeps the event loop, by stack."""

    start: float
    end: float
    context: str  # "request", or elsewhere
    blind: float  # seconds in which the watchdog could not sample
    stacks: tuple[StackTime, ...]
    ran: float | None = None  # seconds that the loop's thread computed in it


class WaitPlace(_AppLine, tag="place", frozen=True):
    """A stack, innermost frame first, and what it waits in. Looks name it by its number."""

    number: int
    frames: tuple[StackFrame, ...]
    what: str  # lock, pool, socket, thread ...; "running" while it does not wait
    name: str  # of the class that makes it wait, where it is known
    size: int | None  # how many that lets in at once, where it says so


class WaitLook(_AppLine, tag="look", frozen=True):
    """A look at the requests in flight, and at the busy threads of pools, by their place."""

    t: float
    took: float  # seconds
    cpu: float  # seconds of the looking thread
    requests: int
    waits: tuple[tuple[int, float], ...]  # place and number of requests there
    threads: tuple[tuple[str, int, int], ...]  # pool, place and number of threads there


RequestLine = Sent | Unsent | Done | GivenUp
AppLine = Trace | ProcessSample | Runtime | Frozen | Hold | WaitPlace | WaitLook

decode_request_line = msgspec.json.Decoder(RequestLine).decode
decode_load_line = msgspec.json.Decoder(Mark | Tick).decode
encode_line = msgspec.json.Encoder().encode
_APP_LINES = {str(record.__struct_config__.tag): record for record in get_args(AppLine)}


def decode_app_line(text: bytes) -> AppLine:
    """Decode a line of an app's process. Raises ValueError for a line that is none."""
    # not by msgspec, which refuses the size of an infinite thread pool
    raw = json.loads(text)
    try:
        raw = _name_fields(raw) if isinstance(raw, list) else raw
        line: AppLine = msgspec.convert(raw, AppLine)
    except (LookupError, TypeError) as error:
        raise ValueError("it is no line of an app") from error
    return line


def _name_fields(line: list[Any]) -> dict[str, Any]:
    """Turn a line of format 6 or older into an object."""
    kind, *values = line
    fields = dict(zip(_APP_LINES[kind].__struct_fields__, values, strict=False))
    if kind == "hold":
        names = StackFrame.__struct_fields__
        fields["stacks"] = [
            {
                "seconds": seconds,
                "frames": [dict(zip(names, frame, strict=True)) for frame in frames],
            }
            for seconds, frames in fields["stacks"]
        ]
    return {"kind": kind, **fields}


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One planned request. Latency is done - intended, lateness sent - intended.

    `done` of a censored sample is when the wait ended: the answer would come later. `sent` is None
    for a request that never left, and the server's four moments where no probe saw them.
    """

    seq: int
    cell: str
    phase: Phase
    route: str
    variant: str
    worker: str
    connection: int | None  # the client's lane; one keep-alive connection each
    peer: int | None  # the port the server saw, so that a reconnect shows
    intended: float
    sent: float | None
    done: float | None
    status: int | None
    error: str | None
    bytes: int | None
    app_start: float | None
    handler_start: float | None
    handler_end: float | None
    app_end: float | None
    censored: bool


class LoadRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A mark or a tick of one worker; the host's counters came with formats 3 and 6."""

    worker: str
    kind: str
    cell: str
    mark: str | None
    t: float
    in_flight: int
    area: float
    lateness: float | None
    cpu: float | None
    stolen: float | None = None
    used: float | None = None
    swapped: int | None = None
    periods: float | None = None
    throttled: float | None = None


class ProbeRow(_ProcessState, frozen=True, kw_only=True, gc=False):
    """A sample of one process of a server."""

    variant: str
    pid: int


Row = Sample | LoadRow | ProbeRow
TABLES: dict[str, type[Row]] = {"samples": Sample, "load": LoadRow, "probe": ProbeRow}


def column_types(table: type[Row]) -> dict[str, type]:
    """Return the type of each of a table's columns, None values aside."""
    return {
        field.name: get_args(field.type)[0] if isinstance(field.type, UnionType) else field.type
        for field in msgspec.structs.fields(table)
    }
