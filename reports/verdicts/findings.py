"""Facts become one finding per route: a verdict, a sentence with its arithmetic, a remedy.

The rules, in order:

1. No trust, no verdict. Too little evidence: unknown. Wrong answers: wrong-answer.
2. One at once, a core full, and the async neighbour waits longer than alone, but for turns of
   threads rather than for whole requests: threads that compute share the GIL.
3. The async neighbour suffers: the loop is held - waiting when the CPU idles, computing when it is
   full.
4. Served grows with the users: it scales.
5. Only the def neighbour suffers and threads are waited for: the thread pool. No neighbour suffers
   and the executor has a queue (or, where it cannot be seen, exactly its size is served): the
   executor. A core full and no neighbour harmed: it scales, as far as one core goes. A plateau with
   none of these: some other pool.

A plateau alone never decides: partial blocking imitates pools, so the neighbours do.
"""

from reports.checks.model import TrustLevel
from reports.formatting import (
    format_count,
    format_number,
    format_ratio,
    format_seconds,
    format_served_at_once,
    format_share,
)
from reports.metrics.model import CrowdMetrics, RouteMetrics
from reports.verdicts.load_sentences import load_sentences
from reports.verdicts.model import Finding, Verdict
from reports.verdicts.neighbours import (
    FULL_CORE,
    SERIAL_LIMIT,
    NeighbourWait,
    classify_wait,
    is_neighbour_harmed,
)

# share from which a held loop computes for longer than it waits; others may use its core as well
_BUSY_LOOP_SHARE = 0.5
_NO_QUEUE_SHARE = 0.9  # served at once / users from which nothing queues
NEAR_POOL_SIZE = 0.10  # how near a plateau must lie to a pool's size to be named after it
_WRONG_SHARE = 0.01  # share of wrong answers from which nothing else matters

_VERDICT_REMEDIES = {
    Verdict.LOOP_BLOCKED: (
        "Never wait inside `async def` without `await`: await an async library, make the route a"
        " plain `def`, or wrap the call in `await asyncio.to_thread(...)`."
    ),
    Verdict.LOOP_BUSY: "Move the computation off the loop: a process pool, or at least a thread.",
    Verdict.GIL_BOUND: (
        "Threads save the loop and compute no faster: use a process pool, or a library that lets"
        " the GIL go."
    ),
    Verdict.THREAD_POOL: (
        "Fine up to the pool's size. For more at once await an async library; more threads only"
        " move the limit."
    ),
    Verdict.EXECUTOR_POOL: (
        "Fine up to cpus + 4 at once. For more use `def` (40 threads), a bigger executor, or an"
        " async library."
    ),
    Verdict.POOL_LIMITED: "Find the pool, semaphore or lock that this number belongs to.",
    Verdict.WRONG_ANSWER: (
        "Look at the answers before you look at their speed; a forgotten `await` is a classic."
    ),
}


def build_finding(route: RouteMetrics, trust_level: TrustLevel) -> Finding:
    """One route's finding, from its verdict."""
    verdict = decide_verdict(route, trust_level)
    return Finding(
        route, verdict, describe_route(route, verdict), _VERDICT_REMEDIES.get(verdict, "")
    )


# One return per rule
def decide_verdict(route: RouteMetrics, trust_level: TrustLevel) -> Verdict:  # noqa: PLR0911
    """The rules, in the order of the module's docstring."""
    if trust_level is TrustLevel.UNTRUSTED:
        return Verdict.UNTRUSTED
    top, served = route.top_level, route.served_at_once
    if top and top.errors > _WRONG_SHARE * (top.count + top.errors):
        return Verdict.WRONG_ANSWER
    async_neighbour, def_neighbour = route.neighbours.get("async"), route.neighbours.get("def")
    if (
        not top
        or served is None
        or top.users == 1
        or not async_neighbour
        or async_neighbour.slowdown is None
    ):
        return Verdict.UNKNOWN
    if (
        served < SERIAL_LIMIT
        and (top.cpu or 0) >= FULL_CORE
        and classify_wait(async_neighbour, top.users, route.unloaded_mean or 0.0)
        is NeighbourWait.TURNS
    ):
        return Verdict.GIL_BOUND
    if is_neighbour_harmed(async_neighbour):
        return Verdict.LOOP_BUSY if (top.cpu or 0) >= _BUSY_LOOP_SHARE else Verdict.LOOP_BLOCKED
    if served + top.throughput * top.think_time >= _NO_QUEUE_SHARE * top.users:
        return Verdict.SCALES
    if def_neighbour and is_neighbour_harmed(def_neighbour) and (top.threads_waiting or 0) > 1:
        return Verdict.THREAD_POOL
    if _has_executor_queue(route, top, served):
        return Verdict.EXECUTOR_POOL
    if (top.cpu or 0) >= FULL_CORE:  # all that ask run, as far as one core goes
        return Verdict.SCALES
    return Verdict.POOL_LIMITED if _is_throughput_flat(route) else Verdict.UNKNOWN


def _has_executor_queue(route: RouteMetrics, top: CrowdMetrics, served: float) -> bool:
    """Whether calls wait for the executor or, with a hidden queue (uvloop), its size is served."""
    if top.executor_queue is not None:
        return top.executor_queue > 1
    return (
        bool(route.executor_size)
        and _is_throughput_flat(route)
        and abs(served / (route.executor_size or 1) - 1) < NEAR_POOL_SIZE
    )


def _is_throughput_flat(route: RouteMetrics) -> bool:
    """Whether the two largest crowds got the same throughput, within a tenth.

    Of a single crowd: whether part of it waited.
    """
    if [level.users for level in route.median_levels[:-1]] == [1]:
        return route.capacity is not None
    rates = [level.throughput for level in route.median_levels[-2:]]
    return len(rates) > 1 and rates[0] > 0 and abs(rates[1] / rates[0] - 1) < NEAR_POOL_SIZE


def describe_route(route: RouteMetrics, verdict: Verdict) -> str:
    """A sentence with its arithmetic, and the neighbour that suffers most."""
    top, served = route.top_level, route.served_at_once
    if verdict is Verdict.UNTRUSTED:
        return f"{route.route}: the run cannot be trusted, so no verdict is given."
    if verdict is Verdict.WRONG_ANSWER and top:
        return (
            f"{route.route} answers wrongly: {top.errors} of {top.errors + top.count} requests with"
            f" {top.users} users."
        )
    details = list(load_sentences(route))
    if not top or served is None or route.unloaded_mean is None or (details and top.users == 1):
        return " ".join(details) or f"{route.route}: not measured far enough for a verdict."
    arithmetic = (
        f"{format_number(top.throughput)} req/s x {format_seconds(route.unloaded_mean)} ="
        f" {format_served_at_once(served)}"
    )
    mean = ("" if top.mean.exact else "at least ") + format_seconds(top.mean.low)
    why = (
        ""
        if verdict is Verdict.UNKNOWN and not route.neighbours
        else f": {MECHANISM_TEXTS[verdict]}"
    )
    least = "at least " if not why and not route.capacity else ""
    head = f"{route.route} serves {least}{round(served)} at once ({arithmetic}){why}."
    body = (
        f"With {format_count(top.users, 'user')} a request takes {mean} on average,"
        f" {format_share(route.waiting_share or 0)} of it waiting"
    )
    pinned = (
        [f"Measured on fewer cores: {route.executor_note}."]
        if route.executor_note and verdict is Verdict.EXECUTOR_POOL
        else []
    )
    return " ".join([f"{head} {body}{describe_worst_neighbour(route, top)}.", *pinned, *details])


MECHANISM_TEXTS = {
    Verdict.SCALES: "nothing queues",
    Verdict.LOOP_BLOCKED: "the event loop is held while it waits",
    Verdict.LOOP_BUSY: "the event loop is held while it computes",
    Verdict.GIL_BOUND: "threads compute, and only one of them at a time holds the GIL",
    Verdict.THREAD_POOL: "all worker threads are taken",
    Verdict.EXECUTOR_POOL: "all threads of the loop's executor are taken",
    Verdict.POOL_LIMITED: "something it shares has that many places",
    Verdict.UNKNOWN: "the evidence does not say why",
}


def describe_worst_neighbour(route: RouteMetrics, top: CrowdMetrics) -> str:
    """What the neighbour that suffers most felt, or the async one when none does."""
    measured = [
        neighbour
        for neighbour in route.neighbours.values()
        if neighbour.loaded and neighbour.idle and neighbour.slowdown
    ]
    if not measured:
        return ""
    harmed = [neighbour for neighbour in measured if is_neighbour_harmed(neighbour)]
    worst = next(
        (neighbour for neighbour in harmed if neighbour.kind == "async"),
        harmed[0] if harmed else measured[0],
    )
    assert worst.idle and worst.loaded and worst.slowdown  # noqa: S101, PT018 - filtered above
    change = f"{format_seconds(worst.idle.low)} to {format_seconds(worst.loaded.low)}"
    if not harmed:
        return f"; the innocent {worst.kind} route beside it hardly noticed (p90 {change})"
    kind = "innocent routes" if worst.kind == "async" else "innocent `def` routes"
    return (
        f"; {kind} went from {change} (p90, {format_ratio(worst.slowdown)}) while"
        f" {format_count(top.users, 'user')} asked"
    )
