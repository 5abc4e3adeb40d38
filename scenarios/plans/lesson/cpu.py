"""The same computation inline, in a thread and in a process pool; then hashing.

Hashing, which releases the GIL, runs inline and in a thread.
"""

from dataclasses import replace

from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session
from scenarios.system.machine import all_cores

_WORK_SECONDS = 0.05  # seconds that the work takes, more or less: steers durations only
_USERS = 4  # few, so that each thread's effect on the loop shows
COMPUTE_ANSWER = '{"result":1711753697}'  # after half a million rounds, and no fewer
_HASH_ANSWER = '{"result":"3eabd1885c6e7ae6"}'  # after a quarter of a million
# five experiments in a minute: more pings per second, for fewer seconds
_PING_RATE, _PING_WINDOW = 30.0, 5.0
CORES = len(all_cores() or ()) or 1


def _cpu_session(variant: str, path: str, expects: str = COMPUTE_ANSWER) -> Session:
    session = lesson_session(
        variant, path, expects, seconds=_WORK_SECONDS, users=_USERS, concurrency=1
    )
    alone, crowd = session.cells
    neighbours = tuple(replace(neighbour, rate=_PING_RATE) for neighbour in crowd.neighbours)
    crowd = replace(crowd, neighbours=neighbours, window=_PING_WINDOW)
    return replace(session, cells=(alone, crowd))


def _process_pool_session() -> Session:
    """Compute in processes on all cores; one user lasts for two samples of their CPU."""
    session = lesson_session(
        "async process-pool",
        "/cpu/pool?rounds=500000",
        COMPUTE_ANSWER,
        seconds=_WORK_SECONDS,
        users=2 * CORES,
        concurrency=CORES,
        extra_requests=("/cpu/workers",),  # sent before the load, it starts all workers
    )
    alone, crowd = session.cells
    return replace(session, cells=(replace(alone, window=3.0), crowd), is_pinned=False)


SESSIONS = (
    _cpu_session("broken-async cpu", "/cpu/inline?rounds=500000"),
    _cpu_session("to-thread cpu", "/cpu/thread?rounds=500000"),
    _cpu_session("broken-async hash", "/cpu/hash/inline?rounds=250000", _HASH_ANSWER),
    _cpu_session("to-thread hash", "/cpu/hash/thread?rounds=250000", _HASH_ANSWER),
    _process_pool_session(),
)
