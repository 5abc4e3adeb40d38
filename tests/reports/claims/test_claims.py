"""Claims on simulated runs: each can be measured alone, and a run of the opposite refutes it."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.claims import CLAIMS, select_claims
from reports.claims.model import ClaimResult
from reports.report import build_report
from reports.stats.intervals import product_interval, throughput_interval
from results.errors import AtonceError
from results.verdicts import ClaimOutcome
from scenarios.plans.reproduce import plan_for_claims
from tests.support.processes import ROOT
from tests.support.simulate_run import HONEST, Truth, World, write

Facts = Callable[[dict[str, Any]], None]


def judged(
    folder: Path, claim: str, truths: dict[str, Truth] | None = None, facts: Facts = lambda _: None
) -> ClaimResult:
    """Judge a claim on a simulated run; `truths` by variant, `facts` changes run.json."""
    world = World(
        plan=plan_for_claims(set(select_claims([claim])[0].needs)),
        truths={**HONEST, **(truths or {})},
        facts=facts,
    )
    return next(
        evaluated.result
        for evaluated in build_report(write(folder, world)).claims
        if evaluated.claim.id == claim
    )


OPPOSITES = [
    ("gather-overlaps", {"async gather": Truth(10_000, stretch=2.0)}),  # no overlap after all
    # overlap where there should be none
    ("gather-overlaps", {"async in-turn": Truth(10_000, stretch=0.5)}),
]


@pytest.mark.parametrize(("claim", "truths"), OPPOSITES)
def test_the_opposite_is_refuted(tmp_path: Path, claim: str, truths: dict[str, Truth]) -> None:
    """And the honest run is not."""
    assert judged(tmp_path / "honest", claim).outcome is ClaimOutcome.CONFIRMED
    assert judged(tmp_path / "planted", claim, truths).outcome is ClaimOutcome.REFUTED


def test_every_claim_has_a_planted_opposite() -> None:
    """A new claim comes with the run that refutes it, in the `OPPOSITES` of a test file."""
    planted: set[str] = set()
    for path in (ROOT / "tests" / "reports").rglob("test_*.py"):
        if "OPPOSITES = [" in path.read_text(encoding="utf-8"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            planted |= {case[0] for case in import_module(module).OPPOSITES}
    elsewhere = {"loop-fairness"}  # test_repeats.py
    assert {claim.id for claim in CLAIMS} == planted | elsewhere


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_each_claim_can_be_measured_alone_in_a_minute(claim: Any) -> None:
    """Everything it needs is in the full plan. The claim with four servers may take two minutes."""
    plan = plan_for_claims(set(claim.needs))
    names = [cell.name for cell in plan.cells] + [
        f"asked/{act.name}" for act in plan.sessions if act.extra_requests
    ]
    assert [need for need in claim.needs if not any(name.startswith(need) for name in names)] == []
    assert plan.estimate() <= (120 if claim.id == "loop-fairness" else 60)


def test_what_is_not_installed_is_untested_with_the_targets_own_words(tmp_path: Path) -> None:
    """Never refuted, and never left out."""

    def without(facts: dict[str, Any]) -> None:
        gone = [cell["name"] for cell in facts["plan"]["cells"] if "in-turn" in cell["name"]]
        facts["plan"]["cells"] = [
            cell for cell in facts["plan"]["cells"] if cell["name"] not in gone
        ]
        facts["skipped"] = {
            "async in-turn": {"why": "needs a part: pip install part", "cells": gone}
        }

    result = judged(tmp_path, "gather-overlaps", facts=without)
    assert (result.outcome, result.why) == (ClaimOutcome.UNTESTED, "needs a part: pip install part")


def test_a_claim_that_does_not_exist_is_a_sentence() -> None:
    """With those that do."""
    with pytest.raises(AtonceError, match=r"There is no claim 'x'. There are: blocks-loop, "):
        select_claims(["x"])


@pytest.mark.parametrize("places", [1, 6, 40])
def test_the_interval_of_a_rate_covers_the_truth(places: int) -> None:
    """Service times scatter by a tenth, 16 rounds: some 95 % of the intervals hold the rate."""
    chance, hits = np.random.default_rng(places), 0
    for _ in range(300):
        done = np.cumsum(chance.normal(1.0, 0.1, (places, 16 * 6)), axis=1).ravel()
        done = np.sort(done[done <= 80])
        low, high = throughput_interval(done, places) or (0.0, np.inf)
        hits += low <= places <= high
    assert 0.88 <= hits / 300 <= 1.0


def test_pieces_smaller_than_a_few_clumps_have_no_interval() -> None:
    """Forty answers at a time: the cut would decide."""
    assert throughput_interval(np.repeat(np.arange(30.0), 40), 40) is None
    assert throughput_interval(np.repeat(np.arange(60.0), 40), 40) is not None


def test_a_product_with_a_measurement_that_reaches_nothing_reaches_nothing() -> None:
    """The interval of few, mostly quick requests may go below zero: no logarithm of that."""
    low, high = product_interval(10.0, (9.0, 11.0), 0.1, (-0.02, 0.2)) or (1.0, 0.0)
    assert (low, round(high, 2)) == (0.0, 2.01)
    assert product_interval(0.0, (0.0, 1.0), 0.1, (0.05, 0.2)) is None
