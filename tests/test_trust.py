"""Trust as data: each check passes on a clean simulated run, and fails or speaks on the fault it is there for."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.checks.model import REMEDIES, Belief, Check, CheckStatus
from reports.checks.trust import trust
from reports.claims import CLAIMS
from reports.metrics.compute import measure
from reports.metrics.model import Study
from reports.metrics.run_data import load
from reports.metrics.run_health import missed
from reports.model import Report
from reports.render.summary import check_entry
from results.schema import Law
from tests import simulate_loads
from tests.simulate_loads import Server, steady


@pytest.fixture(scope="module")
def clean(honest: Report) -> Study:
    """A reproduction without a fault."""
    return honest.study


def found(study: Study, name: str) -> set[CheckStatus]:
    """What one check found, over all cells."""
    return {check.status for check in trust(study).checks if check.id == name}


def ill(study: Study, **health: Any) -> Study:
    """The same run, with one cell whose health is changed."""
    first, *rest = study.tallies
    return dataclasses.replace(
        study, tallies=(dataclasses.replace(first, health=dataclasses.replace(first.health, **health)), *rest)
    )


def told(study: Study, **facts: Any) -> Study:
    """The same run with other facts of its machine."""
    return dataclasses.replace(study, run={**study.run, "machine": {**study.run["machine"], **facts}})


def astray(study: Study) -> Study:
    """The same run, with the servers on the generator's core."""
    ran = {name: {**one, "cpus": [0]} for name, one in study.run["targets"].items()}
    return dataclasses.replace(study, run={**study.run, "targets": ran})


def skipped(study: Study) -> Study:
    """The same run, with one request of 10,000 that left not even a row."""
    first, *rest = study.tallies
    return dataclasses.replace(study, tallies=(dataclasses.replace(first, silent=1, planned=10_000, sent=10_000), *rest))


FAULTS: list[tuple[str, Callable[[Study], Study]]] = [
    ("V1", lambda study: told(study, clock={"resolution": 4e-8, "backward": 1})),
    ("V1", lambda study: told(study, clock={"resolution": 0.015, "backward": 0})),
    ("V2", lambda study: ill(study, stall=0.006)),
    ("V2", lambda study: ill(study, longest_stall=2.0)),
    ("V3", lambda study: ill(study, lateness=0.02)),
    ("V4", skipped),
    ("V5", lambda study: ill(study, unpunctual=0.2)),
    ("V9", lambda study: ill(study, busiest=0.9)),
    ("V10", lambda study: ill(study, others=0.4)),
    ("V10", lambda study: ill(study, stolen=0.06)),
    ("V10", lambda study: ill(study, swapped=1.0)),
    ("V12", lambda study: ill(study, thinking=0.25)),
    ("V12", lambda study: ill(study, thinking=-0.05)),
    ("V13", lambda study: ill(study, broken=1)),
    ("V14", lambda study: ill(study, outside=(0.001, 0.05))),
    ("V14", lambda study: ill(study, outside=(0.02, 0.02))),
    ("V19", lambda study: dataclasses.replace(study, floor=0.03)),
    ("V21", lambda study: ill(study, reconnects=0.02)),
]


@pytest.mark.parametrize(("name", "plant"), FAULTS)
def test_each_fault_fails_its_check_and_makes_the_run_untrusted(clean: Study, name: str, plant: Callable[[Study], Study]) -> None:
    """It passes without the fault."""
    assert CheckStatus.FAIL not in found(clean, name)
    assert CheckStatus.FAIL in found(plant(clean), name)
    assert trust(plant(clean)).belief is Belief.UNTRUSTED


def test_servers_that_ran_elsewhere_than_planned_make_a_run_suspect(clean: Study) -> None:
    """Runs were stored whose servers had shared the generator's core while the page named another."""
    assert trust(clean).belief is Belief.TRUSTED
    assert trust(astray(clean)).belief is Belief.SUSPECT
    assert "ran on [0], not on core 1" in trust(astray(clean)).doubts[0].why


def test_what_a_machine_cannot_tell_is_unknown_and_counted(clean: Study) -> None:
    """No counters: trusted all the same, and said."""
    blind = dataclasses.replace(
        clean,
        tallies=tuple(dataclasses.replace(one, health=dataclasses.replace(one.health, others=None)) for one in clean.tallies),
    )
    belief = trust(blind)
    assert belief.belief is Belief.TRUSTED
    assert f"{sum(one.status is CheckStatus.UNKNOWN for one in belief.checks)} not possible here" in belief.sentence
    assert "V10 other processes: neither the system nor the target tells" in belief.impossible


def test_the_empty_routes_cell_does_not_carry_the_headline(clean: Study) -> None:
    """A stall while nothing but the rig was measured is told, and voids nothing else."""
    floor = next(one for one in clean.tallies if one.cell.startswith("floor/"))
    sick = dataclasses.replace(floor, health=dataclasses.replace(floor.health, stall=0.006))
    study = dataclasses.replace(clean, tallies=tuple(sick if one is floor else one for one in clean.tallies))
    assert trust(study).belief is Belief.TRUSTED
    assert trust(study).cells[floor.cell] is Belief.UNTRUSTED


def test_a_fault_in_an_experiments_cell_takes_its_claims_verdict_and_no_other(clean: Study) -> None:
    """A fault in a variant's cell takes all of them."""
    needs = {claim.id: claim.needs for claim in CLAIMS}
    behind = next(one for one in clean.tallies if "behind-await" in one.cell)
    sick = dataclasses.replace(behind, health=dataclasses.replace(behind.health, stolen=0.06))
    found = trust(dataclasses.replace(clean, tallies=tuple(sick if one is behind else one for one in clean.tallies)))
    assert found.belief is Belief.SUSPECT
    assert {name for name, one in needs.items() if found.fault(one)} == {"server-timer-blind"}
    beside = next(one for one in clean.tallies if one.cell == "neighbours/sync/64")
    sick = dataclasses.replace(beside, health=dataclasses.replace(beside.health, lateness=0.05))
    found = trust(dataclasses.replace(clean, tallies=tuple(sick if one is beside else one for one in clean.tallies)))
    assert found.belief is Belief.UNTRUSTED
    assert {name for name, one in needs.items() if found.fault(one)} >= {"def-pool"}


def test_trust_is_told_cell_by_cell(clean: Study) -> None:
    """One bad cell leaves the others as they are."""
    belief = trust(ill(clean, stall=0.006))
    sick = clean.tallies[0].cell
    assert belief.cells[sick] is Belief.UNTRUSTED
    assert {cell for cell, one in belief.cells.items() if one is not Belief.TRUSTED} == {sick}


def test_a_small_sample_is_a_finding_not_a_fault() -> None:
    """V17 warns, decides nothing, and has an open end in JSON."""
    check = Check("V17", "sample size", "x", 3.0, (10.0, np.inf), (0.0, np.inf), "why", is_finding=True)
    assert check.status is CheckStatus.WARN
    assert trust_of(check) is Belief.TRUSTED
    assert check_entry(check)["pass_limit"] == [10.0, None]
    assert check_entry(check)["finding"] is True


def trust_of(*checks: Check) -> Belief:
    """What checks amount to."""
    from reports.checks.model import belief

    return belief(checks)


def test_every_check_has_a_remedy_and_passing_ones_none(clean: Study) -> None:
    """What to do stands beside what is wrong."""
    assert set(REMEDIES) == {f"V{i}" for i in range(1, 25)}
    for check in trust(ill(clean, stall=0.006)).checks:
        assert bool(check.remedy) == (check.status is not CheckStatus.PASS)


def test_a_late_tick_counts_for_those_it_slept_through() -> None:
    """50 ms once a second are five late ticks, not one; whole milliseconds of the timer are none."""
    late = missed(np.array([0.0009, 0.051, 0.0005]))
    assert sorted(np.round(late, 3)) == [0.0, 0.0, 0.01, 0.02, 0.03, 0.04, 0.05]


def test_constant_gaps_labelled_poisson_are_found_out(tmp_path: Path) -> None:
    """V6; the same gaps under their own name pass."""
    for law, is_found in ((Law.POISSON, True), (Law.CONSTANT, False)):
        path = simulate_loads.write(tmp_path / law, [steady(12, 60, law=law)], Server(service=0.05, metronome=True))
        assert (CheckStatus.FAIL in found(measure(load(path)), "V6")) is is_found


def test_of_fifty_clean_runs_at_most_one_is_untrusted(tmp_path: Path) -> None:
    """Open loads of all kinds, on servers of one, six and forty places, at half to nine tenths of their capacity."""
    untrusted = 0
    for i in range(50):
        places, rho, seconds = (1, 6, 40)[i % 3], (0.5, 0.7, 0.8, 0.9)[i % 4], (20.0, 40.0)[i % 2]
        service = 0.5 if places == 40 else 0.05
        rate = rho * places / service + i / 100  # the cell's name seeds its arrivals
        path = simulate_loads.write(tmp_path / str(i), [steady(rate, seconds)], Server(places, service))
        untrusted += trust(measure(load(path))).belief is Belief.UNTRUSTED
    assert untrusted <= 1
