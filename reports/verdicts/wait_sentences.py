"""Where a route's requests wait, in sentences."""

import math
from collections.abc import Iterator

from reports.verdicts.diagnosis import Diagnosis
from results.formatting import format_number, format_seconds
from results.judgement.waits import RUNNING, Wait, WaitProfile
from results.verdicts import Verdict

_MOST_PLACES = 2  # that are named
_DISAGREES = 0.25  # share by which a plateau differs from the size that was read
# of pools whose objects cannot be read where threads wait: their measured default sizes
DEFAULT_SIZES = {
    "sqlalchemy.QueuePool": 15,
    "psycopg_pool.ConnectionPool": 4,
    "httpcore.ConnectionPool": 100,
    "urllib3.HTTPConnectionPool": 10,
}
_KINDS = {
    "thread": "in a thread",
    "executor": "for a thread of the executor",
    "socket": "for a socket",
    "sleep": "for a timer",
    "subprocess": "for another process",
    "event": "for an event",
    "future": "for an answer",
}


def wait_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield where most requests wait, then what the threads do that work for them."""
    profile = diagnosis.evidence.waits
    if profile is None:
        return
    for wait in [wait for wait in diagnosis.waits if not wait.pool][:_MOST_PLACES]:
        if wait.what != RUNNING:
            yield f"{wait.count:.0f} of {profile.requests:.0f} requests wait{describe_place(wait)}."
    for wait in [wait for wait in diagnosis.waits if wait.pool][:_MOST_PLACES]:
        yield _describe_threads(wait, profile)
    yield from _size_sentences(diagnosis)


def _size_sentences(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield that a pool's size is not how many are served, and which size its users need.

    Its places are always taken, so a request keeps one for size / rate seconds. By Little's law,
    users who need not wait send users / unloaded requests/s, and take rate x time kept places.
    """
    main, served, top = diagnosis.main_wait, diagnosis.served_at_once, diagnosis.evidence.top
    is_pool = diagnosis.rule_result.verdict is Verdict.POOL_LIMITED
    if not (main and main.size and top and top.rate and is_pool):
        return
    if served < (1 - _DISAGREES) * main.size:
        yield (
            f"It has {main.size} places, yet {format_number(served)} are served at once: a request"
            " takes more than one of them, keeps one after its answer, or other routes share it."
        )
    kept, rate = main.size / top.rate, top.users / diagnosis.evidence.unloaded.mean
    yield (
        f"A request keeps a place for {format_seconds(kept)}: {top.users} users need"
        f" {format_number(rate)}/s x {format_seconds(kept)} = {math.ceil(rate * kept)} places, and"
        " what it calls then has as many requests at once. A place kept for half of the time serves"
        " twice as many."
    )


def describe_place(wait: Wait) -> str:
    """Say for what, with its size, and at which line: ` for a pool of 10 (asyncpg.Pool) at ...`."""
    size = f" of {wait.size}" if wait.size else ""
    default = DEFAULT_SIZES.get(wait.name)
    usual = f"; by default of {default}, its own size was not read" if default else ""
    name = f" ({wait.name}{usual})" if wait.name else ""
    kind = _KINDS.get(wait.what, f"for a {wait.what}")
    if wait.what == "limiter" and not wait.file:
        kind, size, name = f"for one of {wait.size} worker threads", "", ""
    place = f" at {wait.file}:{wait.line}" if wait.file else ""
    call = f" in {wait.call}" if wait.call else ""
    return f" {kind}{size}{name}{place}{call}"


def _describe_threads(wait: Wait, profile: WaitProfile) -> str:
    busy = profile.total(wait.pool)
    holders = f"{wait.count:.0f} of {busy:.0f} busy threads"
    if wait.what != "thread":
        return f"{holders} wait{describe_place(wait)}."
    call = f" in {wait.call}" if wait.call else ""
    place = f" at {wait.file}:{wait.line}" if wait.file else " in code that is not the app's"
    return f"{holders} are{call}{place}."
