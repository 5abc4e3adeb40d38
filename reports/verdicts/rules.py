"""The doctor's rules, in the order in which they are asked; the first that matches decides.

 1. It answers wrongly, or with errors under load: wrong-answer. It refuses (429, 503): unknown.
 2. A check of its cells failed: untrusted. It was not measured: unknown, with the reason.
 3. The `async` neighbour beside it suffers (p90 five times its idle value and 20 ms or more):
    a. while the app's own threads, and not the loop, fill the core: gil-bound - where a request
       computes for 10 ms or more, and a few of them harm already: with many, any full core does;
    b. while the core idles, or is not full and requests wait one at a time: loop-blocked, however
       short: no request may wait on the loop;
    c. while the loop computes: loop-busy, if one request takes 10 ms or more *and* half of its load
       harms as well; else it scales. Behind many users honest work on a full core harms as much: a
       and c take 10 ms per request, and c half of the load as well. A watchdog must have seen b:
       where nothing holds the loop, another process has the core, and the verdict is unknown. It
       counts what the route sets going (a task, a batch), and not what holds the loop of an idle
       app.
    d. It suffers seldom, but the watchdog caught requests that hold the loop for 50 ms and more:
       the same two verdicts, sometimes. Garbage collections, which meet any line that asks for
       memory, are no line's holds: the watchdog marks them.
 4. Users, their pauses and the unloaded time (the mean, known to within 15 %) explain the rate; or
    most requests take as long among many users as among a few; or the rate is beyond what one
    generator asks with room to spare, and the neighbours are calm: nothing queues, it scales - at
    least as far as was asked.
 5. Requests wait for AnyIO's threads, and the rate is what those give: thread-pool. They wait for
    the loop's executor: executor-pool. They wait for another executor: pool-limited.
 6. The core is full: it scales as far as the core goes, for instance in threads that let the GIL
    go. Or the app computes for more than half of the time, whatever its requests wait for they wait
    for together, and they queue before they enter the app (or hardly queue).
 7. A plateau of one at least, the same at two levels (within chance), too low for any unloaded time
    that the lone requests allow, with calm neighbours and an idle core: pool-limited, by something
    with that many places. Nothing in the app was seen at it: other processes at work may be what is
    full, and a limit of requests per second has the same effect.
 8. Else: unknown, with what was seen.

Neighbours are asked, not plateaus alone: a route that holds the loop for a tenth of its time
imitates a pool of ten. Whatever else in the app holds the loop of an idle app is in the idle
neighbour already, and the watchdog says "elsewhere".
"""

from collections.abc import Callable

from reports.checks.model import Check
from reports.formatting import format_count, format_number, format_seconds, format_share
from reports.verdicts.model import LevelEvidence, RouteEvidence, RuleResult, Verdict
from reports.verdicts.neighbours import is_neighbour_harmed
from reports.verdicts.predicates import (
    MAJORITY,
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

_BUSY_MACHINE = 0.3  # share of all cores that neither app nor generator used
_NEAR_POOL_RATE = 0.15  # how near a rate must come to what a pool of threads gives
_AMPLE_RATE = 1000.0  # requests per second
# of one place: what serves fewer at once is no pool; a lock with many waiting may cost something
_MIN_CONCURRENCY = 0.75
_NEARLY_EXPLAINED = 0.55  # of the rate that users, pauses and unloaded time allow
# of the users: so many may be waiting for a thread while the core is what they wait for
_FEW_WAITING_SHARE = 0.1
_MIN_QUEUE = 1.0  # calls that wait, on average
_WRONG_SHARE = 0.01  # share of answers
_REFUSALS = ("status 429", "status 503")


_Rule = Callable[[RouteEvidence], RuleResult | None]


def evaluate_rules(evidence: RouteEvidence, failed_checks: list[Check]) -> RuleResult:
    """Ask the rules one after another."""
    if result := _match_wrong_answers(evidence):
        return result
    if failed_checks and not evidence.entry.get("unfit"):
        return RuleResult(Verdict.UNTRUSTED, f"{failed_checks[0].why}", failed_checks[0].remedy)
    for rule in _RULES:
        if result := rule(evidence):
            return result
    return RuleResult(
        Verdict.UNKNOWN,
        "none of the known mechanisms explains what was seen",
        "A longer look: --only this route, --budget 10m.",
    )


def _match_wrong_answers(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 1."""
    if evidence.entry.get("wrong"):
        return RuleResult(
            Verdict.WRONG_ANSWER, evidence.entry["wrong"], "An answer of the declared kind."
        )
    for users, (faults, sent, status) in sorted(evidence.faults.items()):
        if faults > _WRONG_SHARE * sent:
            reason = (
                f"{faults} of {sent} answers with {format_count(users, 'user')} were wrong"
                f" ({status})"
            )
            if status in _REFUSALS:
                return RuleResult(
                    Verdict.UNKNOWN,
                    f"{reason}: it refuses under load, and nothing else can be said",
                    "Lift the limit for a test.",
                )
            return RuleResult(
                Verdict.WRONG_ANSWER,
                reason,
                "Right answers under load: log.txt has the app's words.",
            )
    return None


def _match_unmeasured(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 2."""
    why = evidence.entry.get("unfit")
    if not why and (1 not in evidence.levels or FEW_USERS not in evidence.levels):
        why = "it was not measured far enough"
    return (
        RuleResult(Verdict.UNKNOWN, why, "More time, or fewer routes: --budget, --only.")
        if why
        else None
    )


def _match_harmed_neighbour(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 3, but for its last part."""
    suffering = [
        level
        for users in (FEW_USERS, MANY_USERS)
        if (level := evidence.levels.get(users)) and is_async_harmed(level)
    ]
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


def _match_blocked_loop(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    """Rule 3b, and its culprit."""
    if (elsewhere := foreign_hold_share(evidence)) > MAJORITY:
        reason = (
            f"the loop is held, but {format_share(elsewhere)} of that time by what no request has"
            " set going, for all that is known"
        )
        return RuleResult(Verdict.UNKNOWN, reason, "Mend that first: it harms every route.")
    if level.server_stats.cpu is None or level.other_cpu >= _BUSY_MACHINE:
        why = (
            "the app's CPU is not known"
            if level.server_stats.cpu is None
            else f"others used {format_share(level.other_cpu)} of the machine"
        )
        if not has_caught_holds(evidence):
            return RuleResult(
                Verdict.UNKNOWN,
                f"{describe_async_wait(level)}, but {why}: waiting, or for want of a core?",
                "A machine of its own; MODULE:APP.",
            )
    if evidence.has_agent and not has_caught_holds(evidence):
        unseen = evidence.entry.get("unwatched") or "there was no time to see who holds the loop"
        why = "nobody was seen holding the loop" if evidence.loop_holds else unseen
        return RuleResult(
            Verdict.UNKNOWN,
            f"{describe_async_wait(level)}, but {why}",
            "A quiet machine, and more time: --budget.",
        )
    if (evidence.cpu_while_late or 0.0) >= MAJORITY:
        return RuleResult(
            Verdict.LOOP_BUSY,
            f"{describe_async_wait(level)}, and who held the loop computed",
            "Calm neighbours under the same load.",
        )
    return RuleResult(
        Verdict.LOOP_BLOCKED,
        f"{describe_async_wait(level)}, while the app used {describe_cpu_use(level)}",
        "Calm neighbours under the same load.",
    )


def _match_busy_loop(evidence: RouteEvidence, few: LevelEvidence) -> RuleResult:
    """Rule 3c."""
    if (
        evidence.half_neighbours is None
        or "async" not in evidence.half_neighbours
        or not evidence.half_neighbours["async"].loaded
    ):
        return RuleResult(
            Verdict.UNKNOWN,
            f"{describe_async_wait(few)}, computing; half of the load was not measured",
            "More time: --budget.",
        )
    if is_neighbour_harmed(evidence.half_neighbours["async"]):
        half = evidence.half_neighbours["async"].loaded
        reason = (
            f"{describe_async_wait(few)}, and at half of its capacity still"
            f" {format_seconds(half.low)}, while the app used {describe_cpu_use(few)}"
        )
        return RuleResult(Verdict.LOOP_BUSY, reason, "Calm neighbours at half of its capacity.")
    return RuleResult(
        Verdict.SCALES,
        f"it fills the core, and at half of its capacity harms nobody ({describe_cpu_use(few)})",
    )


def _match_occasional_holds(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 3d."""
    culprits = (
        [
            culprit
            for culprit in evidence.loop_holds.culprits
            if culprit.outside_requests <= MAJORITY and culprit.holds > 1
        ]
        if evidence.loop_holds
        else []
    )
    worst = next(
        (
            culprit
            for culprit in culprits
            if culprit.longest >= LONG_HOLD_SECONDS and culprit.median >= LONG_HOLD_SECONDS / 2
        ),
        None,
    )
    if not worst:
        return None
    reason = (
        f"{format_count(worst.holds, 'hold')} of {format_seconds(worst.median)}, the longest"
        f" {format_seconds(worst.longest)}, in {format_count(evidence.watched_requests, 'request')}"
    )
    verdict = (
        Verdict.LOOP_BUSY if (evidence.cpu_while_late or 0.0) >= MAJORITY else Verdict.LOOP_BLOCKED
    )
    return RuleResult(verdict, reason, "No such hold in as many requests.")


def _match_no_queue(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 4."""
    top = evidence.levels.get(MANY_USERS)
    if not top:
        return None
    reason = (
        f"with {format_count(top.metrics.users, 'user')} nothing queues at"
        f" {format_number(top.metrics.throughput)} requests/s"
    )
    if (evidence.unloaded.is_precise and is_rate_explained(evidence, top)) or is_unmoved(
        evidence, top
    ):
        return RuleResult(Verdict.SCALES, reason, is_lower_bound=True)
    if top.metrics.throughput < _AMPLE_RATE or is_async_harmed(top):
        return None
    plenty = (
        f"it answers {format_number(top.metrics.throughput)} requests/s, and one load generator"
        " asks for no more with room to spare"
    )
    return RuleResult(Verdict.SCALES, plenty)


def _match_thread_pools(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 5."""
    top = evidence.levels.get(MANY_USERS) or evidence.levels[FEW_USERS]
    inside = top.server_stats
    if (
        (inside.threads_waiting or 0.0) > _MIN_QUEUE
        and evidence.thread_tokens
        and not is_core_full(evidence, top)
    ):
        if top.metrics.throughput >= (1 - _NEAR_POOL_RATE) * thread_pool_rate(evidence):
            reason = (
                f"{format_number(inside.threads_waiting or 0)} requests waited for one of"
                f" {evidence.thread_tokens} threads"
            )
            return RuleResult(
                Verdict.THREAD_POOL,
                reason,
                "More tokens: the plateau moves with them.",
                evidence.thread_tokens * evidence.workers,
            )
        return None  # its threads wait for something with fewer places
    if (
        (inside.executor_waiting or 0.0) > _MIN_QUEUE
        and evidence.executor_size
        and not is_core_full(evidence, top)
    ):
        reason = (
            f"{format_number(inside.executor_waiting or 0)} calls waited for one of the executor's"
            f" {evidence.executor_size} threads"
        )
        return RuleResult(
            Verdict.EXECUTOR_POOL,
            reason,
            "A `def` twin of the route reaches 40.",
            evidence.executor_size * evidence.workers,
        )
    if (
        (inside.pool_waiting or 0.0) > _MIN_QUEUE
        and inside.pool_threads
        and not is_core_full(evidence, top)
    ):
        reason = (
            f"{format_number(inside.pool_waiting or 0)} calls waited for an executor of"
            f" {inside.pool_threads:.0f} threads"
        )
        return RuleResult(
            Verdict.POOL_LIMITED,
            reason,
            "A larger executor.",
            int(inside.pool_threads) * evidence.workers,
        )
    return None


def _match_full_core(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 6."""
    top = evidence.levels.get(MANY_USERS) or evidence.levels[FEW_USERS]
    if not is_core_full(evidence, top):
        return _match_core_wait(evidence, top)
    return RuleResult(
        Verdict.SCALES,
        f"the core is full ({describe_cpu_use(top)}) at {format_number(top.metrics.throughput)}"
        " requests/s",
    )


def _match_core_wait(evidence: RouteEvidence, top: LevelEvidence) -> RuleResult | None:
    """The end of rule 6: requests wait for the core, and for nothing inside the app.

    Those that wait for a pool do so inside; where users are nearly explained, they come in waves.
    """
    alone, many = evidence.levels[1].metrics.breakdown, top.metrics.breakdown
    queued = max(
        top.server_stats.threads_waiting or 0.0,
        top.server_stats.executor_waiting or 0.0,
        top.server_stats.pool_waiting or 0.0,
    )
    if (
        not alone
        or not many
        or alone.timer is None
        or many.timer is None
        or not is_computing(evidence, top)
    ):
        return None
    # seconds that a request waits longer, before it enters the app
    before = many.total - alone.total - (many.timer - alone.timer)
    is_outside = before >= MAJORITY * (many.total - alone.total)
    if (
        queued > _FEW_WAITING_SHARE * top.metrics.users
        or has_serial_waits(evidence, top)
        or not (is_outside or is_rate_explained(evidence, top, _NEARLY_EXPLAINED))
    ):
        return None
    reason = (
        f"requests wait for the core ({describe_cpu_use(top)}) at"
        f" {format_number(top.metrics.throughput)} requests/s, and for nothing inside the app"
    )
    return RuleResult(Verdict.SCALES, reason)


def _match_gil_contention(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    """Rule 3a."""
    reason = (
        f"the app used {describe_cpu_use(level)} at"
        f" {format_number(level.metrics.throughput * evidence.unloaded_mean)} at once, and its loop"
        f" only {format_share(level.server_stats.loop_cpu or 0)}"
    )
    return RuleResult(Verdict.GIL_BOUND, reason, "Processes instead of threads.")


def _match_plateau(evidence: RouteEvidence) -> RuleResult | None:
    """Rule 7."""
    top = evidence.levels.get(MANY_USERS)
    if (
        not top
        or is_async_harmed(top)
        or "async" not in top.neighbours
        or top.metrics.throughput <= 0
    ):  # without neighbours a held loop has the same signs
        return None
    below = [
        level
        for users, level in evidence.levels.items()
        if 1 < users < MANY_USERS and is_rate_plateau(evidence, level, top)
    ]
    if not below:
        return None
    if top.other_cpu >= _BUSY_MACHINE:
        reason = (
            f"a plateau of {format_number(top.metrics.throughput)} requests/s while other processes"
            f" used {format_share(top.other_cpu)} of the machine: one of them may be what is full"
        )
        return RuleResult(
            Verdict.UNKNOWN,
            reason,
            "A quiet machine; or a look at what it asks, a database for instance.",
        )
    served = top.metrics.throughput * evidence.unloaded_mean
    if served < _MIN_CONCURRENCY:
        return None  # a pool has one place at least: what is slower than that is no pool
    concurrency = max(1, round(served))
    reason = (
        f"with {below[-1].metrics.users} and {MANY_USERS} users the same"
        f" {format_number(top.metrics.throughput)} requests/s, neighbours calm,"
        f" {describe_cpu_use(top)} used"
    )
    would_change_if = (
        f"Find what has {concurrency} places, or lets {format_number(top.metrics.throughput)}"
        " requests/s pass, and give it more: the plateau moves with it."
    )
    return RuleResult(Verdict.POOL_LIMITED, reason, would_change_if, concurrency, is_inferred=True)


_RULES: tuple[_Rule, ...] = (
    _match_unmeasured,
    _match_harmed_neighbour,
    _match_occasional_holds,
    _match_no_queue,
    _match_thread_pools,
    _match_full_core,
    _match_plateau,
)
