"""The rules on what limits a route that leaves the loop free.

 7. Users, their pauses and the unloaded time (the mean, known to within 15 %) explain the rate; or
    most requests take as long among many users as among a few; or the rate is beyond what one
    generator sends with room to spare, and the neighbours are calm: it scales, as far as measured.
 8. Requests wait for AnyIO's threads, and the rate is what those give: thread-pool. They wait for
    the loop's executor: executor-pool. They wait for another executor: pool-limited. Many users get
    clearly fewer answers than some: many must start at one moment, as their threads may wait for
    threads.
 9. A plateau of one at least, the same at two levels (within chance), too low for any unloaded time
    that the lone requests allow, with calm neighbours and room on the core at the lower one:
    pool-limited. The cause was not seen: other busy processes may be what is full, and a limit of
    requests per second has the same effect. In a lesson one crowd is enough, and a plateau of the
    size of the loop's executor, whose queue is hidden, is executor-pool.
10. The core is full: cpu-bound, if a request computes for 10 ms and more, takes twice its unloaded
    time, and the neighbours are calm at half of the capacity; else, and in a lesson, it scales.
11. The app computes for more than half of the time, its requests wait for whatever they need
    together, and they queue before they enter the app (or hardly queue): it scales.
"""

from results.formatting import format_count, format_number, format_seconds, format_share
from results.judgement import predicates
from results.judgement.model import LevelEvidence, Measurement, RouteEvidence, RuleResult
from results.judgement.predicates import BUSY_MACHINE, MAJORITY, MIN_QUEUE, NEAR_POOL_SIZE
from results.thresholds import HOLD_SECONDS
from results.verdicts import Verdict

_NEAR_POOL_RATE = 0.15  # how near a rate must come to what a pool of threads gives
_AMPLE_RATE = 1000.0  # requests per second
# of one place: what serves fewer at once is no pool; a lock with many waiting may cost something
_MIN_CONCURRENCY = 0.75
_NEARLY_EXPLAINED = 0.55  # of the rate that users, pauses and unloaded time allow
# of the users: so many may be waiting for a thread while the core is what they wait for
_FEW_WAITING_SHARE = 0.1
_FREE_CORE_SHARE = 0.7  # of a core: with less in use, something else is full
_COLLAPSED_RATE = 0.75  # of the best rate of fewer users
_BOUND_RATIO = 2.0  # times its unloaded latency that a request takes where the core is full


def match_no_queue(evidence: RouteEvidence) -> RuleResult | None:
    """Match a route of which no request waits (rule 7)."""
    top = evidence.many
    rate, crowd = format_number(top.rate), format_count(top.users, "user")
    is_precise = evidence.unloaded.is_precise or evidence.is_final
    is_explained = is_precise and predicates.is_rate_explained(evidence, top)
    if is_explained or predicates.is_unmoved(evidence, top):
        reason = f"with {crowd} nothing queues at {rate} requests/s"
        return RuleResult(Verdict.SCALES, reason, is_lower_bound=True)
    if top.rate < _AMPLE_RATE or predicates.is_async_harmed(top):
        return None
    reason = f"it answers {rate} requests/s: one generator sends no more with room to spare"
    return RuleResult(Verdict.SCALES, reason)


def match_thread_pools(evidence: RouteEvidence) -> RuleResult | None:
    """Match a queue for threads that the agent saw (rule 8)."""
    top = evidence.many
    if predicates.is_core_full(evidence, top):
        return None
    stats, tokens, executor = top.server_stats, evidence.thread_tokens, evidence.executor_size
    if (stats.threads_waiting or 0.0) > MIN_QUEUE and tokens:
        if top.rate < (1 - _NEAR_POOL_RATE) * predicates.thread_pool_rate(evidence):
            # else its threads wait for something with fewer places
            return _match_collapse(evidence, top)
        waiting, size, verdict = stats.threads_waiting, tokens, Verdict.THREAD_POOL
        what = f"requests waited for one of {tokens:.0f} threads"
        kept = (stats.threads or 0.0) / top.rate if top.rate else 0.0
        if kept > predicates.LONGER_THAN_ANSWER * evidence.unloaded.mean:
            what += (
                f", which each request keeps for {format_seconds(kept)}, most of it after its"
                f" answer: {format_number(tokens / kept)} requests/s are all that they keep up with"
            )
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


def _match_collapse(evidence: RouteEvidence, top: LevelEvidence) -> RuleResult | None:
    """Match fewer answers to more users: requests in threads may wait for further threads."""
    best = max(evidence.levels.values(), key=lambda level: level.rate)
    is_collapsed = top.rate < _COLLAPSED_RATE * best.rate and top.think_time <= best.think_time
    if evidence.burst or not is_collapsed or predicates.is_computing(evidence, top):
        return None
    need = Measurement.BURST
    reason = (
        f"with {format_count(top.users, 'user')} it answers {format_number(top.rate)} requests/s,"
        f" with {best.users} it answered {format_number(best.rate)}: {need} is missing"
    )
    return RuleResult(Verdict.UNKNOWN, reason, "more time: --budget", needs=need)


def match_plateau(evidence: RouteEvidence) -> RuleResult | None:
    """Match a rate that more users do not raise, with room on the core (rule 9)."""
    top = evidence.many
    # without neighbours, a busy loop has the same signs
    if "async" not in top.neighbours or top.rate <= 0:
        return None
    between = [x for users, x in sorted(evidence.levels.items()) if 1 < users < top.users]
    below = [
        level
        for level in between or [top]
        if _has_room(evidence, level) and predicates.is_rate_plateau(evidence, level, top)
    ]
    is_held = predicates.is_async_harmed(top) and not predicates.is_core_full(evidence, top)
    if is_held or not below:
        return None
    rate = format_number(top.rate)
    if top.other_cpu >= BUSY_MACHINE:
        reason = (
            f"a plateau of {rate} requests/s while other processes used"
            f" {format_share(top.other_cpu)} of the machine: one of them may be what is full"
        )
        advice = "a quiet machine; or a look at what it calls, e.g. a database"
        return RuleResult(Verdict.UNKNOWN, reason, advice)
    served = max(top.rate, below[-1].rate) * evidence.unloaded.mean
    if served < _MIN_CONCURRENCY:
        return None  # a pool has one place at least: what is slower than that is no pool
    concurrency, cpu_use = max(1, round(served)), predicates.describe_cpu_use(below[-1])
    crowds = f"with {below[-1].users} and {top.users} users"
    reason = f"{crowds} the same {rate} requests/s, neighbours calm, {cpu_use} used"
    cause = f"has {concurrency} places, or lets {rate} requests/s pass"
    advice = f"more of what {cause}: the plateau moves with it"
    is_hidden = evidence.is_final and top.server_stats.executor_waiting is None
    size = (evidence.executor_size or 0) * evidence.workers if is_hidden else 0
    is_executor = abs(served - size) < NEAR_POOL_SIZE * size
    verdict = Verdict.EXECUTOR_POOL if is_executor else Verdict.POOL_LIMITED
    return RuleResult(verdict, reason, advice, concurrency, is_inferred=True)


def _has_room(evidence: RouteEvidence, level: LevelEvidence) -> bool:
    """Return whether the core had room at a level, so that it is not what requests waited for."""
    used = level.server_stats.total_cpu
    return used <= _FREE_CORE_SHARE * evidence.workers and not predicates.is_async_harmed(level)


def match_open_plateau(evidence: RouteEvidence) -> RuleResult | None:
    """Match a queue that one level shows: a level in between confirms a plateau, or refutes it."""
    few, top = evidence.few, evidence.many
    is_asked = any(few.users < users < top.users for users in evidence.levels)
    if is_asked or top.unanswered or not _has_room(evidence, few):
        return None
    # the unloaded latency says which level lies in between
    is_vague = predicates.is_unloaded_open(evidence)
    need = Measurement.LONGER_LONE if is_vague else Measurement.MIDDLE
    reason = f"with {few.users} users it had room, with {top.users} it queues: {need} is missing"
    return RuleResult(Verdict.UNKNOWN, reason, "more time: --budget", needs=need)


def match_full_core(evidence: RouteEvidence) -> RuleResult | None:
    """Match a full core, and requests that wait for nothing else (rules 10 and 11)."""
    top = evidence.many
    cpu_use, rate = predicates.describe_cpu_use(top), format_number(top.rate)
    if predicates.is_core_full(evidence, top):
        is_open = _is_filled_by_waiting(evidence, top) and match_open_plateau(evidence)
        if result := is_open or _match_cpu_bound(evidence, top):
            return result
        if top.rate:
            return RuleResult(Verdict.SCALES, f"the core is full ({cpu_use}) at {rate} requests/s")
    if not _is_waiting_for_core(evidence, top):
        return None
    wait = f"requests wait for the core ({cpu_use}) at {rate} requests/s"
    return RuleResult(Verdict.SCALES, f"{wait}, and for nothing inside the app")


def _is_filled_by_waiting(evidence: RouteEvidence, top: LevelEvidence) -> bool:
    """Return whether requests that wait fill the core, which a few users' cost does not explain."""
    few = evidence.few
    expected = predicates.total_cpu_per_request(few) * top.rate
    return _has_room(evidence, few) and expected < MAJORITY * evidence.workers


def _match_cpu_bound(evidence: RouteEvidence, top: LevelEvidence) -> RuleResult | None:
    cpu_time = predicates.least_cpu_per_request(evidence, top)
    is_waiting = top.is_silent or top.mean >= _BOUND_RATIO * evidence.unloaded.mean
    if cpu_time < HOLD_SECONDS or not is_waiting or evidence.is_final:
        return None
    half = (evidence.half_neighbours or {}).get("async")
    if predicates.is_async_harmed(top) and not (half and half.loaded):
        reason = "it fills the core; half of the load was not measured"
        return RuleResult(Verdict.UNKNOWN, reason, "more time: --budget", needs=Measurement.HALF)
    if predicates.is_async_harmed(top) and predicates.is_neighbour_harmed(half):
        return None
    cost, use = format_seconds(cpu_time), predicates.describe_cpu_use(top)
    reason = f"each request computes for {cost}, and the core is full ({use})"
    reason += f" at {format_number(top.rate)} requests/s"
    return RuleResult(Verdict.CPU_BOUND, reason, "less CPU per request, or more cores")


def _is_waiting_for_core(evidence: RouteEvidence, top: LevelEvidence) -> bool:
    # requests wait for a pool inside; where users are nearly explained, they come in waves
    alone = evidence.levels[1]
    times = alone.app_time, alone.total_time, top.app_time, top.total_time
    if None in times:
        return False
    alone_app, alone_total, app, total = (time or 0.0 for time in times)
    stats = top.server_stats
    queues = (stats.threads_waiting, stats.executor_waiting, stats.pool_waiting)
    # seconds that a request waits longer, before it enters the app
    before = total - alone_total - (app - alone_app)
    is_outside = before >= MAJORITY * (total - alone_total)
    return (
        predicates.is_computing(evidence, top)
        and max(queue or 0.0 for queue in queues) <= _FEW_WAITING_SHARE * top.users
        and not predicates.has_serial_waits(evidence, top)
        and (is_outside or predicates.is_rate_explained(evidence, top, _NEARLY_EXPLAINED))
    )


QUEUE_RULES = (match_no_queue, match_thread_pools)
RULES = (match_plateau, match_full_core, match_open_plateau)
