"""The rules on where requests wait: when to look, and what that says.

8b. Most of the requests that queue wait for one lock, semaphore, queue or pool, while the core has
    room and the neighbours are calm: pool-limited. It accuses no calm route: what serves its users
    at once has no queue.
"""

from results.formatting import format_number
from results.judgement import predicates
from results.judgement.model import RouteEvidence, RuleResult
from results.judgement.predicates import MAJORITY, MIN_QUEUE, NEAR_POOL_SIZE
from results.judgement.waits import GATES, Wait, WaitProfile
from results.thresholds import GROWS_SHARE
from results.verdicts import POOL_VERDICTS, Verdict

_WAITING_VERDICTS = (*POOL_VERDICTS, Verdict.DEADLOCK, Verdict.GIL_BOUND, Verdict.UNKNOWN)


def should_profile(evidence: RouteEvidence, result: RuleResult) -> bool:
    """Return whether it is worth a look where requests wait."""
    is_queueing = result.verdict in _WAITING_VERDICTS and evidence.top is not None
    return evidence.has_agent and is_queueing and evidence.waits is None and not evidence.is_final


def match_gate(evidence: RouteEvidence) -> RuleResult | None:
    """Match a queue for what lets some requests in at a time (rule 8b)."""
    top, waits = evidence.many, evidence.waits
    if waits is None or predicates.is_core_full(evidence, top) or predicates.is_async_harmed(top):
        return None
    served = evidence.served_at(top)
    gates = (wait for wait in (*waits.waits, *waits.threads) if wait.what in GATES)
    gate = next((it for it in gates if _holds_queue(it, waits, served)), None)
    if gate is None or served >= GROWS_SHARE * top.users:
        return None
    places = max(1, round(served))
    if gate.size and abs(served - gate.size) <= NEAR_POOL_SIZE * gate.size:
        places = gate.size
    reason = (
        f"{describe_wait(gate, waits)}, while {format_number(top.rate)} requests/s are answered"
    )
    return RuleResult(Verdict.POOL_LIMITED, reason, "more places: the plateau moves", places)


def _holds_queue(wait: Wait, waits: WaitProfile, served: float) -> bool:
    """Return whether most of those that are not served are at one place."""
    queue = waits.total(wait.pool) - served
    return wait.count >= max(MIN_QUEUE, MAJORITY * queue)


def describe_wait(wait: Wait, waits: WaitProfile) -> str:
    """Say how many requests, or threads, wait where, and for what."""
    place = f" at {wait.file}:{wait.line}" if wait.file else ""
    size = f" of {wait.size}" if wait.size else ""
    what = f"{wait.what} ({wait.name})" if wait.name else wait.what
    holders = "busy threads" if wait.pool else "requests"
    return (
        f"{wait.count:.0f} of {waits.total(wait.pool):.0f} {holders} wait{place} for a {what}{size}"
    )
