"""Facts become one finding per route: a verdict, a sentence with its arithmetic, a remedy.

The rules, in order:

1. No trust, no verdict. Too little evidence: unknown. Wrong answers: wrong-answer.
2. One at once, a core full, and the async neighbour waits longer than alone, but for turns of threads rather than for whole
   requests: threads that compute share the GIL.
3. The async neighbour suffers: the loop is held - waiting when the CPU idles, computing when it is full.
4. Served grows with the users: it scales.
5. Only the def neighbour suffers and threads are waited for: the thread pool. Nobody suffers and the executor has a
   queue (or, where it cannot be seen, exactly its size is served): the executor. A core full and nobody harmed: it scales, as
   far as one core goes. A plateau with none of these: some other pool.

A plateau alone never decides: partial blocking imitates pools, so the neighbours do.
"""

from reports.checks.model import Belief
from reports.formatting import count, number, places, seconds, share, times
from reports.metrics.model import Level, Route
from reports.verdicts.load_table import sentences
from reports.verdicts.model import Finding, Verdict
from reports.verdicts.neighbours import FULL_CORE, ONE, Wait, suffers, waits_for

MOSTLY = 0.5  # share from which a held loop computes for longer than it waits; others may use its core as well
GROWS = 0.9  # served at once / users from which nothing queues
NEAR = 0.10  # how near a plateau must lie to a pool's size to be named after it
WRONG = 0.01  # share of wrong answers from which nothing else matters

REMEDIES = {
    Verdict.LOOP_BLOCKED: "Never wait inside `async def` without `await`: await an async library, make the route a plain "
    "`def`, or wrap the call in `await asyncio.to_thread(...)`.",
    Verdict.LOOP_BUSY: "Move the computation off the loop: a process pool, or at least a thread.",
    Verdict.GIL_BOUND: "Threads save the loop and compute no faster: use a process pool, or a library that lets the GIL go.",
    Verdict.THREAD_POOL: "Fine up to the pool's size. For more at once await an async library; more threads only move the limit.",
    Verdict.EXECUTOR_POOL: "Fine up to cpus + 4 at once. For more use `def` (40 threads), a bigger executor, or an async library.",
    Verdict.POOL_LIMITED: "Find the pool, semaphore or lock that this number belongs to.",
    Verdict.WRONG_ANSWER: "Look at the answers before you look at their speed; a forgotten `await` is a classic.",
}


def finding(route: Route, belief: Belief) -> Finding:
    """Judge one route."""
    verdict = judge(route, belief)
    return Finding(route, verdict, sentence(route, verdict), REMEDIES.get(verdict, ""))


def judge(route: Route, belief: Belief) -> Verdict:  # noqa: PLR0911 - one return per rule
    """The rules, in the order of the module's docstring."""
    if belief is Belief.UNTRUSTED:
        return Verdict.UNTRUSTED
    top, served = route.top, route.served
    if top and top.errors > WRONG * (top.count + top.errors):
        return Verdict.WRONG_ANSWER
    loop, threads = route.bystanders.get("async"), route.bystanders.get("def")
    if not top or served is None or top.users == 1 or not loop or loop.ratio is None:
        return Verdict.UNKNOWN
    if served < ONE and (top.cpu or 0) >= FULL_CORE and waits_for(loop, top.users, route.service or 0.0) is Wait.TURNS:
        return Verdict.GIL_BOUND
    if suffers(loop):
        return Verdict.LOOP_BUSY if (top.cpu or 0) >= MOSTLY else Verdict.LOOP_BLOCKED
    if served + top.rate * top.think >= GROWS * top.users:
        return Verdict.SCALES
    if threads and suffers(threads) and (top.threads_waiting or 0) > 1:
        return Verdict.THREAD_POOL
    if has_executor_queue(route, top, served):
        return Verdict.EXECUTOR_POOL
    if (top.cpu or 0) >= FULL_CORE:  # all that ask run, as far as one core goes
        return Verdict.SCALES
    return Verdict.POOL_LIMITED if is_plateau(route) else Verdict.UNKNOWN


def has_executor_queue(route: Route, top: Level, served: float) -> bool:
    """Whether calls wait for the executor; where the loop hides its queue (uvloop), whether its size is what is served."""
    if top.executor_queue is not None:
        return top.executor_queue > 1
    return bool(route.executor) and is_plateau(route) and abs(served / (route.executor or 1) - 1) < NEAR


def is_plateau(route: Route) -> bool:
    """Whether the two largest crowds got the same throughput, within a tenth; of a single crowd, whether part of it waited."""
    if [level.users for level in route.steps[:-1]] == [1]:
        return route.capacity is not None
    rates = [level.rate for level in route.steps[-2:]]
    return len(rates) > 1 and rates[0] > 0 and abs(rates[1] / rates[0] - 1) < NEAR


def sentence(route: Route, verdict: Verdict) -> str:
    """One sentence, with its arithmetic, and one about who else suffers."""
    top, served = route.top, route.served
    if verdict is Verdict.UNTRUSTED:
        return f"{route.route}: the run cannot be trusted, so no verdict is given."
    if verdict is Verdict.WRONG_ANSWER and top:
        return f"{route.route} answers wrongly: {top.errors} of {top.errors + top.count} requests with {top.users} users."
    told = list(sentences(route))
    if not top or served is None or route.service is None or (told and top.users == 1):
        return " ".join(told) or f"{route.route}: not measured far enough for a verdict."
    sum_ = f"{number(top.rate)} req/s x {seconds(route.service)} = {places(served)}"
    mean = ("" if top.mean.exact else "at least ") + seconds(top.mean.low)
    why = "" if verdict is Verdict.UNKNOWN and not route.bystanders else f": {MECHANISM[verdict]}"
    least = "at least " if not why and not route.capacity else ""
    head = f"{route.route} serves {least}{round(served)} at once ({sum_}){why}."
    body = f"With {count(top.users, 'user')} a request takes {mean} on average, {share(route.waiting or 0)} of it waiting"
    pinned = [f"Measured on fewer cores: {route.pinned}."] if route.pinned and verdict is Verdict.EXECUTOR_POOL else []
    return " ".join([f"{head} {body}{harm(route, top)}.", *pinned, *told])


MECHANISM = {
    Verdict.SCALES: "nothing queues",
    Verdict.LOOP_BLOCKED: "the event loop is held while it waits",
    Verdict.LOOP_BUSY: "the event loop is held while it computes",
    Verdict.GIL_BOUND: "threads compute, and only one of them at a time holds the GIL",
    Verdict.THREAD_POOL: "all worker threads are taken",
    Verdict.EXECUTOR_POOL: "all threads of the loop's executor are taken",
    Verdict.POOL_LIMITED: "something it shares has that many places",
    Verdict.UNKNOWN: "the evidence does not say why",
}


def harm(route: Route, top: Level) -> str:
    """What an innocent route felt meanwhile: the one that suffers most, or the async one when none does."""
    felt = [one for one in route.bystanders.values() if one.loaded and one.idle and one.ratio]
    if not felt:
        return ""
    hurt = [one for one in felt if suffers(one)]
    worst = next((one for one in hurt if one.kind == "async"), hurt[0] if hurt else felt[0])
    assert worst.idle and worst.loaded and worst.ratio  # noqa: S101, PT018 - filtered above
    change = f"{seconds(worst.idle.low)} to {seconds(worst.loaded.low)}"
    if not hurt:
        return f"; the innocent {worst.kind} route beside it hardly noticed (p90 {change})"
    kind = "innocent routes" if worst.kind == "async" else "innocent `def` routes"
    return f"; {kind} went from {change} (p90, {times(worst.ratio)}) while {count(top.users, 'user')} asked"
