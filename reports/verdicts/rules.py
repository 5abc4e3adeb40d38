"""The doctor's rules, in order; the first that matches decides.

 1. It answers wrongly, or with errors under load: wrong-answer. It refuses (429, 503): unknown.
 2. A check of its cells failed: untrusted. It was not measured: unknown, with the reason.
 3. It slows the `async` neighbour (p90 five times its idle value and 20 ms or more):
    a. while the app's own threads, and not the loop, fill the core: gil-bound - where a request
       computes for 10 ms or more, and a few of them are enough: with many, any full core does;
    b. while the core idles, or is not full and requests wait one at a time: loop-blocked, however
       short: no request may wait on the loop;
    c. while the loop computes: loop-busy, if one request takes 10 ms or more *and* half of its load
       slows the neighbour as well; else it scales. Behind many users honest work on a full core
       slows it as much: so a and c take 10 ms per request, and c half of the load as well. A
       watchdog must have seen b: where nothing holds the loop, another process has the core, and
       the verdict is unknown. It counts what the route starts (a task, a batch), and not what holds
       the loop of an idle app.
    d. It is slowed seldom, but the watchdog caught requests that hold the loop for 50 ms and more:
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
    with that many places. The app did not show the cause: other busy processes may be what is full,
    and a limit of requests per second has the same effect.
 8. Else: unknown, with what was seen.

Neighbours decide, not plateaus alone: a route that holds the loop for a tenth of its time imitates
a pool of ten. Whatever else holds the loop of an idle app also delays the idle neighbour, and the
watchdog says "elsewhere".
"""

from collections.abc import Callable

from reports.checks.model import Check
from reports.formatting import format_count, format_number, format_seconds, format_share
from reports.verdicts import predicates
from reports.verdicts.model import LevelEvidence, RouteEvidence, RuleResult
from reports.verdicts.neighbours import is_neighbour_harmed
from reports.verdicts.predicates import MAJORITY, MIN_QUEUE, WRONG_SHARE
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
    unexplained = "none of the known mechanisms explains what was seen"
    advice = "more time for this route: --only, --budget 10m"
    unknown = RuleResult(Verdict.UNKNOWN, unexplained, advice)
    return next((result for rule in _RULES if (result := rule(evidence))), unknown)


def _match_wrong_answers(evidence: RouteEvidence) -> RuleResult | None:
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
    why = evidence.entry.unmeasured
    if not why and (1 not in evidence.levels or FEW_USERS not in evidence.levels):
        why = "it was not measured far enough"
    advice = "more time, or fewer routes: --budget, --only"
    return RuleResult(Verdict.UNKNOWN, why, advice) if why else None


def _match_harmed_neighbour(evidence: RouteEvidence) -> RuleResult | None:
    slowed = [level for level in evidence.crowds if predicates.is_async_harmed(level)]
    for level in slowed:
        cpu_time = predicates.app_cpu_per_request(evidence, level)
        if (
            predicates.is_computing(evidence, level)
            and min(evidence.unloaded_mean, cpu_time) >= HOLD_SECONDS
            and (level.server_stats.children_cpu or 0.0) < MAJORITY
        ):
            if predicates.is_loop_computing(evidence, level):
                return _match_busy_loop(evidence, level)
            if level.metrics.users == FEW_USERS and predicates.is_core_full(evidence, level):
                return _match_gil_contention(evidence, level)
    for level in slowed:
        is_idle = not predicates.is_computing(evidence, level)
        if is_idle or predicates.has_serial_waits(evidence, level):
            return _match_blocked_loop(evidence, level)
    return None


def _match_gil_contention(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    served = format_number(level.metrics.throughput * evidence.unloaded_mean)
    cpu_use, loop_use = predicates.describe_cpu_use(level), level.server_stats.loop_cpu or 0
    reason = (
        f"the app used {cpu_use} at {served} at once, and its loop only {format_share(loop_use)}"
    )
    return RuleResult(Verdict.GIL_BOUND, reason, "processes instead of threads")


def _match_blocked_loop(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    if (elsewhere := predicates.foreign_hold_share(evidence)) > MAJORITY:
        share = format_share(elsewhere)
        reason = f"code that no known request started holds the loop for {share} of that time"
        return RuleResult(Verdict.UNKNOWN, reason, "a fix of that first: it slows every route")
    wait, is_caught = predicates.describe_async_wait(level), predicates.has_caught_holds(evidence)
    if (level.server_stats.cpu is None or level.other_cpu >= _BUSY_MACHINE) and not is_caught:
        why = f"others used {format_share(level.other_cpu)} of the machine"
        if level.server_stats.cpu is None:
            why = "the app's CPU is not known"
        reason = f"{wait}, but {why}: it waits, or it lacks a core"
        return RuleResult(Verdict.UNKNOWN, reason, "a machine of its own; MODULE:APP")
    if evidence.has_agent and not is_caught:
        why = evidence.entry.unwatched or "there was no time to see what holds the loop"
        why = "the watchdog saw nothing hold the loop" if evidence.loop_holds else why
        advice = "a quiet machine, and more time: --budget"
        return RuleResult(Verdict.UNKNOWN, f"{wait}, but {why}", advice)
    advice = "calm neighbours under the same load"
    if (evidence.cpu_while_late or 0.0) >= MAJORITY:
        return RuleResult(Verdict.LOOP_BUSY, f"{wait}, and the code on the loop computed", advice)
    reason = f"{wait}, while the app used {predicates.describe_cpu_use(level)}"
    return RuleResult(Verdict.LOOP_BLOCKED, reason, advice)


def _match_busy_loop(evidence: RouteEvidence, few: LevelEvidence) -> RuleResult:
    wait, cpu_use = predicates.describe_async_wait(few), predicates.describe_cpu_use(few)
    half = (evidence.half_neighbours or {}).get("async")
    if not half or not half.loaded:
        reason = f"{wait}, computing; half of the load was not measured"
        return RuleResult(Verdict.UNKNOWN, reason, "more time: --budget")
    if is_neighbour_harmed(half):
        wait += f", and at half of its capacity still {format_seconds(half.loaded.low)}"
        reason = f"{wait}, while the app used {cpu_use}"
        return RuleResult(Verdict.LOOP_BUSY, reason, "calm neighbours at half of its capacity")
    reason = f"it fills the core, and at half of its capacity slows no neighbour ({cpu_use})"
    return RuleResult(Verdict.SCALES, reason)


def _match_occasional_holds(evidence: RouteEvidence) -> RuleResult | None:
    for culprit in evidence.caught:
        if (
            culprit.outside_requests <= MAJORITY
            and culprit.holds > 1
            and culprit.longest >= LONG_HOLD_SECONDS
            and culprit.median >= LONG_HOLD_SECONDS / 2
        ):
            holds, longest = format_count(culprit.holds, "hold"), format_seconds(culprit.longest)
            requests = format_count(evidence.watched_requests, "request")
            usual = format_seconds(culprit.median)
            reason = f"{holds} of {usual}, the longest {longest}, in {requests}"
            is_busy = (evidence.cpu_while_late or 0.0) >= MAJORITY
            verdict = Verdict.LOOP_BUSY if is_busy else Verdict.LOOP_BLOCKED
            return RuleResult(verdict, reason, "no such hold in as many requests")
    return None


def _match_no_queue(evidence: RouteEvidence) -> RuleResult | None:
    top = evidence.levels.get(MANY_USERS)
    if not top:
        return None
    rate, crowd = format_number(top.metrics.throughput), format_count(top.metrics.users, "user")
    is_explained = evidence.unloaded.is_precise and predicates.is_rate_explained(evidence, top)
    if is_explained or predicates.is_unmoved(evidence, top):
        reason = f"with {crowd} nothing queues at {rate} requests/s"
        return RuleResult(Verdict.SCALES, reason, is_lower_bound=True)
    if top.metrics.throughput < _AMPLE_RATE or predicates.is_async_harmed(top):
        return None
    reason = f"it answers {rate} requests/s: one generator sends no more with room to spare"
    return RuleResult(Verdict.SCALES, reason)


def _match_thread_pools(evidence: RouteEvidence) -> RuleResult | None:
    top = evidence.crowds[-1]
    if predicates.is_core_full(evidence, top):
        return None
    stats, tokens, executor = top.server_stats, evidence.thread_tokens, evidence.executor_size
    if (stats.threads_waiting or 0.0) > MIN_QUEUE and tokens:
        if top.metrics.throughput < (1 - _NEAR_POOL_RATE) * predicates.thread_pool_rate(evidence):
            return None  # its threads wait for something with fewer places
        waiting, size, verdict = stats.threads_waiting, tokens, Verdict.THREAD_POOL
        what = f"requests waited for one of {tokens} threads"
        advice = "more tokens: the plateau moves with them"
    elif (stats.executor_waiting or 0.0) > MIN_QUEUE and executor:
        waiting, size, verdict = stats.executor_waiting, executor, Verdict.EXECUTOR_POOL
        what = f"calls waited for one of the executor's {executor} threads"
        advice = "a plain def twin of the route: it reaches 40"
    elif (stats.pool_waiting or 0.0) > MIN_QUEUE and stats.pool_threads:
        waiting, size, verdict = stats.pool_waiting, int(stats.pool_threads), Verdict.POOL_LIMITED
        what, advice = f"calls waited for an executor of {size} threads", "a larger executor"
    else:
        return None
    reason = f"{waiting or 0:.0f} {what}"
    return RuleResult(verdict, reason, advice, int(size) * evidence.workers)


def _match_full_core(evidence: RouteEvidence) -> RuleResult | None:
    top = evidence.crowds[-1]
    cpu_use, rate = predicates.describe_cpu_use(top), format_number(top.metrics.throughput)
    if predicates.is_core_full(evidence, top):
        return RuleResult(Verdict.SCALES, f"the core is full ({cpu_use}) at {rate} requests/s")
    if not _is_waiting_for_core(evidence, top):
        return None
    wait = f"requests wait for the core ({cpu_use}) at {rate} requests/s"
    return RuleResult(Verdict.SCALES, f"{wait}, and for nothing inside the app")


def _is_waiting_for_core(evidence: RouteEvidence, top: LevelEvidence) -> bool:
    # requests wait for a pool inside; where users are nearly explained, they come in waves
    alone, many = evidence.levels[1].metrics.breakdown, top.metrics.breakdown
    if not alone or not many or alone.timer is None or many.timer is None:
        return False
    stats = top.server_stats
    queues = (stats.threads_waiting, stats.executor_waiting, stats.pool_waiting)
    # seconds that a request waits longer, before it enters the app
    before = many.total - alone.total - (many.timer - alone.timer)
    is_outside = before >= MAJORITY * (many.total - alone.total)
    return (
        predicates.is_computing(evidence, top)
        and max(queue or 0.0 for queue in queues) <= _FEW_WAITING_SHARE * top.metrics.users
        and not predicates.has_serial_waits(evidence, top)
        and (is_outside or predicates.is_rate_explained(evidence, top, _NEARLY_EXPLAINED))
    )


def _match_plateau(evidence: RouteEvidence) -> RuleResult | None:
    top = evidence.levels.get(MANY_USERS)
    # without neighbours, a busy loop has the same signs
    if not top or predicates.is_async_harmed(top) or "async" not in top.neighbours:
        return None
    below = [
        level
        for users, level in evidence.levels.items()
        if 1 < users < MANY_USERS and predicates.is_rate_plateau(evidence, level, top)
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
    concurrency, cpu_use = max(1, round(served)), predicates.describe_cpu_use(top)
    crowds = f"with {below[-1].metrics.users} and {MANY_USERS} users"
    reason = f"{crowds} the same {rate} requests/s, neighbours calm, {cpu_use} used"
    cause = f"has {concurrency} places, or lets {rate} requests/s pass"
    advice = f"more of what {cause}: the plateau moves with it"
    return RuleResult(Verdict.POOL_LIMITED, reason, advice, concurrency, is_inferred=True)


_RULES: tuple[Callable[[RouteEvidence], RuleResult | None], ...] = (
    _match_unmeasured,  # 2
    _match_harmed_neighbour,  # 3a to 3c
    _match_occasional_holds,  # 3d
    _match_no_queue,  # 4
    _match_thread_pools,  # 5
    _match_full_core,  # 6
    _match_plateau,  # 7
)
