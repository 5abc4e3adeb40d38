"""A report: the numbers and judgements of one run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from reports.checks.model import MISSED, TrustLevel, TrustReport
from reports.claims.model import EvaluatedClaim
from reports.metrics.model import RunMetrics
from reports.verdicts.diagnosis import Finding, sort_worst_last
from results.errors import ExitCode
from results.formatting import format_seconds, format_share
from results.schema import Status
from results.verdicts import ClaimOutcome, Verdict

_MAX_CHARTED_ROUTES = 6  # routes


@dataclass(frozen=True, slots=True)
class Goal:
    """A number with a known truth; it must lie in [low, high], which `limit` says as text."""

    name: str
    truth: float
    measured: float
    low: float
    high: float
    limit: str
    format_value: Callable[[float], str] = format_seconds

    @property
    def relative_error(self) -> float | None:
        """How far the measurement is off, as a share of the truth."""
        return self.measured / self.truth - 1 if self.truth else None

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        return bool(self.low <= self.measured <= self.high)

    @property
    def row(self) -> tuple[str, ...]:
        """One row of `COLUMNS`."""
        values = [self.format_value(value) for value in (self.truth, self.measured)]
        outcome = "holds" if self.is_met else MISSED
        return (self.name, *values, format_share(self.relative_error), self.limit, outcome)


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers and judgements of one run."""

    path: Path
    run_metrics: RunMetrics
    trust: TrustReport
    findings: tuple[Finding, ...]
    claims: tuple[EvaluatedClaim, ...]
    goals: tuple[Goal, ...] = ()  # of a self-check
    background: str | None = None  # what holds a diagnosed app's loop while it gets no requests

    @property
    def charted_metrics(self) -> RunMetrics:
        """Metrics for the charts; of a diagnosed app only its worst routes."""
        if self.run_metrics.run.command != "doctor":
            return self.run_metrics
        worst_first = [finding.route for finding in reversed(sort_worst_last(self.findings))]
        routes = [route for route in worst_first if route.levels][:_MAX_CHARTED_ROUTES]
        return replace(self.run_metrics, routes=tuple(routes))

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """Return 3 for no trust, an incomplete run or a missed goal, 1 for a refuted claim."""
        # With `doctor`, an unfinished cell only leaves its route unknown.
        run, level = self.run_metrics.run, self.trust.trust_level
        is_missing_cells = self.run_metrics.unfinished_cells and run.command != "doctor"
        verdicts = {finding.verdict for finding in self.findings}
        if (
            run.status != Status.COMPLETE
            or is_missing_cells
            or not all(goal.is_met for goal in self.goals)
            or verdicts == {Verdict.UNTRUSTED}
            or level is TrustLevel.UNTRUSTED
            or (strict and level is TrustLevel.SUSPECT)
        ):
            return ExitCode.UNTRUSTED
        outcomes = {evaluated.result.outcome for evaluated in self.claims}
        return ExitCode.FAILED if ClaimOutcome.REFUTED in outcomes else ExitCode.FINE


def order_findings(report: Report) -> list[Finding]:
    """Return findings, most served at once first; none of a doctor run or of single claims."""
    if report.run_metrics.run.command in {"claims", "doctor"}:
        return []
    return sorted(report.findings, key=lambda finding: -(finding.route.served_at_once or 0))


def format_outcomes(report: Report) -> str:
    """Return number of claims per outcome: `5 confirmed, 2 nuanced`."""
    outcomes = [item.result.outcome for item in report.claims]
    return ", ".join(f"{outcomes.count(item)} {item}" for item in ClaimOutcome if item in outcomes)
