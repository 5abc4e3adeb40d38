"""Trust as data: each check passes on a clean simulated run, and reports its own fault."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from reports.checks.model import Check, CheckStatus, TrustLevel
from reports.checks.trust import assess_trust
from reports.claims import CLAIMS
from reports.metrics.compute import compute_metrics
from reports.metrics.model import RunMetrics
from reports.metrics.run_data import load_run
from reports.metrics.run_health import expand_missed_ticks
from reports.model import Report
from reports.render.summary import check_entry
from results.run_info import Clock
from results.schema import ArrivalDistribution
from tests.support import simulate_loads
from tests.support.processes import ROOT
from tests.support.simulate_loads import Server, steady

CHECK_FILES = (ROOT / "reports" / "checks").glob("*.py")


@pytest.fixture(scope="module")
def clean(honest: Report) -> RunMetrics:
    """A reproduction without a fault."""
    return honest.run_metrics


def check_statuses(study: RunMetrics, name: str) -> set[CheckStatus]:
    """The statuses of a check in all cells."""
    return {check.status for check in assess_trust(study).checks if check.id == name}


def ill(study: RunMetrics, **health: Any) -> RunMetrics:
    """The same run, with changed health of a cell."""
    first, *rest = study.cell_counts
    return dataclasses.replace(
        study,
        cell_counts=(
            dataclasses.replace(first, health=dataclasses.replace(first.health, **health)),
            *rest,
        ),
    )


def with_machine_facts(study: RunMetrics, **facts: Any) -> RunMetrics:
    """The same run with other facts of its machine."""
    machine = structs.replace(study.run.machine, **facts)
    return dataclasses.replace(study, run=structs.replace(study.run, machine=machine))


def astray(study: RunMetrics) -> RunMetrics:
    """The same run, with the servers on the generator's core."""
    ran = {name: structs.replace(target, cpus=[0]) for name, target in study.run.targets.items()}
    return dataclasses.replace(study, run=structs.replace(study.run, targets=ran))


def skipped(study: RunMetrics) -> RunMetrics:
    """The same run, with 1 request of 10,000 that left not even a row."""
    first, *rest = study.cell_counts
    return dataclasses.replace(
        study,
        cell_counts=(dataclasses.replace(first, unrecorded=1, planned=10_000, sent=10_000), *rest),
    )


FAULTS: list[tuple[str, Callable[[RunMetrics], RunMetrics]]] = [
    ("V1", lambda study: with_machine_facts(study, clock=Clock(4e-8, 1))),
    ("V1", lambda study: with_machine_facts(study, clock=Clock(0.015, 0))),
    ("V2", lambda study: ill(study, stall_p99=0.006)),
    ("V2", lambda study: ill(study, longest_stall=2.0)),
    ("V3", lambda study: ill(study, lateness=0.02)),
    ("V4", skipped),
    ("V5", lambda study: ill(study, unsent_share=0.2)),
    ("V9", lambda study: ill(study, generator_cpu_peak=0.9)),
    ("V10", lambda study: ill(study, other_cpu=0.4)),
    ("V10", lambda study: ill(study, stolen_share=0.06)),
    ("V10", lambda study: ill(study, swapped_pages=1.0)),
    ("V12", lambda study: ill(study, think_time_excess=0.25)),
    ("V12", lambda study: ill(study, think_time_excess=-0.05)),
    ("V13", lambda study: ill(study, disordered_requests=1)),
    ("V14", lambda study: ill(study, transport_time=(0.001, 0.05))),
    ("V14", lambda study: ill(study, transport_time=(0.02, 0.02))),
    ("V19", lambda study: dataclasses.replace(study, floor_p99=0.03)),
    ("V21", lambda study: ill(study, reconnect_share=0.02)),
]


@pytest.mark.parametrize(("name", "plant"), FAULTS)
def test_each_fault_fails_its_check_and_makes_the_run_untrusted(
    clean: RunMetrics, name: str, plant: Callable[[RunMetrics], RunMetrics]
) -> None:
    """It passes without the fault."""
    assert CheckStatus.FAIL not in check_statuses(clean, name)
    assert CheckStatus.FAIL in check_statuses(plant(clean), name)
    assert assess_trust(plant(clean)).trust_level is TrustLevel.UNTRUSTED


def test_servers_that_ran_elsewhere_than_planned_make_a_run_suspect(clean: RunMetrics) -> None:
    """Stored runs had servers on the generator's core while the page named another."""
    assert assess_trust(clean).trust_level is TrustLevel.TRUSTED
    assert assess_trust(astray(clean)).trust_level is TrustLevel.SUSPECT
    assert "ran on [0], not on core 1" in assess_trust(astray(clean)).problem_checks[0].why


def test_what_a_machine_cannot_tell_is_unknown_and_counted(clean: RunMetrics) -> None:
    """No counters: trusted all the same, and said."""
    blind = dataclasses.replace(
        clean,
        cell_counts=tuple(
            dataclasses.replace(counts, health=dataclasses.replace(counts.health, other_cpu=None))
            for counts in clean.cell_counts
        ),
    )
    belief = assess_trust(blind)
    assert belief.trust_level is TrustLevel.TRUSTED
    assert (
        f"{sum(check.status is CheckStatus.UNKNOWN for check in belief.checks)} not possible here"
        in belief.sentence
    )
    assert (
        "V10 other processes: neither the system nor the target reports it"
        in belief.unavailable_checks
    )


def test_the_empty_routes_cell_does_not_carry_the_headline(clean: RunMetrics) -> None:
    """A stall while only the rig was measured is reported, and voids nothing else."""
    floor = next(counts for counts in clean.cell_counts if counts.cell.startswith("floor/"))
    sick = dataclasses.replace(floor, health=dataclasses.replace(floor.health, stall_p99=0.006))
    study = dataclasses.replace(
        clean,
        cell_counts=tuple(sick if counts is floor else counts for counts in clean.cell_counts),
    )
    assert assess_trust(study).trust_level is TrustLevel.TRUSTED
    assert assess_trust(study).trust_by_cell[floor.cell] is TrustLevel.UNTRUSTED


def test_a_fault_in_an_experiments_cell_takes_its_claims_verdict_and_no_other(
    clean: RunMetrics,
) -> None:
    """A fault in a variant's cell takes all of them."""
    needs = {claim.id: claim.needs for claim in CLAIMS}
    behind = next(counts for counts in clean.cell_counts if "behind-await" in counts.cell)
    sick = dataclasses.replace(behind, health=dataclasses.replace(behind.health, stolen_share=0.06))
    trust = assess_trust(
        dataclasses.replace(
            clean,
            cell_counts=tuple(sick if counts is behind else counts for counts in clean.cell_counts),
        )
    )
    assert trust.trust_level is TrustLevel.SUSPECT
    assert {name for name, needed in needs.items() if trust.first_failure(needed)} == {
        "server-timer-blind"
    }
    beside = next(counts for counts in clean.cell_counts if counts.cell == "neighbours/sync/64")
    sick = dataclasses.replace(beside, health=dataclasses.replace(beside.health, lateness=0.05))
    trust = assess_trust(
        dataclasses.replace(
            clean,
            cell_counts=tuple(sick if counts is beside else counts for counts in clean.cell_counts),
        )
    )
    assert trust.trust_level is TrustLevel.UNTRUSTED
    assert {name for name, needed in needs.items() if trust.first_failure(needed)} >= {"def-pool"}


def test_trust_is_said_cell_by_cell(clean: RunMetrics) -> None:
    """A bad cell leaves the others as they are."""
    belief = assess_trust(ill(clean, stall_p99=0.006))
    sick = clean.cell_counts[0].cell
    assert belief.trust_by_cell[sick] is TrustLevel.UNTRUSTED
    assert {
        cell for cell, level in belief.trust_by_cell.items() if level is not TrustLevel.TRUSTED
    } == {sick}


def test_a_small_sample_is_a_finding_not_a_fault() -> None:
    """V17 warns, decides nothing, and has an open end in JSON."""
    check = Check(
        "V17 sample size", 3.0, ((10.0, np.inf), (0.0, np.inf)), "why", is_informational=True
    )
    assert check.status is CheckStatus.WARN
    assert trust_of(check) is TrustLevel.TRUSTED
    assert check_entry(check)["pass_limit"] == [10.0, None]
    assert check_entry(check)["finding"] is True


def trust_of(*checks: Check) -> TrustLevel:
    """What checks amount to."""
    from reports.checks.model import worst_trust_level

    return worst_trust_level(checks)


def test_every_check_has_a_remedy_and_passing_ones_none(clean: RunMetrics) -> None:
    """What to do stands next to what is wrong, and the limit in the sentence."""
    texts = "".join(path.read_text(encoding="utf-8") for path in CHECK_FILES)
    assert set(re.findall(r'"(V\d+) ', texts)) == {f"V{i}" for i in range(1, 25)}
    for check in assess_trust(ill(clean, stall_p99=0.006)).checks:
        assert bool(check.remedy) == (check.status is not CheckStatus.PASS)
        has_limit = check.status in {CheckStatus.WARN, CheckStatus.FAIL} and "{}" in check.meaning
        assert check.why.endswith(f"(limit: {check.format_limit(check.pass_limit)})") == has_limit


def test_a_late_tick_counts_for_those_it_slept_through() -> None:
    """50 ms once a second are five late ticks, not 1; whole milliseconds of the timer are none."""
    late = expand_missed_ticks(np.array([0.0009, 0.051, 0.0005]))
    assert sorted(np.round(late, 3)) == [0.0, 0.0, 0.01, 0.02, 0.03, 0.04, 0.05]


def test_constant_gaps_labelled_poisson_are_found_out(tmp_path: Path) -> None:
    """V6; the same gaps under their own name pass."""
    for law, is_found in (
        (ArrivalDistribution.POISSON, True),
        (ArrivalDistribution.CONSTANT, False),
    ):
        path = simulate_loads.write(
            tmp_path / law, [steady(12, 60, law=law)], Server(service=0.05, metronome=True)
        )
        assert (
            CheckStatus.FAIL in check_statuses(compute_metrics(load_run(path)), "V6")
        ) is is_found


def test_of_fifty_clean_runs_at_most_one_is_untrusted(tmp_path: Path) -> None:
    """Open loads on servers of 1, 6 and 40 places, at 0.5 to 0.9 of their capacity."""
    untrusted = 0
    for i in range(50):
        places, rho, seconds = (1, 6, 40)[i % 3], (0.5, 0.7, 0.8, 0.9)[i % 4], (20.0, 40.0)[i % 2]
        service = 0.5 if places == 40 else 0.05
        rate = rho * places / service + i / 100  # the cell's name seeds its arrivals
        path = simulate_loads.write(
            tmp_path / str(i), [steady(rate, seconds)], Server(places, service)
        )
        untrusted += (
            assess_trust(compute_metrics(load_run(path))).trust_level is TrustLevel.UNTRUSTED
        )
    assert untrusted <= 1
