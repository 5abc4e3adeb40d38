"""What a claim is, and the two questions that several claims ask of a neighbour."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from reports.checks.model import Belief, CheckStatus, Trust
from reports.formatting import between, places, seconds, times
from reports.metrics.model import Bystander, Level, Route, Study
from reports.stats.intervals import Interval


class Outcome(StrEnum):
    """What became of a claim."""

    CONFIRMED = "confirmed"  # measured as stated
    NUANCED = "nuanced"  # true, with a limit that the lesson does not mention
    REFUTED = "refuted"  # measured otherwise
    UNTESTED = "untested"  # a part that it takes is missing from this run


@dataclass(frozen=True, slots=True)
class Judgement:
    """What theory predicts, what was measured, and what follows."""

    predicted: str
    measured: str
    outcome: Outcome
    why: str
    bars: tuple[tuple[str, float], ...] = ()  # a small picture, where it says it faster: what, and how many at once (or how long)


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the lesson, in our words, and how to judge it. `source` is the section it comes from."""

    id: str
    sentence: str
    source: str
    judge: Callable[[Study], Judgement]
    needs: tuple[str, ...]  # what must be measured for it: beginnings of cells' names, `asked/<act>` for questions


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim and its judgement."""

    claim: Claim
    judgement: Judgement


class Untestable(Exception):  # noqa: N818 - not an error: the claim is untested
    """Raised by a judge who misses a part; its words name the part."""


def judge(claim: Claim, study: Study, trust: Trust) -> Judged:
    """Judge one claim; what is missing makes it untested, never confirmed, and so does a run, or a cell, that cannot be trusted."""
    if trust.belief is Belief.UNTRUSTED:
        return Judged(claim, Judgement("-", "-", Outcome.UNTESTED, "the run cannot be trusted"))
    if fault := trust.fault(claim.needs):
        why = f"what it needs cannot be trusted: {fault.id} {fault.name}, {fault.cell}: {fault.why}"
        return Judged(claim, Judgement("-", "-", Outcome.UNTESTED, why))
    if absent := study.absent(claim.needs):
        return Judged(claim, Judgement("-", "-", Outcome.UNTESTED, absent))
    warned = list(dict.fromkeys(f"{one.id} {one.name}" for one in trust.concerning(claim.needs, CheckStatus.WARN)))
    try:
        found = claim.judge(study)
        return Judged(claim, replace(found, why=f"{found.why} (in doubt: {', '.join(warned)})") if warned else found)
    except Untestable as missing:
        return Judged(claim, Judgement("-", "-", Outcome.UNTESTED, f"missing from this run: {missing}"))


def measured_route(study: Study, variant: str) -> tuple[Route, Level, float, float]:
    """A route with its top level, service time (seconds) and served at once. Raises Untestable when one is missing."""
    route = study.route(variant)
    if route is None or route.top is None or route.top.users == 1 or route.service is None or route.served is None:
        raise Untestable(f"the crowd on /{variant}")
    return route, route.top, route.service, route.served


def alone(study: Study, variant: str, unit: float) -> tuple[float, Interval | None]:
    """The unloaded latency of an experiment in units of so many seconds, with its interval. Raises Untestable without one."""
    route = study.route(variant)
    if route is None or route.service is None:
        raise Untestable(f"one user on /{variant}")
    low, high = route.services or (None, None)
    return route.service / unit, (low / unit, high / unit) if low and high else None


def neighbour(route: Route, kind: str) -> tuple[Bystander, float]:
    """One neighbour and how many times longer its p90 became. Raises Untestable without enough pings."""
    found = route.bystanders.get(kind)
    if found is None or found.ratio is None:
        raise Untestable(f"the {kind} neighbour beside {route.route}")
    return found, found.ratio


def at_once(route: Route) -> str:
    """Served at once with its interval; at least so many where nobody had to wait."""
    words = between(route.served or 0.0, route.served_between)
    return words if route.capacity else f">= {places(route.served or 0.0)}"


CALM = 0.010  # seconds: a neighbour's p90 below this is calm on any machine
CALM_RATIO = 3.0  # or up to this many times its idle p90: the core is shared, after all
FROZEN_RATIO = 20.0  # a neighbour of a held loop waits for whole service times, not for a few milliseconds


def is_calm(found: Bystander) -> bool:
    """Whether a neighbour hardly noticed the load."""
    assert found.loaded and found.idle  # noqa: S101, PT018 - `neighbour` saw to it
    return found.loaded.high <= max(CALM, CALM_RATIO * found.idle.low)


def felt(found: Bystander) -> str:
    """A neighbour's p90, idle and loaded, in words."""
    assert found.loaded and found.idle and found.ratio  # noqa: S101, PT018 - `neighbour` saw to it
    at_least = "" if found.loaded.exact else ">= "
    return f"{found.kind} neighbour p90 {seconds(found.idle.low)} -> {at_least}{seconds(found.loaded.low)} ({times(found.ratio)})"


POOL_TOLERANCE = 0.10  # how near the plateau must lie to the documented size of the pool


def judge_pool(study: Study, variant: str, places: int, formula: str, limit: str) -> Judgement:
    """A pool that leaves the loop free, up to its documented size: true, with a limit that the lesson leaves out.

    `formula` says where the size comes from, `limit` what happens past it. The size is the documented one, never what
    the app reports: a widened pool must refute the claim.
    """
    route, top, _, served = measured_route(study, variant)
    if top.users < places * (1 + POOL_TOLERANCE):
        raise Untestable(f"more than {places} users on /{variant}")
    beside, _ = neighbour(route, "async")
    holds = is_calm(beside) and near(served, places, POOL_TOLERANCE)
    return Judgement(
        predicted=f"{formula} = {places} at once; the async neighbour calm",
        measured=f"{at_once(route)} at once with {top.users} users; {felt(beside)}",
        outcome=Outcome.NUANCED if holds else Outcome.REFUTED,
        why=limit if holds else "the loop was not left free, or the pool does not have the documented size",
    )


def near(value: float, wanted: float, tolerance: float) -> bool:
    """Whether a value lies within a relative tolerance of what was predicted."""
    return abs(value / wanted - 1) <= tolerance
