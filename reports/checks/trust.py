"""May this run be believed? Doubt is data: checks per cell, each with its number, its limits, its reason and a remedy.

A run is `trusted` when all checks that can be made pass, `suspect` on a warning, `untrusted` on a failure. An untrusted
run prints its reasons and no other verdict. A check that this machine cannot make is unknown, and counted beside.
"""

from dataclasses import dataclass
from enum import StrEnum

from reports.checks import CHECKS, Check, CheckStatus
from reports.formatting import count
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


class Belief(StrEnum):
    """How far a run may be believed."""

    TRUSTED = "trusted"  # all checks of the headline's cells passed, and none failed elsewhere
    SUSPECT = "suspect"  # a check warns: read the reason before you quote the number
    UNTRUSTED = "untrusted"  # a check failed: no other verdict is given


@dataclass(frozen=True, slots=True)
class Trust:
    """All checks of a run, and what follows from them."""

    checks: tuple[Check, ...]
    apart: frozenset[str] = frozenset()  # cells that carry single claims, and not the headline

    @property
    def belief(self) -> Belief:
        """The worst check of what carries the headline: not the empty route's cell, which V19 judges; findings decide nothing.

        A cell that stands apart takes no verdict but that of its claims, and makes the run suspect at worst; its warnings stand
        beside its claims.
        """
        counted = [one for one in self.checks if not one.cell.startswith(f"{Scenario.FLOOR}/")]
        worst = belief(tuple(one for one in counted if one.cell not in self.apart))
        broken = any(one.status is CheckStatus.FAIL and not one.is_finding for one in counted)
        return Belief.SUSPECT if worst is Belief.TRUSTED and broken else worst

    def concerning(self, needs: tuple[str, ...], status: CheckStatus) -> list[Check]:
        """Checks with a status of what a claim needs (beginnings of cells' names), the neighbours beside it included."""
        variants = {need.split("/")[1] for need in needs if need.count("/") > 1}
        found = []
        for one in self.checks:
            if one.status is status and not one.is_finding:
                scenario, _, level = one.cell.partition("/")
                beside = scenario == Scenario.NEIGHBOURS and level.partition("/")[0] in variants
                found += [one] if beside or any(one.cell.startswith(need) for need in needs) else []
        return found

    def fault(self, needs: tuple[str, ...]) -> Check | None:
        """The first failed check of what a claim needs."""
        return next(iter(self.concerning(needs, CheckStatus.FAIL)), None)

    @property
    def cells(self) -> dict[str, Belief]:
        """How far each cell may be believed; `*` is the run as a whole."""
        names = dict.fromkeys(one.cell for one in self.checks)
        return {cell: belief(tuple(one for one in self.checks if one.cell == cell)) for cell in names}

    @property
    def doubts(self) -> list[Check]:
        """The checks that failed, then those that warn."""
        order = [CheckStatus.FAIL, CheckStatus.WARN]
        found = [one for one in self.checks if one.status in order and not one.is_finding and one not in self.beside]
        return sorted(found, key=lambda one: order.index(one.status))

    @property
    def beside(self) -> list[Check]:
        """Warnings of cells that stand apart: each is told beside the claims that need it."""
        return [one for one in self.checks if one.status is CheckStatus.WARN and one.cell in self.apart and not one.is_finding]

    @property
    def impossible(self) -> list[str]:
        """What could not be checked, each thing once, and why."""
        unknown = [one for one in self.checks if one.status is CheckStatus.UNKNOWN]
        return list(dict.fromkeys(f"{one.id} {one.name}: {one.why}" for one in unknown))

    @property
    def findings(self) -> list[Check]:
        """What the checks found out about the server, which changes words and never trust."""
        return [one for one in self.checks if one.is_finding and one.status is CheckStatus.WARN]

    @property
    def sentence(self) -> str:
        """How many checks this rests on, and how many could not be made."""
        asked = [one for one in self.checks if not one.is_finding]
        passed, unknown = (sum(one.status is status for one in asked) for status in (CheckStatus.PASS, CheckStatus.UNKNOWN))
        rest = f", {unknown} not possible here" if unknown else ""
        return f"{passed} of {count(len(asked) - unknown, 'check')} passed{rest}"


def belief(checks: tuple[Check, ...]) -> Belief:
    """What a set of checks amounts to."""
    found = {one.status for one in checks if not one.is_finding}
    if CheckStatus.FAIL in found:
        return Belief.UNTRUSTED
    return Belief.SUSPECT if CheckStatus.WARN in found else Belief.TRUSTED


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
