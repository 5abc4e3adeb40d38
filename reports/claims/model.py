"""What a claim is: parts that each compare theory with a run, and the outcome of all of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from reports.checks.model import CheckStatus, TrustLevel, TrustReport
from reports.metrics.model import RunMetrics
from results.verdicts import ClaimOutcome

Bars = tuple[tuple[str, float], ...]  # a small picture: labels and values


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What theory predicts, what was measured, and what follows."""

    predicted: str
    measured: str
    outcome: ClaimOutcome
    why: str
    bars: Bars = ()


@dataclass(frozen=True, slots=True)
class PartResult:
    """One part of a claim on one run: prediction and measurement."""

    predicted: str
    measured: str
    faults: Mapping[str, bool] = field(default_factory=dict)  # what refutes it: is it true here?
    limit: str = ""  # that the lesson does not mention
    why: str = ""  # explains a confirmed part
    bars: Bars = ()


# Judges one part. Raises MissingData.
Part = Callable[[RunMetrics], PartResult]


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the lesson."""

    id: str
    sentence: str
    source: str  # its section of the lesson
    needs: tuple[str, ...]  # beginnings of cell names; `asked/<session>` for single requests
    parts: tuple[Part, ...]
    why: str = ""  # explains a confirmed claim

    def judge(self, run_metrics: RunMetrics) -> ClaimResult:
        """Judge every part. Raises MissingData."""
        results = [part(run_metrics) for part in self.parts]
        faults = [text for part in results for text, is_true in part.faults.items() if is_true]
        limits = [part.limit for part in results if part.limit]
        outcome, reasons = ClaimOutcome.CONFIRMED, [self.why, *(part.why for part in results)]
        if faults:
            outcome, reasons = ClaimOutcome.REFUTED, faults
        elif limits:
            outcome, reasons = ClaimOutcome.NUANCED, limits
        bars = tuple(bar for part in results for bar in part.bars)
        return ClaimResult(
            _join_texts(part.predicted for part in results),
            _join_texts(part.measured for part in results),
            outcome,
            _join_texts(reasons),
            bars if len(bars) > 1 else (),
        )


@dataclass(frozen=True, slots=True)
class EvaluatedClaim:
    """A claim and its result."""

    claim: Claim
    result: ClaimResult


class MissingData(Exception):  # noqa: N818 - not an error: the claim is untested
    """Raised by a part that lacks data; its message names what is missing."""


def judge_claim(claim: Claim, run_metrics: RunMetrics, trust: TrustReport) -> EvaluatedClaim:
    """Judge one claim; missing data, or an untrusted run or cell, makes it untested."""
    reason = _untested_reason(claim, run_metrics, trust)
    try:
        result = None if reason else claim.judge(run_metrics)
    except MissingData as missing:
        reason, result = f"missing from this run: {missing}", None
    if result is None:
        return EvaluatedClaim(claim, ClaimResult("-", "-", ClaimOutcome.UNTESTED, reason or ""))
    warnings = dict.fromkeys(
        f"{check.id} {check.name}" for check in trust.checks_for(claim.needs, CheckStatus.WARN)
    )
    note = f" (with a warning: {', '.join(warnings)})" if warnings else ""
    return EvaluatedClaim(claim, replace(result, why=result.why + note))


def _untested_reason(claim: Claim, run_metrics: RunMetrics, trust: TrustReport) -> str | None:
    if trust.trust_level is TrustLevel.UNTRUSTED:
        return "the run cannot be trusted"
    if failed := trust.first_failure(claim.needs):
        return f"its data cannot be trusted: {failed.id} {failed.name}, {failed.cell}: {failed.why}"
    return run_metrics.absence_reason(claim.needs)


def _join_texts(texts: Iterable[str]) -> str:
    return "; ".join(filter(None, texts))


def is_near(value: float, expected: float, tolerance: float) -> bool:
    """Return whether a value lies within a relative tolerance of the prediction."""
    return abs(value / expected - 1) <= tolerance
