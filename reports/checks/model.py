"""Checks: a number of one cell between two limits, with its reason and a remedy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reports.formatting import format_count, format_share
from results.schema import Scenario

Limit = float | tuple[float, float]


class CheckStatus(StrEnum):
    """Result of one check."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # this machine, or this run, does not show it


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one cell (or of the whole run: cell `*`).

    A limit is the largest absolute value allowed, or the range of allowed values. An informational
    check changes words, never trust: it describes the server, not the measurement.
    """

    id: str
    name: str
    cell: str
    value: float | None
    pass_limit: Limit
    fail_limit: Limit
    why: str
    format_value: Callable[[float], str] = format_share
    is_informational: bool = False
    advice: str = ""  # what to do, where the usual remedy does not fit

    @property
    def status(self) -> CheckStatus:
        """Pass inside the first limit, fail outside the second; informational checks never fail."""
        if self.value is None:
            return CheckStatus.UNKNOWN
        if _is_within(self.value, self.pass_limit):
            return CheckStatus.PASS
        return (
            CheckStatus.WARN
            if self.is_informational or _is_within(self.value, self.fail_limit)
            else CheckStatus.FAIL
        )

    def format_limit(self, limit: Limit) -> str:
        """A limit in words."""
        if not isinstance(limit, tuple):
            return self.format_value(limit)
        low, high = limit
        return (
            f"{self.format_value(low)} or more"
            if math.isinf(high)
            else f"{self.format_value(low)} to {self.format_value(high)}"
        )

    @property
    def remedy(self) -> str:
        """What to do when it does not pass."""
        return "" if self.status is CheckStatus.PASS else self.advice or CHECK_REMEDIES[self.id]


def _is_within(value: float, limit: Limit) -> bool:
    """Whether a value keeps a limit."""
    low, high = limit if isinstance(limit, tuple) else (-limit, limit)
    return low <= value <= high


CHECK_REMEDIES = {
    "V1": "Use a host whose monotonic clock is sound; do not believe any duration of this one.",
    "V2": "Give the generator a core of its own, stop what else runs, or ask for less.",
    "V3": (
        "Ask for a lower rate, or spread it over more generator processes (plain Locust:"
        " --processes)."
    ),
    "V4": (
        "Let the run end by itself; else ask for a lower rate, or raise --cap. log.txt tells what"
        " stopped the sending."
    ),
    "V5": (
        "Ask for a lower rate, or spread it over more generator processes (plain Locust:"
        " --processes)."
    ),
    "V6": (
        "Ask for --arrivals constant if that is what you want; otherwise the generator was too busy"
        " to keep its schedule."
    ),
    "V7": "Drain longer (--drain), or ask for less: what is cut off is what was slow.",
    "V8": (
        "Look at the answers before their speed: statuses are in samples.parquet, the app's words"
        " in log.txt."
    ),
    "V9": (
        "Ask for less, or spread the load over more generator processes (plain Locust:"
        " --processes)."
    ),
    "V10": "Stop what else runs on this machine, or measure on one that is not shared.",
    "V11": (
        "Do not edit the rows. If nobody did, please report this: requests were lost between"
        " counter and rows."
    ),
    "V12": (
        "Spread the users over more generator processes (plain Locust: --processes): the generator"
        " needs the time that its users should wait."
    ),
    "V13": "Measure on one host, with one clock; if it was one, please report this.",
    "V14": "Look for what stands between: a proxy, a busy core, a socket without TCP_NODELAY.",
    "V15": "Run longer, or warm the app up before.",
    "V16": (
        "Find out what changed during the run: memory, a cache, another load. One number cannot"
        " stand for it."
    ),
    "V17": "Run longer, or quote a lower percentile.",
    "V18": "Repeat with restarted servers: --repeat 5.",
    "V19": (
        "Measure a route that takes longer, or ask for less: here the rig itself is part of the"
        " number."
    ),
    "V20": (
        "Read the route's own mean and percentiles; a formula for a fixed service time does not"
        " hold for it."
    ),
    "V21": (
        "Keep connections alive on the server for longer than the run, and give the client enough"
        " of them."
    ),
    "V22": "Name what is missing beside the number when you quote it.",
    "V23": (
        "Nothing to mend in the run: the server serves out of order, so quote the mean, and the"
        " tail as unfairness."
    ),
    "V24": (
        "Run longer (-t), or with fewer users: the window should hold several rounds of all of"
        " them."
    ),
}


class TrustLevel(StrEnum):
    """How far a run can be trusted."""

    TRUSTED = "trusted"  # all checks of the headline's cells passed, and none failed elsewhere
    SUSPECT = "suspect"  # a check warns: read the reason before you quote the number
    UNTRUSTED = "untrusted"  # a check failed: no other verdict is given


@dataclass(frozen=True, slots=True)
class TrustReport:
    """All checks of a run, and what follows from them."""

    checks: tuple[Check, ...]
    # cells that carry single claims, and not the headline
    separate_cells: frozenset[str] = frozenset()

    @property
    def trust_level(self) -> TrustLevel:
        """The worst check of the headline's cells, without the floor's cell, which V19 judges.

        Informational checks do not count. A failure in a separate cell removes only its claims'
        verdict and makes the run suspect at worst; its warnings appear beside its claims.
        """
        counted = [
            check for check in self.checks if not check.cell.startswith(f"{Scenario.FLOOR}/")
        ]
        worst = worst_trust_level(
            tuple(check for check in counted if check.cell not in self.separate_cells)
        )
        broken = any(
            check.status is CheckStatus.FAIL and not check.is_informational for check in counted
        )
        return TrustLevel.SUSPECT if worst is TrustLevel.TRUSTED and broken else worst

    def checks_for(self, needs: tuple[str, ...], status: CheckStatus) -> list[Check]:
        """Checks with `status` of the cells a claim needs, with the neighbours beside them.

        `needs` are beginnings of cells' names.
        """
        variants = {need.split("/")[1] for need in needs if need.count("/") > 1}
        matches = []
        for check in self.checks:
            if check.status is status and not check.is_informational:
                scenario, _, level = check.cell.partition("/")
                is_beside = scenario == Scenario.NEIGHBOURS and level.partition("/")[0] in variants
                matches += (
                    [check]
                    if is_beside or any(check.cell.startswith(need) for need in needs)
                    else []
                )
        return matches

    def first_failure(self, needs: tuple[str, ...]) -> Check | None:
        """The first failed check of the cells that a claim needs."""
        return next(iter(self.checks_for(needs, CheckStatus.FAIL)), None)

    @property
    def trust_by_cell(self) -> dict[str, TrustLevel]:
        """How far each cell can be trusted; `*` is the run as a whole."""
        names = dict.fromkeys(check.cell for check in self.checks)
        return {
            cell: worst_trust_level(tuple(check for check in self.checks if check.cell == cell))
            for cell in names
        }

    @property
    def problem_checks(self) -> list[Check]:
        """The checks that failed, then those that warn."""
        order = [CheckStatus.FAIL, CheckStatus.WARN]
        problems = [
            check
            for check in self.checks
            if check.status in order
            and not check.is_informational
            and check not in self.separate_warnings
        ]
        return sorted(problems, key=lambda check: order.index(check.status))

    @property
    def separate_warnings(self) -> list[Check]:
        """Warnings of separate cells: each appears beside the claims that need it."""
        return [
            check
            for check in self.checks
            if check.status is CheckStatus.WARN
            and check.cell in self.separate_cells
            and not check.is_informational
        ]

    @property
    def unavailable_checks(self) -> list[str]:
        """What could not be checked, without repeats, and why."""
        unknown = [check for check in self.checks if check.status is CheckStatus.UNKNOWN]
        return list(dict.fromkeys(f"{check.id} {check.name}: {check.why}" for check in unknown))

    @property
    def informational(self) -> list[Check]:
        """Informational checks that warn: facts about the server that never change trust."""
        return [
            check
            for check in self.checks
            if check.is_informational and check.status is CheckStatus.WARN
        ]

    @property
    def sentence(self) -> str:
        """How many checks this rests on, and how many could not be made."""
        asked = [check for check in self.checks if not check.is_informational]
        passed, unknown = (
            sum(check.status is status for check in asked)
            for status in (CheckStatus.PASS, CheckStatus.UNKNOWN)
        )
        rest = f", {unknown} not possible here" if unknown else ""
        return f"{passed} of {format_count(len(asked) - unknown, 'check')} passed{rest}"


def worst_trust_level(checks: tuple[Check, ...]) -> TrustLevel:
    """The trust level that follows from a set of checks."""
    statuses = {check.status for check in checks if not check.is_informational}
    if CheckStatus.FAIL in statuses:
        return TrustLevel.UNTRUSTED
    return TrustLevel.SUSPECT if CheckStatus.WARN in statuses else TrustLevel.TRUSTED
