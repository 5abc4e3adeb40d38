"""The doctor's rules, in order; the first that matches decides.

 1. It answers wrongly, or with errors under load: wrong-answer. It refuses (429, 503): unknown.
 2. A check of its cells failed: untrusted. It was not measured: unknown, with the reason.
 3. The `async` neighbour suffers (p90 five times its idle value and 20 ms or more):
    a. while the app's own threads, and not the loop, fill the core: gil-bound - where a request
       computes for 10 ms or more, and a few of them harm already: with many, any full core does;
    b. while the core idles, or is not full and requests wait one at a time: loop-blocked, however
       short: no request may wait on the loop;
    c. while the loop computes: loop-busy, if one request takes 10 ms or more *and* half of its load
       harms as well; else it scales. Behind many users honest work on a full core harms as much: a
       and c take 10 ms per request, and c half of the load as well. A watchdog must have seen b:
       where nothing holds the loop, another process has the core, and the verdict is unknown. It
       counts what the route starts (a task, a batch), and not what holds the loop of an idle app.
    d. It suffers seldom, but the watchdog caught requests that hold the loop for 50 ms and more:
       the same two verdicts, sometimes. Garbage collections, which meet any line that requests
       memory, are no line's holds: the watchdog marks them.
 4. Users, their pauses and the unloaded time (the mean, known to within 15 %) explain the rate; or
    most requests take as long among many users as among a few; or the rate is beyond what one
    generator sends with room to spare, and the neighbours are calm: nothing queues, it scales - at
    least as far as was measured.
 5. Requests wait for AnyIO's threads, and the rate is what those give: thread-pool. They wait for
    the loop's executor: executor-pool. They wait for another executor: pool-limited.
 6. The core is full: it scales as far as the core goes, for instance in threads that release the
    GIL. Or the app computes for more than half of the time, its requests wait for whatever they
    need together, and they queue before they enter the app (or hardly queue).
 7. A plateau of one at least, the same at two levels (within chance), too low for any unloaded time
    that the lone requests allow, with calm neighbours and an idle core: pool-limited, by something
    with that many places. Its cause was not seen in the app: other busy processes may be what is
    full, and a limit of requests per second has the same effect.
 8. Else: unknown, with what was seen.

Neighbours decide, not plateaus alone: a route that holds the loop for a tenth of its time imitates
a pool of ten. Whatever else holds the loop of an idle app also delays the idle neighbour, and the
watchdog says "elsewhere".
"""

from collections.abc import Callable

from reports.checks.model import Check
from reports.formatting import format_count, format_number, format_seconds, format_share
from reports.verdicts.model import LevelEvidence, RouteEvidence, RuleResult
from reports.verdicts.neighbours import is_neighbour_harmed
from reports.verdicts.predicates import (
    MAJORITY,
    MIN_QUEUE,
    WRONG_SHARE,
    app_cpu_per_request,
    describe_async_wait,
    describe_cpu_use,
    foreign_hold_share,
    has_caught_holds,
    has_serial_waits,
    is_async_harmed,
    is_computing,
    is_core_full,
    is_loop_computing,
    is_rate_explained,
    is_rate_plateau,
    is_unmoved,
    thread_pool_rate,
)
from results.thresholds import FEW_USERS, HOLD_SECONDS, LONG_HOLD_SECONDS, MANY_USERS
from results.verdicts import Verdict

_BUSY_MACHINE = 0.3  # share of all cores that neither app nor generator used
_NEAR_POOL_RATE = 0.15  # how near a rate must come to what a pool of threads gives
_AMPLE_RATE = 1000.0  # requests per second
# of one place: what serves fewer at once is no pool; a lock with many waiting may cost something
_MIN_CONCURRENCY = 0.75
_NEARLY_EXPLAINED = 0.55  # of the rate that users, pauses and unloaded time allow
# of the users: so many may be waiting for a thread while the core is what they wait for
_FEW_WAITING_SHARE = 0.1
_REFUSALS = ("status 429", "status 503")


def evaluate_rules(evidence: RouteEvidence, failed_checks: list[Check]) -> RuleResult:
    """Return the result of the first rule that matches."""
    if result := _match_wrong_answers(evidence):
        return result
    if failed_checks and not evidence.entry.unmeasured:
        return RuleResult(Verdict.UNTRUSTED, failed_checks[0].why, failed_checks[0].remedy)
    return next(
        (result for rule in _RULES if (result := rule(evidence))),
        RuleResult(
            Verdict.UNKNOWN,
            "none of the known mechanisms explains what was seen",
            "more time for this route: --only, --budget 10m",
        ),
    )


def _match_wrong_answers(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 1."""
    if wrong := evidence.entry.fault:
        return RuleResult(Verdict.WRONG_ANSWER, wrong, "an answer of the declared kind")
    for users, (faults, sent, status) in sorted(evidence.faults.items()):
        if faults > WRONG_SHARE * sent:
            crowd = format_count(users, "user")
            reason = f"{faults} of {sent} answers with {crowd} were wrong ({status})"
            if status in _REFUSALS:
                reason += ": it refuses under load, so nothing more is known"
                return RuleResult(Verdict.UNKNOWN, reason, "a test without that limit")
            advice = "right answers under load: log.txt has the app's output"
            return RuleResult(Verdict.WRONG_ANSWER, reason, advice)
    return None


def _match_unmeasured(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 2."""
    why = evidence.entry.unmeasured
    if not why and (1 not in evidence.levels or FEW_USERS not in evidence.levels):
        why = "it was not measured far enough"
    advice = "more time, or fewer routes: --budget, --only"
    return RuleResult(Verdict.UNKNOWN, why, advice) if why else None


def _match_harmed_neighbour(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 3, but for its last part."""
    levels = [evidence.levels[n] for n in (FEW_USERS, MANY_USERS) if n in evidence.levels]
    suffering = [level for level in levels if is_async_harmed(level)]
    for level in suffering:
        if (
            is_computing(evidence, level)
            and min(evidence.unloaded_mean, app_cpu_per_request(evidence, level)) >= HOLD_SECONDS
            and (level.server_stats.children_cpu or 0.0) < MAJORITY
        ):
            if is_loop_computing(evidence, level):
                return _match_busy_loop(evidence, level)
            if level.metrics.users == FEW_USERS and is_core_full(evidence, level):
                return _match_gil_contention(evidence, level)
    for level in suffering:
        if not is_computing(evidence, level) or has_serial_waits(evidence, level):
            return _match_blocked_loop(evidence, level)
    return None


def _match_gil_contention(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    """Rule 3a."""
    served = format_number(level.metrics.throughput * evidence.unloaded_mean)
    reason = (
        f"the app used {describe_cpu_use(level)} at {served} at once, and its loop"
        f" only {format_share(level.server_stats.loop_cpu or 0)}"
    )
    return RuleResult(Verdict.GIL_BOUND, reason, "processes instead of threads")


def _match_blocked_loop(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    """Rule 3b, and its culprit."""
    if (elsewhere := foreign_hold_share(evidence)) > MAJORITY:
        reason = (
            f"the loop is held, but {format_share(elsewhere)} of that time by code that, as far as"
            " is known, no request has started"
        )
        return RuleResult(Verdict.UNKNOWN, reason, "a fix of that first: it harms every route")
    wait, is_caught = describe_async_wait(level), has_caught_holds(evidence)
    if (level.server_stats.cpu is None or level.other_cpu >= _BUSY_MACHINE) and not is_caught:
        why = f"others used {format_share(level.other_cpu)} of the machine"
        if level.server_stats.cpu is None:
            why = "the app's CPU is not known"
        reason = f"{wait}, but {why}: it waits, or it lacks a core"
        return RuleResult(Verdict.UNKNOWN, reason, "a machine of its own; MODULE:APP")
    if evidence.has_agent and not is_caught:
        why = evidence.entry.unwatched or "there was no time to see what holds the loop"
        why = "nothing was seen holding the loop" if evidence.loop_holds else why
        advice = "a quiet machine, and more time: --budget"
        return RuleResult(Verdict.UNKNOWN, f"{wait}, but {why}", advice)
    advice = "calm neighbours under the same load"
    if (evidence.cpu_while_late or 0.0) >= MAJORITY:
        return RuleResult(Verdict.LOOP_BUSY, f"{wait}, and the code on the loop computed", advice)
    reason = f"{wait}, while the app used {describe_cpu_use(level)}"
    return RuleResult(Verdict.LOOP_BLOCKED, reason, advice)


def _match_busy_loop(evidence: RouteEvidence, few: LevelEvidence) -> RuleResult:
    """Rule 3c."""
    half, cpu_use = (evidence.half_neighbours or {}).get("async"), describe_cpu_use(few)
    if not half or not half.loaded:
        reason = f"{describe_async_wait(few)}, computing; half of the load was not measured"
        return RuleResult(Verdict.UNKNOWN, reason, "more time: --budget")
    if is_neighbour_harmed(half):
        reason = (
            f"{describe_async_wait(few)}, and at half of its capacity still"
            f" {format_seconds(half.loaded.low)}, while the app used {cpu_use}"
        )
        return RuleResult(Verdict.LOOP_BUSY, reason, "calm neighbours at half of its capacity")
    reason = f"it fills the core, and at half of its capacity harms no neighbour ({cpu_use})"
    return RuleResult(Verdict.SCALES, reason)


def _match_occasional_holds(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 3d."""
    for culprit in evidence.loop_holds.culprits if evidence.loop_holds else ():
        if (
            culprit.outside_requests <= MAJORITY
            and culprit.holds > 1
            and culprit.longest >= LONG_HOLD_SECONDS
            and culprit.median >= LONG_HOLD_SECONDS / 2
        ):
            reason = (
                f"{format_count(culprit.holds, 'hold')} of {format_seconds(culprit.median)}, the"
                f" longest {format_seconds(culprit.longest)}, in"
                f" {format_count(evidence.watched_requests, 'request')}"
            )
            is_busy = (evidence.cpu_while_late or 0.0) >= MAJORITY
            verdict = Verdict.LOOP_BUSY if is_busy else Verdict.LOOP_BLOCKED
            return RuleResult(verdict, reason, "no such hold in as many requests")
    return None


def _match_no_queue(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 4."""
    top = evidence.levels.get(MANY_USERS)
    if not top:
        return None
    rate, crowd = format_number(top.metrics.throughput), format_count(top.metrics.users, "user")
    is_explained = evidence.unloaded.is_precise and is_rate_explained(evidence, top)
    if is_explained or is_unmoved(evidence, top):
        reason = f"with {crowd} nothing queues at {rate} requests/s"
        return RuleResult(Verdict.SCALES, reason, is_lower_bound=True)
    if top.metrics.throughput < _AMPLE_RATE or is_async_harmed(top):
        return None
    return RuleResult(
        Verdict.SCALES,
        f"it answers {rate} requests/s, and one load generator sends no more with room to spare",
    )


def _match_thread_pools(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 5."""
    top = evidence.levels.get(MANY_USERS) or evidence.levels[FEW_USERS]
    stats, tokens, executor = top.server_stats, evidence.thread_tokens, evidence.executor_size
    if is_core_full(evidence, top):
        return None
    if (stats.threads_waiting or 0.0) > MIN_QUEUE and tokens:
        if top.metrics.throughput < (1 - _NEAR_POOL_RATE) * thread_pool_rate(evidence):
            return None  # its threads wait for something with fewer places
        waiting, size, verdict = stats.threads_waiting, float(tokens), Verdict.THREAD_POOL
        what = f"requests waited for one of {tokens} threads"
        advice = "more tokens: the plateau moves with them"
    elif (stats.executor_waiting or 0.0) > MIN_QUEUE and executor:
        waiting, size, verdict = stats.executor_waiting, float(executor), Verdict.EXECUTOR_POOL
        what = f"calls waited for one of the executor's {executor} threads"
        advice = "a `def` twin of the route: it reaches 40"
    elif (stats.pool_waiting or 0.0) > MIN_QUEUE and stats.pool_threads:
        waiting, size, verdict = stats.pool_waiting, stats.pool_threads, Verdict.POOL_LIMITED
        what = f"calls waited for an executor of {size:.0f} threads"
        advice = "a larger executor"
    else:
        return None
    reason = f"{format_number(waiting or 0)} {what}"
    return RuleResult(verdict, reason, advice, int(size) * evidence.workers)


def _match_full_core(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 6."""
    top = evidence.levels.get(MANY_USERS) or evidence.levels[FEW_USERS]
    cpu_use, rate = describe_cpu_use(top), format_number(top.metrics.throughput)
    if is_core_full(evidence, top):
        return RuleResult(Verdict.SCALES, f"the core is full ({cpu_use}) at {rate} requests/s")
    if not _is_waiting_for_core(evidence, top):
        return None
    return RuleResult(
        Verdict.SCALES,
        f"requests wait for the core ({cpu_use}) at {rate} requests/s, and for nothing inside the"
        " app",
    )


def _is_waiting_for_core(evidence: RouteEvidence, top: LevelEvidence) -> bool:
    """Return the end of rule 6: requests wait for the core, and for nothing inside the app.

    Those that wait for a pool do so inside; where users are nearly explained, they come in waves.
    """
    alone, many, stats = (
        evidence.levels[1].metrics.breakdown,
        top.metrics.breakdown,
        top.server_stats,
    )
    if not alone or not many or alone.timer is None or many.timer is None:
        return False
    queues = (stats.threads_waiting, stats.executor_waiting, stats.pool_waiting)
    # seconds that a request waits longer, before it enters the app
    before = many.total - alone.total - (many.timer - alone.timer)
    is_outside = before >= MAJORITY * (many.total - alone.total)
    return (
        is_computing(evidence, top)
        and max(queue or 0.0 for queue in queues) <= _FEW_WAITING_SHARE * top.metrics.users
        and not has_serial_waits(evidence, top)
        and (is_outside or is_rate_explained(evidence, top, _NEARLY_EXPLAINED))
    )


def _match_plateau(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 7."""
    top = evidence.levels.get(MANY_USERS)
    # Without neighbours a held loop has the same signs
    if not top or is_async_harmed(top) or "async" not in top.neighbours:
        return None
    below = [
        level
        for users, level in evidence.levels.items()
        if 1 < users < MANY_USERS and is_rate_plateau(evidence, level, top)
    ]
    if not below or top.metrics.throughput <= 0:
        return None
    rate = format_number(top.metrics.throughput)
    if top.other_cpu >= _BUSY_MACHINE:
        reason = (
            f"a plateau of {rate} requests/s while other processes used"
            f" {format_share(top.other_cpu)} of the machine: one of them may be what is full"
        )
        advice = "a quiet machine; or a look at what it calls, e.g. a database"
        return RuleResult(Verdict.UNKNOWN, reason, advice)
    served = top.metrics.throughput * evidence.unloaded_mean
    if served < _MIN_CONCURRENCY:
        return None  # a pool has one place at least: what is slower than that is no pool
    concurrency = max(1, round(served))
    reason = (
        f"with {below[-1].metrics.users} and {MANY_USERS} users the same {rate} requests/s,"
        f" neighbours calm, {describe_cpu_use(top)} used"
    )
    advice = (
        f"more places in what has {concurrency}, or lets {rate} requests/s pass: the plateau moves"
        " with it"
    )
    return RuleResult(Verdict.POOL_LIMITED, reason, advice, concurrency, is_inferred=True)


_RULES: tuple[Callable[[RouteEvidence], RuleResult | None], ...] = (
    _match_unmeasured,
    _match_harmed_neighbour,
    _match_occasional_holds,
    _match_no_queue,
    _match_thread_pools,
    _match_full_core,
    _match_plateau,
)
