"""The doctor's rules, in order; the first that matches decides, and may say what it still needs.

 1. It answers wrongly, or with errors under load: wrong-answer. It refuses (429, 503), or answers
    otherwise under load than alone (another status, empty or not, a size outside half to twice the
    lone ones): unknown.
 2. A check of its cells failed: untrusted. One user or a few users are missing: unknown.
 3. to 5. Whether it holds the loop: `loop_rules`.
 6. Many users are missing: unknown.
 7. to 11. What limits it otherwise: `capacity_rules`.
12. Else: unknown, with what was seen.

Neighbours decide, not plateaus alone: a route that holds the loop for a tenth of its time imitates
a pool of ten. A result whose figure is not known to within 15 % asks the lone user for longer.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from results.formatting import format_count
from results.judgement import capacity_rules, loop_rules, predicates, wait_rules
from results.judgement.model import LevelEvidence, Measurement, RouteEvidence, RuleResult
from results.judgement.predicates import WRONG_SHARE
from results.verdicts import LOOP_VERDICTS, POOL_VERDICTS, Verdict

_REFUSALS = ("status 429", "status 503")
_ODD_SHARE = 0.1  # of the answers under load that differ from a lone user's
# whose figure rests on the mean of a lone user, or which that may decide
_WITH_FIGURE = (*POOL_VERDICTS, Verdict.SCALES, Verdict.UNKNOWN)


class Failure(NamedTuple):
    """Why a check of a route's cells failed, and what to do."""

    why: str
    remedy: str


def evaluate_rules(evidence: RouteEvidence, failures: Sequence[Failure] = ()) -> RuleResult:
    """Return the result of the first rule that matches."""
    if result := _match_wrong_answers(evidence):
        return result
    if failures and not evidence.entry.unmeasured:
        return RuleResult(Verdict.UNTRUSTED, failures[0].why, failures[0].remedy)
    unexplained = "none of the known mechanisms explains what was seen"
    advice = "more time for this route: --only, --budget 10m"
    unknown = RuleResult(Verdict.UNKNOWN, unexplained, advice)
    result = next((result for rule in _RULES if (result := rule(evidence))), unknown)
    return result if result.needs else _add_need(evidence, result)


def _add_need(evidence: RouteEvidence, result: RuleResult) -> RuleResult:
    """Add what would make a result surer, its figure better known, or its cause."""
    if result.verdict not in (*LOOP_VERDICTS, Verdict.DEADLOCK):
        if loop_rules.should_watch_longer(evidence):
            return replace(result, needs=Measurement.WATCH)
        if _is_figure_open(evidence, result):
            need, is_unknown = Measurement.LONGER_LONE, result.verdict is Verdict.UNKNOWN
            reason = f"{result.reason}; {need} is missing" if is_unknown else result.reason
            return replace(result, reason=reason, needs=need)
        if loop_rules.should_look_longer(evidence):
            return replace(result, needs=Measurement.LONGER_LOOK)
    is_open = wait_rules.should_profile(evidence, result)
    return replace(result, needs=Measurement.WAITS) if is_open else result


def _is_figure_open(evidence: RouteEvidence, result: RuleResult) -> bool:
    """Return whether served at once is not known well enough, and a lone user may show it."""
    top, unloaded = evidence.top, evidence.unloaded
    if result.verdict not in _WITH_FIGURE or not top:
        return False
    reaches_users = top.rate * (unloaded.worst_case + top.think_time) >= top.users
    is_bound = result.is_lower_bound and reaches_users
    return not is_bound and predicates.is_unloaded_open(evidence)


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
    return next(filter(None, map(_match_odd_answers, evidence.crowds)), None)


def _match_odd_answers(level: LevelEvidence) -> RuleResult | None:
    answers = len(level.latencies)
    if level.odd_answers <= _ODD_SHARE * answers:
        return None
    reason = (
        f"{level.odd_answers} of {answers} answers with {format_count(level.users, 'user')} differ"
        " in kind, or lie outside half to twice the lone sizes"
    )
    advice = "the same answers under load as alone"
    return RuleResult(Verdict.UNKNOWN, reason, advice, has_figure=False)


def _match_missing(evidence: RouteEvidence, users: int, need: Measurement) -> RuleResult | None:
    """Match a level that is missing: say why it could not be made, where that is known."""
    if users in evidence.levels:
        return None
    why = evidence.entry.unmeasured or f"{need} is missing"
    advice = "more time, or fewer routes: --budget, --only"
    return RuleResult(Verdict.UNKNOWN, why, advice, needs=need)


_RULES: tuple[Callable[[RouteEvidence], RuleResult | None], ...] = (
    lambda seen: _match_missing(seen, 1, Measurement.LONE),
    lambda seen: _match_missing(seen, seen.few_users, Measurement.FEW),
    *loop_rules.RULES,
    lambda seen: _match_missing(seen, seen.many_users, Measurement.MANY),
    *capacity_rules.QUEUE_RULES,
    wait_rules.match_gate,
    *capacity_rules.RULES,
)
