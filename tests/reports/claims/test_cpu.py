"""Claims on CPU: simulated runs that show them, and runs that show the opposite; what a neighbour's delay gives away."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.checks.model import TrustLevel
from reports.claims import ClaimOutcome, select_claims
from reports.metrics.compute import compute_metrics
from reports.metrics.model import NeighbourMetrics
from reports.metrics.run_data import load_run
from reports.report import build_report
from reports.stats.quantiles import Estimate
from reports.verdicts.findings import decide_verdict
from reports.verdicts.model import Verdict
from reports.verdicts.neighbours import NeighbourWait, classify_wait
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
    (
        "process-pool-frees",
        ClaimOutcome.NUANCED,
        "true, up to 2",
    ),  # a limit that the lesson leaves out
    ("overhead", ClaimOutcome.CONFIRMED, "a hop costs 0.09"),  # as planted
]
OPPOSITES = [
    (
        "cpu-blocks",
        {"broken-async cpu": Truth(4, cpu=WORK)},
    ),  # neither one at once nor a neighbour held up
    (
        "cpu-blocks",
        {"broken-async cpu": Truth(1, turns=0.03, cpu=WORK)},
    ),  # one at once, but the loop lives
    ("cpu-blocks", {"broken-async hash": Truth(1, holds_loop=True)}),  # nobody computes: it waits
    (
        "cpu-blocks",
        {"to-thread cpu": Truth(1, holds_loop=True, cpu=WORK)},
    ),  # the thread holds the loop as well
    ("cpu-blocks", {"to-thread cpu": Truth(4, cpu=WORK / 4)}),  # threads that compute at once
    (
        "cpu-blocks",
        {"to-thread cpu": Truth(1, turns=0.001, cpu=WORK)},
    ),  # the GIL costs the loop nothing
    (
        "cpu-blocks",
        {"to-thread hash": Truth(1, turns=0.03, cpu=WORK)},
    ),  # and hashing keeps it after all
    ("process-pool-frees", {"async process-pool": Truth(1)}),  # one interpreter's worth
    (
        "process-pool-frees",
        {"async process-pool": Truth(2, holds_loop=True)},
    ),  # as many as cores, and the loop is held
    ("overhead", {"sync noop": Truth(10_000, cpu=NOOP)}),  # a hop that costs nothing
]


def asked(facts: dict[str, Any]) -> None:
    """The pool's workers were to answer."""
    facts["asks"] = {"async process-pool": ["/cpu/workers"]}


def told(facts: dict[str, Any]) -> None:
    """They have."""
    asked(facts)
    answer = {"/cpu/workers": {"status": 200, "body": json.dumps({"workers": 2, "nice": 10})}}
    facts["told"] = {"async process-pool": {"answers": [answer, answer], "log": ""}}


def judged(
    folder: Path,
    claim: str,
    truths: dict[str, Truth],
    facts: Callable[[dict[str, Any]], None] = told,
) -> Any:
    """What becomes of a claim on a simulated run of what it needs."""
    world = World(
        plan=plan_for_claims(set(select_claims([claim])[0].needs)),
        truths={**SHOWN, **truths},
        facts=facts,
    )
    return next(
        one.result for one in build_report(write(folder, world)).claims if one.claim.id == claim
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
    found = judged(tmp_path, claim, {})
    assert (found.outcome, found.why[: len(why)]) == (outcome, why)


def test_a_pool_that_does_not_tell_its_size_is_untested(tmp_path: Path) -> None:
    """Nothing is guessed."""
    assert judged(tmp_path, "process-pool-frees", {}, asked).outcome is ClaimOutcome.UNTESTED


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
    """All serve one at once with a core full; the neighbour tells them apart."""
    world = World(plan=plan_for_claims({"neighbours/", f"crowd/{variant}/"}), truths=SHOWN)
    route = compute_metrics(load_run(write(tmp_path, world))).find_route(variant)
    assert route is not None
    assert decide_verdict(route, TrustLevel.TRUSTED) is verdict


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
    beside = NeighbourMetrics("async", Estimate(0.002, 0.002), Estimate(felt, felt), 100, 100, None)
    assert classify_wait(beside, 4, service) is wait
