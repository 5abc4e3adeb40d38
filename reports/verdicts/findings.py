"""Facts become one finding per route of the lesson: a verdict, a sentence and a remedy.

The rules are the doctor's (`results/judgement`), on what a lesson can show: no watchdog, no half of
the load, and neighbours of the largest crowd only. A run that is not trusted has no verdict.
"""

from reports.checks.model import TrustLevel
from reports.metrics.model import RouteMetrics
from reports.verdicts.diagnosis import Finding
from reports.verdicts.evidence import lesson_evidence
from reports.verdicts.load_sentences import load_sentences
from reports.verdicts.neighbours import describe_worst_neighbour
from results.formatting import (
    format_count,
    format_number,
    format_seconds,
    format_served_at_once,
    format_share,
)
from results.judgement.rules import evaluate_rules
from results.verdicts import VERDICTS, Verdict


def build_finding(route: RouteMetrics, trust_level: TrustLevel) -> Finding:
    """Return one route's verdict, sentence and remedy."""
    verdict = decide_verdict(route, trust_level)
    return Finding(route, verdict, describe_route(route, verdict), VERDICTS[verdict].remedy)


def decide_verdict(route: RouteMetrics, trust_level: TrustLevel) -> Verdict:
    """Return the verdict of the judgement's rules."""
    if trust_level is TrustLevel.UNTRUSTED:
        return Verdict.UNTRUSTED
    return evaluate_rules(lesson_evidence(route)).verdict


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
