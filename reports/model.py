"""A report: the numbers and judgements of one run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from reports.checks.model import Belief, Trust
from reports.claims.model import Judged, Outcome
from reports.formatting import seconds, share
from reports.metrics.model import Study
from reports.verdicts.model import Finding, Verdict, worst_last
from results.errors import Exit
from results.schema import Status

PICTURED = 6  # routes
MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Goal:
    """One number whose truth is known: it must lie in [low, high]. `limit` says the same in words."""

    name: str
    truth: float
    measured: float
    low: float
    high: float
    limit: str
    in_words: Callable[[float], str] = seconds

    @property
    def off(self) -> float | None:
        """How far the measurement is off, as a share of the truth."""
        return self.measured / self.truth - 1 if self.truth else None

    @property
    def holds(self) -> bool:
        """Whether the goal is met."""
        return bool(self.low <= self.measured <= self.high)

    @property
    def line(self) -> tuple[str, ...]:
        """One row of `COLUMNS`."""
        off = "-" if self.off is None else share(self.off)
        words = self.in_words(self.truth), self.in_words(self.measured), off, self.limit
        return (self.name, *words, "holds" if self.holds else MISSED)


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers and judgements of one run."""

    path: Path
    study: Study
    trust: Trust
    findings: tuple[Finding, ...]
    claims: tuple[Judged, ...]
    goals: tuple[Goal, ...] = ()  # of a self-check
    background: str | None = None  # what holds an examined app's loop while nobody asks

    @property
    def pictured(self) -> Study:
        """What the charts show: of somebody's app its worst routes, as many as a picture holds."""
        if self.study.run["command"] != "doctor":
            return self.study
        worst = [one.route for one in reversed(worst_last(self.findings)) if one.route.levels]
        return replace(self.study, routes=tuple(worst[:PICTURED]))

    def exit_code(self, *, strict: bool = False) -> Exit:
        """What the run means: 3 when it cannot be trusted, is not whole or missed a goal, 1 when a claim was refuted, else 0."""
        lacks = self.study.missing and self.study.run["command"] != "doctor"  # there a route is unknown
        whole = self.study.run["status"] == Status.COMPLETE and not lacks and all(one.holds for one in self.goals)
        if self.findings and all(one.verdict is Verdict.UNTRUSTED for one in self.findings):
            return Exit.UNTRUSTED
        if not whole or self.trust.belief is Belief.UNTRUSTED or (strict and self.trust.belief is Belief.SUSPECT):
            return Exit.UNTRUSTED
        return Exit.FAILED if any(one.judgement.outcome is Outcome.REFUTED for one in self.claims) else Exit.FINE


def ordered(report: Report) -> list[Finding]:
    """The findings, most served first; none where single claims were asked for, which say it all."""
    if report.study.run["command"] in {"claims", "doctor"}:
        return []
    return sorted(report.findings, key=lambda finding: -(finding.route.served or 0))


def tally(report: Report) -> str:
    """How many claims came out how: `5 confirmed, 2 nuanced`."""
    outcomes = [one.judgement.outcome for one in report.claims]
    return ", ".join(f"{outcomes.count(one)} {one}" for one in Outcome if one in outcomes)
