"""Puts a report together, from the stored run alone."""

from dataclasses import dataclass, replace
from pathlib import Path

from reports.checks.trust import Belief, Trust, trust
from reports.claims import CLAIMS, Judged, Outcome, judge
from reports.metrics.compute import measure
from reports.metrics.model import Study
from reports.metrics.run_data import load
from reports.selfcheck import Goal, goals
from reports.verdicts.diagnose import background, worst_last
from reports.verdicts.diagnose import findings as diagnosed
from reports.verdicts.findings import Finding, Verdict, finding
from results.errors import Exit
from results.schema import Status

PICTURED = 6  # routes


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


def explain(path: Path) -> Report:
    """Read a run and judge it, however early it ended. Raises Trouble when the folder is no run."""
    evidence = load(path)
    numbers = measure(evidence)
    belief = trust(numbers)
    if numbers.run["command"] == "doctor":
        return Report(path, numbers, belief, diagnosed(evidence, numbers, belief), (), background=background(evidence))
    found = tuple(finding(route, belief.belief) for route in numbers.routes)
    asked = numbers.run.get("claims") or [claim.id for claim in CLAIMS if numbers.is_planned(claim.needs)]
    lesson = [claim for claim in CLAIMS if claim.id in asked] if numbers.reproduces else []
    claims = tuple(judge(claim, numbers, belief) for claim in lesson)
    return Report(path, numbers, belief, found, claims, goals(evidence) if numbers.run["command"] == "selfcheck" else ())
