"""Can this run be trusted? Checks per cell, each with its number, limits, reason and remedy.

A run is `trusted` when all possible checks pass, `suspect` on a warning, `untrusted` on a failure.
An untrusted run prints its reasons and no other verdict. A check that this machine cannot make is
unknown, and counted separately.
"""

from reports.checks.answers import check_answers
from reports.checks.generator import check_generator
from reports.checks.host import check_host
from reports.checks.model import TrustReport
from reports.checks.stability import check_stability
from reports.metrics.model import RunMetrics
from results.schema import Cell, Scenario, is_experiment

CHECKS = (check_host, check_generator, check_answers, check_stability)
# what a diagnosis rests on; the other checks are its findings
_LOAD_CHECKS = ("V1", "V2", "V3", "V4", "V5", "V9", "V10", "V11", "V13", "V24")


def assess_trust(run_metrics: RunMetrics) -> TrustReport:
    """Check every cell that was measured, and the run as a whole."""
    checks, cells = (
        tuple(item for check in CHECKS for item in check(run_metrics)),
        map(Cell.from_dict, run_metrics.run.plan.cells),
    )
    separate: list[Cell] = []
    if run_metrics.run.command == "doctor":
        # Each route is separate: a failure in its cells removes its verdict only.
        checks = tuple(item for item in checks if item.id in _LOAD_CHECKS)
        separate = [item for item in cells if item.scenario is not Scenario.NEIGHBOURS]
    elif run_metrics.run.command == "reproduce" and run_metrics.routes:
        separate = [item for item in cells if is_experiment(item.variant)]
    return TrustReport(
        checks,
        frozenset(name for item in separate for name in (item.name, item.neighbour_cell_name)),
    )
