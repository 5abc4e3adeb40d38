"""Checks: a number of one cell between two limits, its meaning, and what to do."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

from reports.metrics.model import CellCounts, CrowdMetrics, OpenLoadMetrics, RunMetrics
from reports.metrics.run_health import CellHealth
from reports.stats.quantiles import LatencyStats
from results.formatting import format_count, format_share
from results.schema import Scenario

Limit = float | tuple[float, float]  # the largest absolute value allowed, or the allowed range
WHOLE_RUN = "*"  # the cell of a check that concerns the whole run


class CheckStatus(StrEnum):
    """Result of one check."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # this machine, or this run, does not show it


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one cell, or of the whole run."""

    title: str  # id and name
    value: float | None
    pass_limit: Limit  # a value inside passes
    fail_limit: Limit  # a value outside fails
    # a sentence in which `{}` is the value; after a colon, what follows when it does not pass
    meaning: str
    advice: str = ""
    format_value: Callable[[float], str] = format_share
    unknown: str = ""  # why there is no value
    # changes words, never trust: it describes the server, not the measurement
    is_informational: bool = False
    cell: str = WHOLE_RUN

    @property
    def id(self) -> str:
        """`V1` to `V24`."""
        return self.title.partition(" ")[0]

    @property
    def name(self) -> str:
        """What is checked."""
        return self.title.partition(" ")[2]

    @property
    def status(self) -> CheckStatus:
        """Pass inside the first limit, fail outside the second; informational checks never fail."""
        if self.value is None:
            return CheckStatus.UNKNOWN
        if _is_within(self.value, self.pass_limit):
            return CheckStatus.PASS
        may_warn = self.is_informational or _is_within(self.value, self.fail_limit)
        return CheckStatus.WARN if may_warn else CheckStatus.FAIL

    @property
    def why(self) -> str:
        """The value in a sentence; where it does not pass, with its limit."""
        if self.value is None:
            return self.unknown
        sentence = self.meaning.replace("{}", self.format_value(self.value))
        if self.status is CheckStatus.PASS:
            return sentence.partition(": ")[0]
        if "{}" not in self.meaning:
            return sentence
        return f"{sentence} (limit: {self.format_limit(self.pass_limit)})"

    def format_limit(self, limit: Limit) -> str:
        """Return a limit in words."""
        low, high = limit if isinstance(limit, tuple) else (limit, limit)
        if low == high:
            return self.format_value(low)
        if math.isinf(high):
            return f"{self.format_value(low)} or more"
        return f"{self.format_value(low)} to {self.format_value(high)}"

    @property
    def remedy(self) -> str:
        """What to do when it does not pass."""
        return "" if self.status is CheckStatus.PASS else self.advice


def _is_within(value: float, limit: Limit) -> bool:
    low, high = limit if isinstance(limit, tuple) else (-limit, limit)
    return low <= value <= high


def set_cell(cell: str, *checks: Iterable[Check]) -> Iterator[Check]:
    """Return the checks as those of one cell."""
    return (replace(check, cell=cell) for check in chain(*checks))


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """What the checks of one cell judge; `level` or `load` is what the cell measured, if any."""

    run_metrics: RunMetrics
    counts: CellCounts
    level: CrowdMetrics | None
    load: OpenLoadMetrics | None

    @property
    def health(self) -> CellHealth:
        """The generator and the machine during this cell."""
        return self.counts.health

    @property
    def latency(self) -> LatencyStats | CrowdMetrics | None:
        """The latencies that the report prints for this cell."""
        return self.level or (self.load.latency if self.load else None)

    @property
    def tail(self) -> float:
        """The reported tail in seconds: p99, else the maximum; 0 where nothing is reported."""
        latency = self.latency
        return (latency.quantiles["p99"] or latency.longest).low if latency else 0.0

    @property
    def is_overloaded(self) -> bool:
        """Whether this is an open load beyond the route's capacity."""
        return bool(self.load and self.load.overloaded)

    @property
    def is_doctor(self) -> bool:
        """Whether the doctor measured it: the app may have its database on this machine."""
        return bool(self.run_metrics.run.command == "doctor")


def measured_cells(run_metrics: RunMetrics) -> list[MeasuredCell]:
    """Return all measured cells, in the order of the plan."""
    levels = {level.cell: level for route in run_metrics.all_routes for level in route.levels}
    loads = {load.cell: load for route in run_metrics.all_routes for load in route.open_loads}
    return [
        MeasuredCell(run_metrics, counts, levels.get(counts.cell), loads.get(counts.cell))
        for counts in run_metrics.cell_counts
    ]


class TrustLevel(StrEnum):
    """How far a run can be trusted."""

    TRUSTED = "trusted"  # all checks of the headline's cells passed, and none failed elsewhere
    SUSPECT = "suspect"  # a check warns: read the reason before you quote the number
    UNTRUSTED = "untrusted"  # a check failed: no other verdict is given


@dataclass(frozen=True, slots=True)
class TrustReport:
    """All checks of a run, and what follows from them."""

    checks: tuple[Check, ...]
    separate_cells: frozenset[str] = frozenset()  # that carry single claims, not the headline

    def _with_status(self, *statuses: CheckStatus) -> list[Check]:
        counted = [check for check in self.checks if not check.is_informational]
        return [check for status in statuses for check in counted if check.status is status]

    @property
    def trust_level(self) -> TrustLevel:
        """The worst check of the headline's cells, without the floor's cell, which V19 judges.

        A failure in a separate cell makes the run suspect at worst.
        """
        counted = [item for item in self.checks if not item.cell.startswith(f"{Scenario.FLOOR}/")]
        headline = (check for check in counted if check.cell not in self.separate_cells)
        worst = worst_trust_level(headline)
        has_failure = worst_trust_level(counted) is TrustLevel.UNTRUSTED
        return TrustLevel.SUSPECT if worst is TrustLevel.TRUSTED and has_failure else worst

    def checks_for(self, needs: tuple[str, ...], status: CheckStatus) -> list[Check]:
        """Return the checks with `status` of cells that begin like `needs`, and of neighbours."""
        variants = (need.split("/")[1] for need in needs if need.count("/") > 1)
        cells = (*needs, *(f"{Scenario.NEIGHBOURS}/{variant}/" for variant in variants))
        return [check for check in self._with_status(status) if check.cell.startswith(cells)]

    def first_failure(self, needs: tuple[str, ...]) -> Check | None:
        """Return the first failed check of the cells that a claim needs."""
        return next(iter(self.checks_for(needs, CheckStatus.FAIL)), None)

    @property
    def trust_by_cell(self) -> dict[str, TrustLevel]:
        """How far each cell can be trusted; `*` is the run as a whole."""
        checks_by_cell: dict[str, list[Check]] = {}
        for check in self.checks:
            checks_by_cell.setdefault(check.cell, []).append(check)
        return {cell: worst_trust_level(checks) for cell, checks in checks_by_cell.items()}

    @property
    def problem_checks(self) -> list[Check]:
        """The checks that failed, then those that warn about the headline."""
        warnings = self._with_status(CheckStatus.WARN)
        headline = [check for check in warnings if check.cell not in self.separate_cells]
        return self._with_status(CheckStatus.FAIL) + headline

    @property
    def separate_warnings(self) -> list[Check]:
        """Warnings of separate cells: each appears next to the claims that need it."""
        warnings = self._with_status(CheckStatus.WARN)
        return [check for check in warnings if check.cell in self.separate_cells]

    @property
    def unavailable_checks(self) -> list[str]:
        """What could not be checked, without repeats, and why."""
        unknown = [check for check in self.checks if check.status is CheckStatus.UNKNOWN]
        return list(dict.fromkeys(f"{check.title}: {check.why}" for check in unknown))

    @property
    def informational(self) -> list[Check]:
        """Informational checks that warn: facts about the server that never change trust."""
        warnings = [check for check in self.checks if check.status is CheckStatus.WARN]
        return [check for check in warnings if check.is_informational]

    @property
    def sentence(self) -> str:
        """How many checks passed, and how many this run could not make."""
        passed, unknown = (
            len(self._with_status(status)) for status in (CheckStatus.PASS, CheckStatus.UNKNOWN)
        )
        made = sum(not check.is_informational for check in self.checks) - unknown
        rest = f", {unknown} not possible here" if unknown else ""
        return f"{passed:,} of {format_count(made, 'check')} passed{rest}"


def worst_trust_level(checks: Iterable[Check]) -> TrustLevel:
    """Return the trust level that follows from a set of checks."""
    statuses = {check.status for check in checks if not check.is_informational}
    if CheckStatus.FAIL in statuses:
        return TrustLevel.UNTRUSTED
    return TrustLevel.SUSPECT if CheckStatus.WARN in statuses else TrustLevel.TRUSTED


MISSED = "missed"
