"""May this run be believed? Checks per cell, each with its number, its limits and its reason: doubt is data.

A run is `trusted` when all checks that can be made pass, `suspect` on a warning, `untrusted` on a failure. An untrusted
run prints its reasons and no other verdict. The limits are those of the measurement handbook's part on validity.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reports.percentiles import QUANTILES, is_supported
from reports.study import Offered, Study, Tally
from reports.wording import number, seconds, share


class Belief(StrEnum):
    """How far a run may be believed."""

    TRUSTED = "trusted"
    """All checks passed."""
    SUSPECT = "suspect"
    """A check warns: read the reason before you quote the number."""
    UNTRUSTED = "untrusted"
    """A check failed: no other verdict is given."""


class CheckStatus(StrEnum):
    """What one check found."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """This machine, or this run, cannot tell."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one cell (or of the whole run: cell `*`). The value is better the smaller it is."""

    id: str
    name: str
    cell: str
    value: float | None
    pass_limit: float
    fail_limit: float
    why: str
    in_words: Callable[[float], str] = share

    @property
    def status(self) -> CheckStatus:
        """Pass up to the first limit, fail beyond the second."""
        if self.value is None:
            return CheckStatus.UNKNOWN
        if abs(self.value) <= self.pass_limit:
            return CheckStatus.PASS
        return CheckStatus.FAIL if abs(self.value) > self.fail_limit else CheckStatus.WARN


@dataclass(frozen=True, slots=True)
class Trust:
    """All checks of a run, and what follows from them."""

    checks: tuple[Check, ...]

    @property
    def belief(self) -> Belief:
        """The worst check decides."""
        found = {check.status for check in self.checks}
        if CheckStatus.FAIL in found:
            return Belief.UNTRUSTED
        return Belief.SUSPECT if CheckStatus.WARN in found else Belief.TRUSTED

    @property
    def doubts(self) -> list[Check]:
        """The checks that did not pass, worst first."""
        order = [CheckStatus.FAIL, CheckStatus.WARN, CheckStatus.UNKNOWN]
        return sorted((one for one in self.checks if one.status in order), key=lambda one: order.index(one.status))


ORIGIN = {
    "machine": ("python", "cpus", "system"),
    "packages": ("fastapi", "uvicorn", "anyio", "starlette", "uvloop", "locust", "gevent"),
}
RUNTIME = ("loop", "http_parser", "thread_tokens", "executor_size")


def trust(study: Study) -> Trust:
    """Check every cell that was measured, and the run as a whole."""
    return Trust(tuple(checks(study)))


def checks(study: Study) -> Iterator[Check]:
    """Every check that this run allows, cell by cell."""
    counts = {level.cell: level.count for route in study.routes for level in route.levels}
    loads = {load.cell: load for route in study.routes for load in route.offered}
    for tally in study.tallies:
        load = loads.get(tally.cell)
        count = load.latency.count if load and load.latency else counts.get(tally.cell)
        yield from counted(tally, count, overloaded=bool(load and load.overloaded))
        if tally.has_window:
            yield reconciled(tally)
        if load:
            yield from punctual(load)
    for level in () if study.reproduces else [level for route in study.routes for level in route.levels]:
        if level.little:
            why = "part of the users' time lies in requests planned before the window: unequal turns, so mean and percentiles are too short"
            yield Check("V11", "little residual", level.cell, level.little.residual, level.edge, 1.0, why)
    for one in study.missing:
        yield Check("V4", "all sent", one.cell, None, 0.0, 0.005, "planned, and not measured to its end")
    yield origin(study)
    if not study.tallies:
        yield Check("V4", "all sent", "*", 1.0, 0.0, 0.005, "no cell was measured to its end")


def counted(tally: Tally, count: int | None, *, overloaded: bool) -> Iterator[Check]:
    """V4, V7, V8: was all sent, did all come back, and rightly? The limits tighten with the quantile that is claimed.

    Overload is a finding: what is still queueing when such a test ends takes nothing away from it.
    """
    claimed = 0.9 if count is None else max((q for q in QUANTILES.values() if is_supported(count, q)), default=0.5)
    tail = (1 - claimed) / 2
    unsent, open_, wrong = tally.planned - tally.sent, tally.unfinished, tally.errors
    planned, sent = max(tally.planned, 1), max(tally.sent, 1)
    why = f"{unsent} of {tally.planned} planned requests were never sent"
    yield Check("V4", "all sent", tally.cell, unsent / planned, 0.0, 0.005, why)
    why = f"{open_} of {tally.sent} requests were unanswered when the drain ended: the slow ones are missing from the tail"
    if not overloaded:
        yield Check("V7", "completion", tally.cell, open_ / sent, 0.0, tail, why)
    why = f"{wrong} of {tally.sent} answers were errors or wrong bodies: quick errors flatter percentiles"
    yield Check("V8", "errors", tally.cell, wrong / sent, 0.001, min(0.01, tail), why)


def punctual(load: Offered) -> Iterator[Check]:
    """V3 and V6: whether the requests left when planned, and, where the plan says so, as independent users would."""
    median = load.latency.quantiles["p50"] if load.latency else None
    usual = median.low if median else 0.0
    why = f"one request in a hundred left {seconds(load.lateness)} late or later: else the load is not the stated one"
    yield Check("V3", "lateness", load.cell, load.lateness, max(0.0015, 0.05 * usual), max(0.005, 0.1 * usual), why, seconds)
    for name, (gaps, variation, p) in zip(("schedule", "sends"), load.arrivals, strict=False):
        unlikely, near = -math.log10(max(p, 1e-99)), 3 / math.sqrt(gaps)
        why = f"Poisson arrivals are as unevenly spread as these with p = {p:.2g} (value and limits: -log10 p)"
        yield Check("V6", f"arrival law, {name}", load.cell, unlikely, 3.0, 6.0, why, "{:.3g}".format)
        why = f"the gaps scatter {number(variation)} times their mean; 1 is Poisson, 0 a metronome"
        yield Check("V6", f"arrival gaps, {name}", load.cell, variation - 1, near, max(0.3, near), why)


def reconciled(tally: Tally) -> Check:
    """V11: the rows and the in-flight counter, two sources, must tell the same story by Little's law."""
    value = tally.little.identity if tally.little else None
    off = "nothing was in flight" if value is None else f"rows and in-flight counter disagree by {share(abs(value))}"
    return Check("V11", "little identity", tally.cell, value, 0.005, 0.01, f"{off}: more than 1 % means lost rows")


def origin(study: Study) -> Check:
    """V22: everything that changes the law must be known. A package may be absent, but that must be recorded."""
    missing = [name for name in ("seed", "schedule", "loop", "workers", "connections", "plan") if name not in study.run]
    for section, names in ORIGIN.items():
        missing += [name for name in names if name not in study.run.get(section, {})]
    for variant, runtime in study.run.get("targets", {}).items():
        missing += [f"{variant}: {name}" for name in RUNTIME if runtime.get(name) is None]
        ran = str(runtime.get("loop")).partition(".")[0]
        asked = study.run.get("loop")
        missing += [f"{variant}: the loop that was asked for (it ran {ran})"] if asked not in {ran, "unknown"} else []
    foreign = study.run.get("host")
    if not study.run.get("targets") and not foreign:
        missing.append("what ran inside the target: its probe left no record")
    if foreign and not missing:
        why = f"{foreign} was not started by atonce: its versions, loop and workers are not known"
        return Check("V22", "origin", "*", None, 0.0, 0.0, why)
    why = f"missing: {', '.join(missing)}" if missing else "versions, loop, parser, pools, seed and plan are recorded"
    return Check("V22", "origin", "*", float(len(missing)), 0.0, 0.0, why)
