"""Claims on CPU: runs that show them, runs of the opposite, and what a neighbour's delay shows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.checks.model import TrustLevel
from reports.claims import select_claims
from reports.claims.cpu import NeighbourWait, classify_wait
from reports.metrics.compute import compute_metrics
from reports.metrics.model import NeighbourMetrics
from reports.metrics.run_data import load_run
from reports.report import build_report
from reports.stats.quantiles import Estimate
from reports.verdicts.findings import decide_verdict
from results.verdicts import ClaimOutcome, Verdict
from scenarios.plans.reproduce import plan_for_claims
from tests.support.simulate_run import HONEST, Truth, World, write

WORK = 0.05
HOP, NOOP = 0.00009, 0.00013
SHOWN: dict[str, Truth] = {
    **HONEST,
    "broken-async cpu": Truth(1, holds_loop=True, cpu=WORK),
    "broken-async hash": Truth(1, holds_loop=True, cpu=WORK),
    "to-thread cpu": Truth(1, turns=0.03, cpu=WORK),
    "to-thread hash": Truth(1, turns=0.001, cpu=WORK),
    "async process-pool": Truth(2),
    "async noop": Truth(10_000, cpu=NOOP),
    "sync noop": Truth(10_000, cpu=NOOP + HOP),
}
HONESTLY = [
    ("cpu-blocks", ClaimOutcome.CONFIRMED, "the loop computes one thing at a time"),
    # a limit that the lesson leaves out
    ("process-pool-frees", ClaimOutcome.NUANCED, "true, up to 2"),
    ("overhead", ClaimOutcome.CONFIRMED, "a hop costs 0.09"),  # as planted
]
OPPOSITES = [
    # neither served singly nor a delayed neighbour
    ("cpu-blocks", {"broken-async cpu": Truth(4, cpu=WORK)}),
    # served singly, but the loop lives
    ("cpu-blocks", {"broken-async cpu": Truth(1, turns=0.03, cpu=WORK)}),
    # it does not compute: it waits
    ("cpu-blocks", {"broken-async hash": Truth(1, holds_loop=True)}),
    # the thread holds the loop as well
    ("cpu-blocks", {"to-thread cpu": Truth(1, holds_loop=True, cpu=WORK)}),
    ("cpu-blocks", {"to-thread cpu": Truth(4, cpu=WORK / 4)}),  # threads that compute at once
    # the GIL costs the loop nothing
    ("cpu-blocks", {"to-thread cpu": Truth(1, turns=0.001, cpu=WORK)}),
    # and hashing keeps it after all
    ("cpu-blocks", {"to-thread hash": Truth(1, turns=0.03, cpu=WORK)}),
    ("process-pool-frees", {"async process-pool": Truth(1)}),  # as much as a single interpreter
    # as many as cores, but it blocks the loop
    ("process-pool-frees", {"async process-pool": Truth(2, holds_loop=True)}),
    ("overhead", {"sync noop": Truth(10_000, cpu=NOOP)}),  # a hop that costs nothing
]


def plan_request(facts: dict[str, Any]) -> None:
    """Plan a request to the pool's workers."""
    facts["extra_requests"] = {"async process-pool": ["/cpu/workers"]}


def add_worker_answers(facts: dict[str, Any]) -> None:
    """They have."""
    plan_request(facts)
    answer = {"/cpu/workers": {"status": 200, "body": json.dumps({"workers": 2, "nice": 10})}}
    facts["answers"] = {"async process-pool": {"answers": [answer, answer], "log": ""}}


def judged(
    folder: Path,
    claim: str,
    truths: dict[str, Truth],
    facts: Callable[[dict[str, Any]], None] = add_worker_answers,
) -> Any:
    """Return the result of a claim on a simulated run of what it needs."""
    world = World(
        plan=plan_for_claims(set(select_claims([claim])[0].needs)),
        truths={**SHOWN, **truths},
        facts=facts,
    )
    return next(
        evaluated.result
        for evaluated in build_report(write(folder, world)).claims
        if evaluated.claim.id == claim
    )


@pytest.mark.parametrize(("claim", "truths"), OPPOSITES)
def test_the_opposite_is_refuted(tmp_path: Path, claim: str, truths: dict[str, Truth]) -> None:
    """Whatever else is as it should be."""
    assert judged(tmp_path, claim, truths).outcome is ClaimOutcome.REFUTED


@pytest.mark.parametrize(("claim", "outcome", "why"), HONESTLY)
def test_an_honest_run_shows_them(
    tmp_path: Path, claim: str, outcome: ClaimOutcome, why: str
) -> None:
    """Each with its reason."""
    result = judged(tmp_path, claim, {})
    assert (result.outcome, result.why[: len(why)]) == (outcome, why)


def test_a_pool_that_does_not_tell_its_size_is_untested(tmp_path: Path) -> None:
    """Nothing is guessed."""
    assert judged(tmp_path, "process-pool-frees", {}, plan_request).outcome is ClaimOutcome.UNTESTED


@pytest.mark.parametrize(
    ("variant", "verdict"),
    [
        ("broken-async cpu", Verdict.LOOP_BUSY),
        ("to-thread cpu", Verdict.GIL_BOUND),
        ("to-thread hash", Verdict.SCALES),
    ],
)
def test_the_ways_to_compute_have_verdicts_of_their_own(
    tmp_path: Path, variant: str, verdict: Verdict
) -> None:
    """All serve a single request at once on a full core; only the neighbour differs."""
    world = World(plan=plan_for_claims({"neighbours/", f"crowd/{variant}/"}), truths=SHOWN)
    route = compute_metrics(load_run(write(tmp_path, world))).find_route(variant)
    assert route is not None
    assert decide_verdict(route, TrustLevel.TRUSTED) is verdict


def test_the_loop_threads_own_cpu_decides_before_the_neighbour(tmp_path: Path) -> None:
    """The neighbour of threads that compute may wait as long as that of a held loop."""
    variant = "broken-async cpu"
    world = World(plan=plan_for_claims({"neighbours/", f"crowd/{variant}/"}), truths=SHOWN)
    route = compute_metrics(load_run(write(tmp_path, world))).find_route(variant)
    assert route is not None
    for loop_cpu, verdict in ((0.9, Verdict.LOOP_BUSY), (0.1, Verdict.GIL_BOUND)):
        levels = tuple(replace(level, loop_cpu=loop_cpu) for level in route.levels)
        assert decide_verdict(replace(route, levels=levels), TrustLevel.TRUSTED) is verdict


@pytest.mark.parametrize(
    ("felt", "service", "wait"),
    [
        (0.003, 0.05, NeighbourWait.NOTHING),
        (0.020, 0.05, NeighbourWait.TURNS),
        (0.040, 0.05, NeighbourWait.TURNS),
        (0.150, 0.05, NeighbourWait.REQUESTS),
        (0.040, 0.01, None),  # a request as short as a few turns
    ],
)
def test_a_neighbour_waits_for_nothing_for_turns_or_for_requests(
    felt: float, service: float, wait: NeighbourWait | None
) -> None:
    """Four users: turns take 40 ms, requests of 50 ms take 180."""
    neighbour = NeighbourMetrics(
        "async", Estimate(0.002, 0.002), Estimate(felt, felt), 100, 100, None
    )
    assert classify_wait(neighbour, 4, service) is wait
