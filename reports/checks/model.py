"""What a check is: a number of one cell between two limits, with its reason and what to do about it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reports.formatting import count, share
from results.schema import Scenario

Limit = float | tuple[float, float]


class CheckStatus(StrEnum):
    """What one check found."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # this machine, or this run, cannot tell


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one cell (or of the whole run: cell `*`).

    A limit is the largest size the value may have, or the range it must lie in. A *finding* changes words, never trust: it
    says something about the server, not about the measurement.
    """

    id: str
    name: str
    cell: str
    value: float | None
    pass_limit: Limit
    fail_limit: Limit
    why: str
    in_words: Callable[[float], str] = share
    is_finding: bool = False
    advice: str = ""  # what to do, where it is more than the usual

    @property
    def status(self) -> CheckStatus:
        """Pass inside the first limit, fail outside the second; a finding never fails."""
        if self.value is None:
            return CheckStatus.UNKNOWN
        if within(self.value, self.pass_limit):
            return CheckStatus.PASS
        return CheckStatus.WARN if self.is_finding or within(self.value, self.fail_limit) else CheckStatus.FAIL

    def told(self, limit: Limit) -> str:
        """A limit in words."""
        if not isinstance(limit, tuple):
            return self.in_words(limit)
        low, high = limit
        return f"{self.in_words(low)} or more" if math.isinf(high) else f"{self.in_words(low)} to {self.in_words(high)}"

    @property
    def remedy(self) -> str:
        """What to do when it does not pass."""
        return "" if self.status is CheckStatus.PASS else self.advice or REMEDIES[self.id]


def within(value: float, limit: Limit) -> bool:
    """Whether a value keeps a limit."""
    low, high = limit if isinstance(limit, tuple) else (-limit, limit)
    return low <= value <= high


REMEDIES = {
    "V1": "Use a host whose monotonic clock is sound; do not believe any duration of this one.",
    "V2": "Give the generator a core of its own, stop what else runs, or ask for less.",
    "V3": "Ask for a lower rate, or spread it over more generator processes (plain Locust: --processes).",
    "V4": "Let the run end by itself; else ask for a lower rate, or raise --cap. log.txt tells what stopped the sending.",
    "V5": "Ask for a lower rate, or spread it over more generator processes (plain Locust: --processes).",
    "V6": "Ask for --arrivals constant if that is what you want; otherwise the generator was too busy to keep its schedule.",
    "V7": "Drain longer (--drain), or ask for less: what is cut off is what was slow.",
    "V8": "Look at the answers before their speed: statuses are in samples.parquet, the app's words in log.txt.",
    "V9": "Ask for less, or spread the load over more generator processes (plain Locust: --processes).",
    "V10": "Stop what else runs on this machine, or measure on one that is not shared.",
    "V11": "Do not edit the rows. If nobody did, please report this: requests were lost between counter and rows.",
    "V12": "Spread the users over more generator processes (plain Locust: --processes): the generator needs the time that its users should wait.",
    "V13": "Measure on one host, with one clock; if it was one, please report this.",
    "V14": "Look for what stands between: a proxy, a busy core, a socket without TCP_NODELAY.",
    "V15": "Run longer, or warm the app up before.",
    "V16": "Find out what changed during the run: memory, a cache, another load. One number cannot stand for it.",
    "V17": "Run longer, or quote a lower percentile.",
    "V18": "Repeat with restarted servers: --repeat 5.",
    "V19": "Measure a route that takes longer, or ask for less: here the rig itself is part of the number.",
    "V20": "Read the route's own mean and percentiles; a formula for a fixed service time does not hold for it.",
    "V21": "Keep connections alive on the server for longer than the run, and give the client enough of them.",
    "V22": "Name what is missing beside the number when you quote it.",
    "V23": "Nothing to mend in the run: the server serves out of order, so quote the mean, and the tail as unfairness.",
    "V24": "Run longer (-t), or with fewer users: the window should hold several rounds of all of them.",
}


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
