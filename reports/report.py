"""Builds a report from the stored run alone."""

from pathlib import Path

from reports.checks.trust import assess_trust
from reports.claims import CLAIMS
from reports.claims.model import judge_claim
from reports.metrics.compute import compute_metrics
from reports.metrics.run_data import load_run
from reports.model import Report
from reports.selfcheck import selfcheck_goals
from reports.verdicts.diagnose import describe_idle_holds, diagnose_routes
from reports.verdicts.evidence import SealedRecording
from reports.verdicts.findings import build_finding


def build_report(path: Path) -> Report:
    """Read a run and judge it, complete or not. Raises AtonceError when the folder is no run."""
    run_data = load_run(path)
    run_metrics = compute_metrics(run_data)
    trust = assess_trust(run_metrics)
    if run_metrics.run.command == "doctor":
        recording = SealedRecording(run_data, run_metrics)
        findings = diagnose_routes(recording, run_metrics, trust)
        background = describe_idle_holds(recording)
        return Report(path, run_metrics, trust, findings, (), background=background)
    findings = tuple(build_finding(route, trust.trust_level) for route in run_metrics.routes)
    claim_ids = run_metrics.run.claims or [
        claim.id for claim in CLAIMS if run_metrics.is_planned(claim.needs)
    ]
    planned_claims = (
        [claim for claim in CLAIMS if claim.id in claim_ids] if run_metrics.is_reproduction else []
    )
    claims = tuple(judge_claim(claim, run_metrics, trust) for claim in planned_claims)
    goals = selfcheck_goals(run_data) if run_metrics.run.command == "selfcheck" else ()
    return Report(path, run_metrics, trust, findings, claims, goals)
