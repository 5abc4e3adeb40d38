"""May this run be believed? Doubt is data: checks per cell, each with its number, its limits, its reason and a remedy.

A run is `trusted` when all checks that can be made pass, `suspect` on a warning, `untrusted` on a failure. An untrusted
run prints its reasons and no other verdict. A check that this machine cannot make is unknown, and counted beside.
"""

from reports.checks import CHECKS
from reports.checks.model import Trust
from reports.metrics.model import Study
from results.schema import Cell, Scenario, is_experiment

OF_THE_LOAD = (
    "V1",
    "V2",
    "V3",
    "V4",
    "V5",
    "V9",
    "V10",
    "V11",
    "V13",
    "V24",
)  # what an examination rests on; all else is its finding


def trust(study: Study) -> Trust:
    """Check every cell that was measured, and the run as a whole."""
    checks, cells = tuple(one for check in CHECKS for one in check(study)), map(Cell.from_dict, study.run["plan"]["cells"])
    apart: list[Cell] = []
    if study.run["command"] == "doctor":  # each route stands apart: what fails in its cells takes its verdict, and no other's
        checks = tuple(one for one in checks if one.id in OF_THE_LOAD)
        apart = [one for one in cells if one.scenario is not Scenario.NEIGHBOURS]
    elif study.run["command"] == "reproduce" and study.routes:
        apart = [one for one in cells if is_experiment(one.variant)]
    return Trust(checks, frozenset(name for one in apart for name in (one.name, one.aside)))
