"""Where the time of a request goes at the level that was looked at: shares of a bar.

By Little's law the share of the requests in flight that are at a place is the share of a request's
time that it spends there. Time before the app comes from the requests' own moments.
"""

from collections import defaultdict

from reports.verdicts.diagnosis import Diagnosis
from results.judgement.waits import RUNNING, Wait, WaitProfile

_SMALLEST_PART = 0.01  # share; smaller ones are shown as one
_ELSEWHERE = "elsewhere"


def request_time_parts(diagnosis: Diagnosis) -> list[tuple[str, float]]:
    """Return the parts of a request's time, in words and shares that sum to 1; none if unseen."""
    profile = diagnosis.evidence.waits
    if profile is None or not profile.total(""):
        return []
    before = _share_before_app(diagnosis)
    parts: defaultdict[str, float] = defaultdict(float, {"before the app": before})
    for wait in profile.waits:
        share = (1 - before) * profile.share(wait)
        for label, part in _split_by_threads(wait, profile):
            parts[label] += share * part
    small = sum(share for share in parts.values() if share < _SMALLEST_PART)
    shown = [(label, share) for label, share in parts.items() if share >= _SMALLEST_PART]
    return [*shown, (_ELSEWHERE, small)] if small >= _SMALLEST_PART / 2 else shown


def _share_before_app(diagnosis: Diagnosis) -> float:
    level = diagnosis.top_metrics
    breakdown = level.breakdown if level else None
    if not breakdown or not breakdown.total:
        return 0.0
    return min(1.0, max(0.0, breakdown.before_app / breakdown.total))


def _split_by_threads(wait: Wait, profile: WaitProfile) -> list[tuple[str, float]]:
    """Return a place; or, of a request that is in a thread, what the threads do."""
    threads = [it for it in profile.threads if it.pool == "threads"]
    if wait.what == "thread" and not wait.file and threads:
        return [(_label(it), profile.share(it)) for it in threads]
    return [(_label(wait), 1.0)]


def _label(wait: Wait) -> str:
    if wait.what == RUNNING:
        return "running"
    if wait.file:
        return f"{wait.file}:{wait.line} {wait.call or wait.what}"
    return "for a thread" if wait.what in {"limiter", "executor"} else wait.what
