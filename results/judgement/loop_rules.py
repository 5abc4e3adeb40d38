"""The rules on who holds the event loop.

3. It stops answering altogether while the core idles: deadlock if the `async` neighbour is still
   answered, loop-blocked if that is silent, too.
4. It slows the `async` neighbour:
   a. while the app's own threads, and not the loop, fill the core: gil-bound, if a few users are
      enough, and it waits for half of their turns with the GIL at least: C code that lets it go
      offers the core;
   b. while the core idles, or is not full and requests wait one at a time: loop-blocked, however
      short. A watchdog must have seen it: where nothing holds the loop, another process has the
      core, and the verdict is unknown. It counts what the route starts (a task, a batch), and not
      what holds the loop of an idle app;
   c. while the loop computes: loop-busy, if half of its load slows the neighbour as well; else it
      is cpu-bound. A lesson has neither half nor watchdog.
   Behind many users honest work on a full core slows it as much, so a and c take 10 ms a request.
5. It is slowed seldom, but the watchdog caught requests that hold the loop for 50 ms and more: the
   same two verdicts. The time that the loop's thread has the core separates computing from waiting.
   Every route is looked at for four seconds at least, and for eight with the watchdog, once the
   loop stood still. Garbage collections, which meet any line that requests memory, are no line's
   holds: the watchdog marks them.
"""

from dataclasses import replace

from results.formatting import format_count, format_number, format_seconds, format_share
from results.judgement import predicates
from results.judgement.model import LevelEvidence, Measurement, RouteEvidence, RuleResult
from results.judgement.predicates import BUSY_MACHINE, MAJORITY
from results.thresholds import COMPUTES_CORE_SHARE, FEW_USERS, HOLD_SECONDS, LONG_HOLD_SECONDS
from results.verdicts import Verdict

# seconds that a route is loaded, with its neighbours, at least: a key that is fetched again when it
# is older than three seconds holds the loop in that time
SHORTEST_LOOK = 4.2


def can_watch(evidence: RouteEvidence) -> bool:
    """Return whether a watchdog can run inside the app."""
    return evidence.has_agent and not evidence.entry.unwatched


def _with_line(evidence: RouteEvidence, result: RuleResult) -> RuleResult:
    """Add that the watchdog is to name the line, where it has not run."""
    is_open = can_watch(evidence) and evidence.loop_holds is None
    return replace(result, needs=Measurement.WATCH) if is_open else result


def match_silence(evidence: RouteEvidence) -> RuleResult | None:
    """Match a route that stops answering while the app idles (rule 3)."""
    levels = (*evidence.crowds, *filter(None, [evidence.burst]))
    level = next((level for level in levels if level.is_silent), None)
    if level is None or level.server_stats.total_cpu >= COMPUTES_CORE_SHARE:
        return None
    crowd, waiting = format_count(level.users, "user"), format_count(level.unanswered, "request")
    reason = f"with {crowd} it stopped answering altogether: {waiting} waited in vain"
    advice = "an answer for every user"
    if not predicates.is_async_harmed(level):
        busy = level.server_stats.threads
        threads = f", {busy:.0f} of AnyIO's threads were taken" if busy and busy >= 1 else ""
        reason = f"{reason}, while the loop still answered{threads}"
        return RuleResult(Verdict.DEADLOCK, reason, advice)
    reason = f"{reason}, and so did the neighbour routes"
    if evidence.loop_holds and not predicates.has_caught_holds(evidence):
        reason += "; but the watchdog saw nothing hold the loop"
        return RuleResult(Verdict.UNKNOWN, reason, "the app's log: it may have died")
    return _with_line(evidence, RuleResult(Verdict.LOOP_BLOCKED, reason, advice))


def match_harmed_neighbour(evidence: RouteEvidence) -> RuleResult | None:
    """Match a load that slows the `async` neighbour (rule 4)."""
    slowed = [level for level in evidence.crowds if predicates.is_async_harmed(level)]
    for level in slowed:
        cpu_time = predicates.app_cpu_per_request(evidence, level)
        if (
            predicates.is_computing(evidence, level)
            and min(evidence.unloaded.mean, cpu_time) >= HOLD_SECONDS
            and (level.server_stats.children_cpu or 0.0) < MAJORITY
        ):
            if predicates.is_loop_computing(evidence, level):
                return _match_busy_loop(evidence, level)
            if level.users <= FEW_USERS and predicates.is_waiting_for_gil(evidence, level):
                return _match_gil_contention(evidence, level)
    for level in slowed:
        is_idle = not predicates.is_computing(evidence, level)
        if is_idle or predicates.has_serial_waits(evidence, level):
            return _match_blocked_loop(evidence, level)
    return None


def _match_gil_contention(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    served = format_number(evidence.served_at(level))
    cpu_use, loop_use = predicates.describe_cpu_use(level), level.server_stats.loop_cpu or 0
    loop_share = format_share(loop_use)
    reason = f"the app used {cpu_use} at {served} at once, and its loop only {loop_share}"
    return RuleResult(Verdict.GIL_BOUND, reason, "processes instead of threads")


def _match_blocked_loop(evidence: RouteEvidence, level: LevelEvidence) -> RuleResult:
    if (elsewhere := predicates.foreign_hold_share(evidence)) > MAJORITY:
        share = format_share(elsewhere)
        reason = f"code that no known request started holds the loop for {share} of that time"
        return RuleResult(Verdict.UNKNOWN, reason, "a fix of that first: it slows every route")
    wait, is_caught = predicates.describe_async_wait(level), predicates.has_caught_holds(evidence)
    if evidence.has_agent and evidence.loop_holds is None:
        why = evidence.entry.unwatched or "there was no time to see what holds the loop"
        result = RuleResult(Verdict.UNKNOWN, f"{wait}, but {why}", "more time: --budget")
        return _with_line(evidence, result)
    is_unsure = level.server_stats.cpu is None or level.other_cpu >= BUSY_MACHINE
    if is_unsure and not is_caught and not evidence.is_final:
        why = f"others used {format_share(level.other_cpu)} of the machine"
        if level.server_stats.cpu is None:
            why = "the app's CPU is not known"
        reason = f"{wait}, but {why}: it waits, or it lacks a core"
        return RuleResult(Verdict.UNKNOWN, reason, "a machine of its own; MODULE:APP")
    if evidence.has_agent and not is_caught:
        reason = f"{wait}, but the watchdog saw nothing hold the loop"
        return RuleResult(Verdict.UNKNOWN, reason, "a quiet machine, and more time: --budget")
    return _judge_caught_line(evidence, level, wait)


def _judge_caught_line(evidence: RouteEvidence, level: LevelEvidence, wait: str) -> RuleResult:
    """Return whether the line that holds the loop computes or waits."""
    advice = "calm neighbours under the same load"
    own = [culprit for culprit in evidence.caught if predicates.is_own_culprit(evidence, culprit)]
    if own and predicates.is_computing_line(evidence, own[0]):
        if own[0].longest < HOLD_SECONDS:
            reason = (
                f"{wait}, but it only computes, and for less than {format_seconds(HOLD_SECONDS)}"
            )
            return RuleResult(Verdict.UNKNOWN, reason, "a quiet machine, and more time: --budget")
        return RuleResult(Verdict.LOOP_BUSY, f"{wait}, and the code on the loop computed", advice)
    reason = f"{wait}, while the app used {predicates.describe_cpu_use(level)}"
    return RuleResult(Verdict.LOOP_BLOCKED, reason, advice)


def _match_busy_loop(evidence: RouteEvidence, few: LevelEvidence) -> RuleResult:
    wait, cpu_use = predicates.describe_async_wait(few), predicates.describe_cpu_use(few)
    half = (evidence.half_neighbours or {}).get("async")
    if not half or not half.loaded:
        reason = f"{wait}, computing; half of the load was not measured"
        if evidence.is_final:
            return RuleResult(Verdict.LOOP_BUSY, reason, is_inferred=True)
        return RuleResult(Verdict.UNKNOWN, reason, "more time: --budget", needs=Measurement.HALF)
    if predicates.is_neighbour_harmed(half):
        wait += f", and at half of its capacity still {format_seconds(half.loaded)}"
        reason = f"{wait}, while the app used {cpu_use}"
        advice = "calm neighbours at half of its capacity"
        return _with_line(evidence, RuleResult(Verdict.LOOP_BUSY, reason, advice))
    reason = f"it fills the core, and at half of its capacity slows no neighbour ({cpu_use})"
    if predicates.least_cpu_per_request(evidence, few) < HOLD_SECONDS:
        return RuleResult(Verdict.SCALES, reason)
    return RuleResult(Verdict.CPU_BOUND, reason, "less CPU per request, or more cores")


def match_occasional_holds(evidence: RouteEvidence) -> RuleResult | None:
    """Match a route that holds the loop seldom, but for long (rule 5)."""
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
            is_busy = predicates.is_computing_line(evidence, culprit)
            verdict = Verdict.LOOP_BUSY if is_busy else Verdict.LOOP_BLOCKED
            return RuleResult(verdict, reason, "no such hold in as many requests")
    return None


def should_look_longer(evidence: RouteEvidence) -> bool:
    """Return whether too little time has passed to meet what comes every few seconds."""
    return can_watch(evidence) and evidence.seconds < SHORTEST_LOOK


def should_watch_longer(evidence: RouteEvidence) -> bool:
    """Return whether the watchdog may still meet a hold that comes seldom."""
    return can_watch(evidence) and evidence.watched_seconds < predicates.find_long_pause(evidence)


RULES = (match_silence, match_harmed_neighbour, match_occasional_holds)
