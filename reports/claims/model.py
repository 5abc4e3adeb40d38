"""What a claim is, and the two questions that several claims ask of a neighbour."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from reports.checks.model import CheckStatus, TrustLevel, TrustReport
from reports.formatting import (
    format_ratio,
    format_seconds,
    format_served_at_once,
    format_with_interval,
)
from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics, RunMetrics
from reports.stats.intervals import Interval


class ClaimOutcome(StrEnum):
    """What became of a claim."""

    CONFIRMED = "confirmed"  # measured as stated
    NUANCED = "nuanced"  # true, with a limit that the lesson does not mention
    REFUTED = "refuted"  # measured otherwise
    UNTESTED = "untested"  # a part that it takes is missing from this run


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What theory predicts, what was measured, and what follows."""

    predicted: str
    measured: str
    outcome: ClaimOutcome
    why: str
    bars: tuple[
        tuple[str, float], ...
    ] = ()  # a small picture, where it says it faster: what, and how many at once (or how long)


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the lesson, and how to judge it. `source` is its section."""

    id: str
    sentence: str
    source: str
    judge: Callable[[RunMetrics], ClaimResult]
    needs: tuple[
        str, ...
    ]  # what must be measured for it: beginnings of cells' names, `asked/<act>` for questions


@dataclass(frozen=True, slots=True)
class EvaluatedClaim:
    """A claim and its judgement."""

    claim: Claim
    result: ClaimResult


class MissingData(Exception):  # noqa: N818 - not an error: the claim is untested
    """Raised by a judge who misses a part; its words name the part."""


def judge_claim(claim: Claim, run_metrics: RunMetrics, trust: TrustReport) -> EvaluatedClaim:
    """Judge one claim; missing data, or an untrusted run or cell, makes it untested."""
    if trust.trust_level is TrustLevel.UNTRUSTED:
        return EvaluatedClaim(
            claim, ClaimResult("-", "-", ClaimOutcome.UNTESTED, "the run cannot be trusted")
        )
    if fault := trust.first_failure(claim.needs):
        why = f"what it needs cannot be trusted: {fault.id} {fault.name}, {fault.cell}: {fault.why}"
        return EvaluatedClaim(claim, ClaimResult("-", "-", ClaimOutcome.UNTESTED, why))
    if absent := run_metrics.absence_reason(claim.needs):
        return EvaluatedClaim(claim, ClaimResult("-", "-", ClaimOutcome.UNTESTED, absent))
    warnings = list(
        dict.fromkeys(
            f"{check.id} {check.name}" for check in trust.checks_for(claim.needs, CheckStatus.WARN)
        )
    )
    try:
        result = claim.judge(run_metrics)
        return EvaluatedClaim(
            claim,
            (
                replace(result, why=f"{result.why} (in doubt: {', '.join(warnings)})")
                if warnings
                else result
            ),
        )
    except MissingData as missing:
        return EvaluatedClaim(
            claim, ClaimResult("-", "-", ClaimOutcome.UNTESTED, f"missing from this run: {missing}")
        )


def measured_route(
    run_metrics: RunMetrics, variant: str
) -> tuple[RouteMetrics, CrowdMetrics, float, float]:
    """Route, top level, service time (s) and served at once. May raise MissingData."""
    route = run_metrics.find_route(variant)
    if (
        route is None
        or route.top_level is None
        or route.top_level.users == 1
        or route.unloaded_mean is None
        or route.served_at_once is None
    ):
        raise MissingData(f"the crowd on /{variant}")
    return route, route.top_level, route.unloaded_mean, route.served_at_once


def relative_unloaded_mean(
    run_metrics: RunMetrics, variant: str, unit: float
) -> tuple[float, Interval | None]:
    """Unloaded latency in units of `seconds`, with its interval. May raise MissingData."""
    route = run_metrics.find_route(variant)
    if route is None or route.unloaded_mean is None:
        raise MissingData(f"one user on /{variant}")
    low, high = route.unloaded_interval or (None, None)
    return route.unloaded_mean / unit, (low / unit, high / unit) if low and high else None


def measured_neighbour(route: RouteMetrics, kind: str) -> tuple[NeighbourMetrics, float]:
    """A neighbour and its slowdown (p90). Raises MissingData without enough pings."""
    metrics = route.neighbours.get(kind)
    if metrics is None or metrics.slowdown is None:
        raise MissingData(f"the {kind} neighbour beside {route.route}")
    return metrics, metrics.slowdown


def format_served_interval(route: RouteMetrics) -> str:
    """Served at once with its interval; at least so many where nobody had to wait."""
    text = format_with_interval(route.served_at_once or 0.0, route.served_at_once_interval)
    return text if route.capacity else f">= {format_served_at_once(route.served_at_once or 0.0)}"


_CALM_P90 = 0.010  # seconds: a neighbour's p90 below this is calm on any machine
_CALM_RATIO = 3.0  # or up to this many times its idle p90: the core is shared, after all
FROZEN_RATIO = (
    20.0  # a neighbour of a held loop waits for whole service times, not for a few milliseconds
)


def is_neighbour_calm(neighbour: NeighbourMetrics) -> bool:
    """Whether a neighbour hardly noticed the load."""
    assert neighbour.loaded and neighbour.idle  # noqa: S101, PT018 - `neighbour` saw to it
    return neighbour.loaded.high <= max(_CALM_P90, _CALM_RATIO * neighbour.idle.low)


def format_neighbour_p90(neighbour: NeighbourMetrics) -> str:
    """A neighbour's p90, idle and loaded, in words."""
    # `neighbour` saw to it
    assert neighbour.loaded and neighbour.idle and neighbour.slowdown  # noqa: S101, PT018
    at_least = "" if neighbour.loaded.exact else ">= "
    return (
        f"{neighbour.kind} neighbour p90 {format_seconds(neighbour.idle.low)} ->"
        f" {at_least}{format_seconds(neighbour.loaded.low)} ({format_ratio(neighbour.slowdown)})"
    )


POOL_TOLERANCE = 0.10  # how near the plateau must lie to the documented size of the pool


def judge_pool(
    run_metrics: RunMetrics, variant: str, pool_size: int, formula: str, limit: str
) -> ClaimResult:
    """Judge a pool that leaves the loop free, up to its documented size.

    `formula` says where the size comes from, `limit` what happens past it. The size is the
    documented one, never what the app reports: a widened pool must refute the claim.
    """
    route, top, _, served = measured_route(run_metrics, variant)
    if top.users < pool_size * (1 + POOL_TOLERANCE):
        raise MissingData(f"more than {pool_size} users on /{variant}")
    async_neighbour, _ = measured_neighbour(route, "async")
    holds = is_neighbour_calm(async_neighbour) and is_near(served, pool_size, POOL_TOLERANCE)
    return ClaimResult(
        predicted=f"{formula} = {pool_size} at once; the async neighbour calm",
        measured=(
            f"{format_served_interval(route)} at once with {top.users} users;"
            f" {format_neighbour_p90(async_neighbour)}"
        ),
        outcome=ClaimOutcome.NUANCED if holds else ClaimOutcome.REFUTED,
        why=(
            limit
            if holds
            else "the loop was not left free, or the pool does not have the documented size"
        ),
    )


def is_near(value: float, expected: float, tolerance: float) -> bool:
    """Whether a value lies within a relative tolerance of what was predicted."""
    return abs(value / expected - 1) <= tolerance
