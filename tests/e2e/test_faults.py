"""Faults planted on real servers and real Locust: each fails its check, and only its check."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from reports.checks.model import CheckStatus, TrustLevel
from reports.model import Report
from reports.report import build_report
from results.schema import ArrivalDistribution, Arrivals, Cell, ConnectionMode, Scenario, Variant
from scenarios.plans.cells import Times, variant_target
from scenarios.plans.model import Plan, Session
from scenarios.runner import run_plan
from tests.e2e.test_driver import run_of
from tests.support import faulty_generator as faults
from tests.support.trust_tolerances import failing, unsound

pytestmark = [pytest.mark.slow, pytest.mark.alone]
SECONDS = 0.02


def steady(repeat: int, *, warm: int = 64) -> Cell:
    """Arrivals at 100/s for 3 s on the awaiting route; the repeat selects the planted fault."""
    arrivals = Arrivals(
        law=ArrivalDistribution.POISSON,
        profile=((3.0, 100.0, 100.0),),
        pool=ConnectionMode.WARM,
        warm=warm,
        cap=200,
    )
    target, times = variant_target(Variant.ASYNC, SECONDS), Times(0.5, 2.5, 5.0)
    cell = target.create_cell(Scenario.STEADY, 100, times, arrivals=arrivals)
    return replace(cell, name=f"{cell.name}~{repeat}", repeat=repeat)


def crowd(drain: float, seconds: float = SECONDS) -> Cell:
    """16 users for 2 s."""
    target = variant_target(Variant.ASYNC, seconds)
    return target.create_cell(Scenario.CROWD, 16, Times(0.3, 1.7, drain))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One run with another generator fault in each cell, and none in the first and the last."""
    plan = Plan(
        SECONDS,
        (
            Session(
                Variant.ASYNC,
                SECONDS,
                (*map(steady, range(faults.CLEAN, faults.SPINS + 1)), crowd(5.0)),
            ),
        ),
        (),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_plan, "LOCUSTFILES", (*run_plan.LOCUSTFILES, faults.__file__))
        path, trouble = run_of(tmp_path_factory.mktemp("generator"), plan)
    assert trouble is None
    return build_report(path)


def test_nothing_fails_in_a_sound_cell(generator: Report) -> None:
    """No check fails in the open model, the closed one, or the run as a whole.

    Where other work was seen on the machine, only unsound results count.
    """
    for cell in (f"steady/async/100~{faults.CLEAN}", "crowd/async/16", "*"):
        assert unsound(generator, cell) == set()
        if all(
            check.status is CheckStatus.PASS
            for check in generator.trust.checks
            if check.id == "V10"
        ):
            assert failing(generator, cell) == set()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (faults.STALLS, "V2"),
        (faults.LATE, "V3"),
        (faults.SKIPS, "V4"),
        (faults.SLOW, "V5"),
        (faults.SPINS, "V9"),
    ],
)
def test_a_faulty_generator_is_found_out(generator: Report, fault: int, check: str) -> None:
    """It stands still, is late, skips requests, is too slow, has no CPU; or others took its CPU."""
    assert failing(generator, f"steady/async/100~{fault}") & {check, "V10"}
    assert generator.trust.trust_level is TrustLevel.UNTRUSTED


def test_a_faulty_target_is_found_out(tmp_path: Path) -> None:
    """Unfinished requests, errors, a clock that is ahead, connections opened during the load."""
    cells = (steady(1, warm=1), crowd(0.0, seconds=1.0))
    path, trouble = run_of(
        tmp_path,
        Plan(SECONDS, (Session(Variant.ASYNC, SECONDS, cells),), ()),
        app="tests.support.fast_clock_app:app",
    )
    assert trouble is None
    report = build_report(path)
    assert {"V8", "V13", "V21"} <= failing(report, cells[0].name)
    assert {"V7", "V13"} <= failing(report, cells[1].name)


def test_rows_and_facts_that_were_deleted_are_missed(generator: Report) -> None:
    """One row in twenty of a cell: Little's law. The seed: the run's origin."""
    path = generator.path
    samples, facts = (
        pd.read_parquet(path / "samples.parquet"),
        json.loads((path / "run.json").read_text(encoding="utf-8")),
    )
    gone = samples.index[samples.cell == "crowd/async/16"][::20]
    samples.drop(index=gone).to_parquet(path / "samples.parquet")
    del facts["schedule"]
    (path / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    report = build_report(path)
    assert "V11" in failing(report, "crowd/async/16")
    assert "V22" in failing(report, "*")
