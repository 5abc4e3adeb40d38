"""Puts a report together, from the stored run alone."""

from pathlib import Path

from reports.checks.trust import trust
from reports.claims import CLAIMS, judge
from reports.metrics.compute import measure
from reports.metrics.run_data import load
from reports.model import Report
from reports.selfcheck import goals
from reports.verdicts.diagnose import background
from reports.verdicts.diagnose import findings as diagnosed
from reports.verdicts.findings import finding


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
