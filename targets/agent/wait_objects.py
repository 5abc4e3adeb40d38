"""What a request waits in, by the library's code at the end of its chain, and how many it lets in.

Sizes are read from the library's own objects. Their values are never shown, and none is kept.
"""

import gc
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, pairwise, repeat, takewhile
from operator import attrgetter
from types import CodeType
from typing import Any, NamedTuple

from .await_chain import AwaitChain
from .stack_frames import RawFrame


class Waiting(NamedTuple):
    """What a request waits in, and how many that lets in at once, where the object says so."""

    what: str  # "lock", "pool", "socket" ...; "running" while it does not wait
    name: str = ""  # of the class that makes it wait
    size: int | None = None


class _Place(NamedTuple):
    """Classes of a library, and the functions in which a request waits for one of their places."""

    module: str  # where the class is defined, or below it
    classes: tuple[str, ...]
    functions: set[str]
    what: str
    read_size: Callable[[Any], Any] = lambda _: None


RUNNING = Waiting("running")
# the first that matches decides, from the user's code inwards
_PLACES = (
    _Place("asyncpg.pool", ("Pool",), {"get"}, "pool", lambda pool: pool.get_max_size()),
    _Place("psycopg_pool", ("AsyncConnectionPool",), {"wait"}, "pool", lambda x: x.max_size),
    _Place("aiomysql.pool", ("Pool",), {"wait"}, "pool", lambda pool: pool.maxsize),
    _Place("asyncmy.pool", ("Pool",), {"wait"}, "pool", lambda pool: pool.maxsize),
    _Place(
        "httpcore",
        ("AsyncConnectionPool",),
        {"wait_for_connection"},
        "pool",
        lambda pool: pool._max_connections,  # noqa: SLF001
    ),
    _Place(
        "aiohttp.connector",
        ("TCPConnector", "UnixConnector"),
        {"_wait_for_available_connection"},
        "pool",
        lambda connector: connector.limit_per_host or connector.limit,
    ),
    _Place(
        "redis.asyncio",
        ("BlockingConnectionPool",),
        {"wait_for", "wait"},
        "pool",
        lambda pool: pool.max_connections,
    ),
    _Place(
        "anyio",
        ("CapacityLimiter",),
        {"acquire_on_behalf_of"},
        "limiter",
        lambda limiter: limiter.total_tokens,
    ),
    _Place(
        "asyncio.locks",
        ("BoundedSemaphore",),
        {"acquire"},
        "semaphore",
        lambda semaphore: semaphore._bound_value,  # noqa: SLF001
    ),
    _Place("asyncio.locks", ("Semaphore",), {"acquire"}, "semaphore"),
    _Place("asyncio.locks", ("Lock",), {"acquire"}, "lock", lambda _: 1),
    _Place("anyio", ("Semaphore",), {"acquire"}, "semaphore", lambda x: x.max_value),
    _Place("anyio", ("Lock",), {"acquire"}, "lock", lambda _: 1),
    _Place("asyncio.queues", ("Queue", "LifoQueue", "PriorityQueue"), {"get", "put"}, "queue"),
    _Place("anyio.streams.memory", ("MemoryObjectReceiveStream",), {"receive"}, "queue"),
    _Place("anyio.streams.memory", ("MemoryObjectSendStream",), {"send"}, "queue"),
    _Place("asyncio.locks", ("Condition", "Event", "Barrier"), {"wait"}, "event"),
    _Place("anyio", ("Condition",), {"wait"}, "event"),
)
_CLASS_NAMES = {name for place in _PLACES for name in place.classes}
# coroutines of the standard library and of AnyIO, by the end of the file's name and the function
_FUNCTIONS = {
    ("/asyncio/tasks.py", "sleep"): "sleep",
    ("/anyio/_backends/_asyncio.py", "sleep"): "sleep",
    ("/anyio/_backends/_asyncio.py", "run_sync_in_worker_thread"): "thread",
    ("/asyncio/base_subprocess.py", "_wait"): "subprocess",
    ("/asyncio/subprocess.py", "wait"): "subprocess",
    ("/asyncio/streams.py", "_wait_for_data"): "socket",
    ("/asyncio/streams.py", "drain"): "socket",
    ("/anyio/_backends/_asyncio.py", "receive"): "socket",
    ("/anyio/_backends/_asyncio.py", "_wait"): "subprocess",
}

_THREAD_FUNCTIONS = {
    ("/sqlalchemy/util/queue.py", "get"): Waiting("pool", "sqlalchemy.QueuePool"),
    ("/psycopg_pool/pool.py", "getconn"): Waiting("pool", "psycopg_pool.ConnectionPool"),
    ("/httpcore/_sync/connection_pool.py", "wait_for_connection"): Waiting(
        "pool", "httpcore.ConnectionPool"
    ),
    ("/urllib3/connectionpool.py", "_get_conn"): Waiting("pool", "urllib3.HTTPConnectionPool"),
    ("/threading.py", "acquire"): Waiting("semaphore", "threading.Semaphore"),
    ("/threading.py", "wait"): Waiting("event", "threading.Event"),
    ("/queue.py", "get"): Waiting("queue", "queue.Queue"),
    ("/subprocess.py", "wait"): Waiting("subprocess"),
    ("/subprocess.py", "communicate"): Waiting("subprocess"),
    ("/socket.py", "readinto"): Waiting("socket"),
    ("/ssl.py", "read"): Waiting("socket"),
    ("/concurrent/futures/_base.py", "result"): Waiting("future"),
}


def identify_call(branch: AwaitChain) -> Waiting | None:
    """Return whether a chain runs, or is in an executor's thread or queue; None if neither."""
    if branch.awaited is None:
        return RUNNING
    state = _executor_state(branch.awaited)
    return Waiting(state) if state else None


def identify_wait(branch: AwaitChain, is_user_code: Callable[[str], bool]) -> Waiting:
    """Return what the innermost line of the user's code waits in; `is_user_code` takes a file."""
    pairs = list(zip(branch.frames, branch.coroutines, strict=True))
    called = takewhile(lambda pair: not is_user_code(pair[0][0].co_filename), pairs[::-1])
    library = [*called][::-1]
    names = {code.co_name for (code, _), _ in library}
    places = [
        place
        for (code, _), coroutine in library
        if (place := _find_place(coroutine, names) or _find_greenlet_pool(code, coroutine))
    ]
    # sockets, streams and subprocesses wait for events of their own
    places.sort(key=lambda place: place.what == "event")
    strong = takewhile(lambda place: place.what != "event", places)
    functions = (Waiting(what) for (code, _), _ in library if (what := _find_function(code)))
    return next(chain(strong, functions, places), Waiting("future"))


def _find_function(code: CodeType) -> str:
    path = code.co_filename.replace("\\", "/")
    for (end, name), what in _FUNCTIONS.items():
        if code.co_name == name and path.endswith(end):
            return what
    return ""


def _find_place(coroutine: Any, functions: set[str]) -> Waiting | None:
    """Return the known object among the locals of a library's coroutine, if it waits for that."""
    for thing in gc.get_referents(coroutine):
        kind = type(thing)
        for place in _PLACES if kind.__name__ in _CLASS_NAMES else ():
            is_known = kind.__qualname__ in place.classes and functions & place.functions
            if is_known and kind.__module__.startswith(place.module):
                return Waiting(place.what, _public_name(kind), _as_size(place.read_size, thing))
    return None


def _find_greenlet_pool(code: CodeType, coroutine: Any) -> Waiting | None:
    """Return SQLAlchemy's pool if its synchronous core, in a greenlet, waits for a connection."""
    if code.co_name != "greenlet_spawn" or "sqlalchemy" not in code.co_filename:
        return None
    for greenlet in gc.get_referents(coroutine):
        if type(greenlet).__name__ == "_AsyncIoGreenlet":
            frames = _greenlet_frames(greenlet)
            for inner, frame in pairwise(frames):
                if frame.f_code.co_name == "_do_get" and inner.f_code.co_name == "get":
                    return _sqlalchemy_pool(frame.f_locals.get("self"))
    return None


def _greenlet_frames(greenlet: Any) -> list[Any]:
    """Return the frames of a greenlet that sleeps, innermost first."""
    # in one call of C code, which keeps the GIL: the greenlet may go on at any time
    innermost = map(attrgetter("gr_frame"), [greenlet])
    return list(takewhile(bool, accumulate(chain(innermost, repeat("f_back")), getattr)))


def _sqlalchemy_pool(pool: Any) -> Waiting:
    size = _as_size(lambda it: it.size() + it._max_overflow, pool)  # noqa: SLF001
    is_limited = getattr(pool, "_max_overflow", -1) >= 0
    return Waiting("pool", f"sqlalchemy.{type(pool).__name__}", size if is_limited else None)


def identify_thread(stack: Sequence[RawFrame], is_user_code: Callable[[str], bool]) -> Waiting:
    """Return what a thread waits in, by the library's functions below the user's innermost line."""
    called = takewhile(lambda frame: not is_user_code(frame[0].co_filename), stack)
    for code, _ in [*called][::-1]:
        path = code.co_filename.replace("\\", "/")
        for (end, name), waiting in _THREAD_FUNCTIONS.items():
            if code.co_name == name and path.endswith(end):
                return waiting
    return Waiting("thread")


def _public_name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def _as_size(read: Callable[[Any], Any], thing: Any) -> int | None:
    try:
        return int(read(thing))
    except (AttributeError, TypeError, ValueError, OverflowError):  # another version's object
        return None


def _executor_state(awaited: Any) -> str:
    """Return whether a call of `run_in_executor` waits for a thread or has one; "" for others."""
    for callback, *_ in getattr(awaited, "_callbacks", None) or ():
        for source in _cells(callback):
            if type(source).__module__ == "concurrent.futures._base":
                return "thread" if source.running() else "executor"
    return ""


def _cells(function: Any) -> Iterable[Any]:
    if getattr(function, "__module__", "") != "asyncio.futures":
        return ()
    return [cell.cell_contents for cell in function.__closure__ or ()]
