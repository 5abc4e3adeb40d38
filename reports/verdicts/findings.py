"""Facts become one finding per route of the lesson: a verdict, a sentence and a remedy.

The rules, in order; the first that matches decides:

1. The run is not trusted: untrusted. Wrong answers: wrong-answer. Too little evidence: unknown.
2. It serves one at once, the core is full, and the async neighbour waits for turns of threads
   rather than for whole requests: threads that compute share the GIL.
3. It slows the async neighbour: it holds the loop, waiting when the CPU idles, computing when
   it is full.
4. Served grows with the users: it scales.
5. The route slows only the def neighbour, and requests wait for threads: the thread pool. The
   executor has a queue (or, where that is hidden, exactly its size is served): the executor. The
   core is full: it scales, as far as one core goes. A plateau with none of these: some other pool.

A plateau alone never decides: partial blocking imitates pools, so the neighbours do. The doctor's
own rules (`results/judgement`) share thresholds and predicates, and need what a lesson does not measure: a
watchdog, the loop's own CPU, half of the load, and levels of 8 and 64 users.
"""

from reports.checks.model import TrustLevel
from reports.metrics.model import CrowdMetrics, RouteMetrics
from reports.verdicts.diagnosis import Finding
from reports.verdicts.load_sentences import load_sentences
from reports.verdicts.neighbours import (
    FULL_CORE,
    SERIAL_LIMIT,
    NeighbourWait,
    classify_wait,
    describe_worst_neighbour,
    is_neighbour_harmed,
)
from results.formatting import (
    format_count,
    format_number,
    format_seconds,
    format_served_at_once,
    format_share,
)
from results.judgement.predicates import MIN_QUEUE, NEAR_POOL_SIZE, WRONG_SHARE
from results.thresholds import COMPUTES_CORE_SHARE, GROWS_SHARE
from results.verdicts import VERDICTS, Verdict


def build_finding(route: RouteMetrics, trust_level: TrustLevel) -> Finding:
    """Return one route's verdict, sentence and remedy."""
    verdict = decide_verdict(route, trust_level)
    return Finding(route, verdict, describe_route(route, verdict), VERDICTS[verdict].remedy)


def decide_verdict(route: RouteMetrics, trust_level: TrustLevel) -> Verdict:  # noqa: PLR0911
    """Return the verdict of the first rule that matches, in the order of the module's docstring."""
    if trust_level is TrustLevel.UNTRUSTED:
        return Verdict.UNTRUSTED
    top, served, neighbour = route.top_level, route.served_at_once, route.neighbours.get("async")
    if top and top.errors > WRONG_SHARE * (top.count + top.errors):
        return Verdict.WRONG_ANSWER
    if not top or served is None or top.users == 1 or not neighbour or neighbour.slowdown is None:
        return Verdict.UNKNOWN
    cpu = top.cpu or 0.0
    wait = classify_wait(neighbour, top.users, route.unloaded_mean or 0.0)
    if served < SERIAL_LIMIT and cpu >= FULL_CORE and wait is NeighbourWait.TURNS:
        return Verdict.GIL_BOUND
    if is_neighbour_harmed(neighbour):
        return Verdict.LOOP_BUSY if cpu >= COMPUTES_CORE_SHARE else Verdict.LOOP_BLOCKED
    if served + top.throughput * top.think_time >= GROWS_SHARE * top.users:
        return Verdict.SCALES
    has_thread_queue = (top.threads_waiting or 0) > MIN_QUEUE
    if is_neighbour_harmed(route.neighbours.get("def")) and has_thread_queue:
        return Verdict.THREAD_POOL
    if _has_executor_queue(route, top, served):
        return Verdict.EXECUTOR_POOL
    if cpu >= FULL_CORE:  # all users run, as far as one core goes
        return Verdict.SCALES
    return Verdict.POOL_LIMITED if _is_throughput_flat(route) else Verdict.UNKNOWN


def _has_executor_queue(route: RouteMetrics, top: CrowdMetrics, served: float) -> bool:
    if top.executor_queue is not None:
        return top.executor_queue > MIN_QUEUE
    size = route.executor_size  # all there is with uvloop, which hides the queue
    return bool(size and _is_throughput_flat(route) and abs(served / size - 1) < NEAR_POOL_SIZE)


def _is_throughput_flat(route: RouteMetrics) -> bool:
    """Whether the two largest crowds got the same throughput, or part of a single one waited."""
    if [level.users for level in route.median_levels[:-1]] == [1]:
        return route.capacity is not None
    rates = [level.throughput for level in route.median_levels[-2:]]
    return len(rates) > 1 and rates[0] > 0 and abs(rates[1] / rates[0] - 1) < NEAR_POOL_SIZE


def describe_route(route: RouteMetrics, verdict: Verdict) -> str:
    """Say what was measured, with its arithmetic, and which neighbour it slows most."""
    top, served = route.top_level, route.served_at_once
    if verdict is Verdict.UNTRUSTED:
        return f"{route.route}: the run cannot be trusted, so it gives no verdict."
    if verdict is Verdict.WRONG_ANSWER and top:
        part = f"{top.errors} of {top.errors + top.count} requests"
        return f"{route.route} answers wrongly: {part} with {top.users} users."
    details = list(load_sentences(route))
    if not top or served is None or route.unloaded_mean is None or (details and top.users == 1):
        return " ".join(details) or f"{route.route}: not measured far enough for a verdict."
    is_unexplained = verdict is Verdict.UNKNOWN and not route.neighbours
    why = "" if is_unexplained else f": {VERDICTS[verdict].mechanism}"
    least = "at least " if is_unexplained and not route.capacity else ""
    mean = ("" if top.mean.exact else "at least ") + format_seconds(top.mean.low)
    factors = f"{format_number(top.throughput)} req/s x {format_seconds(route.unloaded_mean)}"
    users, waiting = format_count(top.users, "user"), format_share(route.waiting_share or 0)
    served_part = f"{least}{round(served)} at once ({factors} = {format_served_at_once(served)})"
    neighbour = describe_worst_neighbour(route, top.users)
    sentences = [
        f"{route.route} serves {served_part}{why}.",
        f"With {users} a request takes {mean} on average, {waiting} of it waiting{neighbour}.",
    ]
    if route.executor_note and verdict is Verdict.EXECUTOR_POOL:
        sentences.append(f"Measured on fewer cores: {route.executor_note}.")
    return " ".join([*sentences, *details])
