"""Restarts, experiments and the order of service, on simulated runs with known truth."""

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from reports.checks.model import CheckStatus, TrustLevel
from reports.claims import claim_needs
from reports.claims.model import EvaluatedClaim
from reports.model import Report
from reports.render.charts import CHARTS
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from reports.stats.quantiles import restart_interval
from reports.verdicts.load_sentences import compare_with_async
from results.schema import Scenario, Variant
from results.verdicts import ClaimOutcome
from scenarios.plans.model import Plan, Session, quick_plan
from scenarios.plans.reproduce import expand_plan, plan_for_claims
from tests.reports.test_report import SCHEMA
from tests.support import simulate_run as simulate

PACES = (1.0, 1.01, 0.99, 1.02, 0.98)
COLD = "broken-async uvloop cold"
ALL_FROZEN = tuple(
    f"broken-async {loop} {kind}" for loop in ("asyncio", "uvloop") for kind in ("warm", "cold")
)
FROZEN = plan_for_claims(claim_needs(["loop-fairness"]))


def small(repeat: int) -> Plan:
    """Two variants of the quick plan, their smallest and their largest crowd."""
    acts = [
        act
        for act in quick_plan(0.1).sessions
        if act.variant in {Variant.BROKEN_ASYNC, Variant.ASYNC}
    ]
    return expand_plan(
        replace(quick_plan(0.1), sessions=tuple(map(ends, acts))), repeat, full=False
    )


def ends(act: Session) -> Session:
    """Return a session without the crowds between."""
    crowds = [cell for cell in act.cells if cell.scenario is Scenario.CROWD]
    return replace(act, cells=(crowds[0], replace(crowds[-1], neighbours=())))


def repeated(folder: Path, repeat: int) -> Report:
    """Write a simulated run; its work takes a little longer or shorter after each restart."""
    return build_report(
        simulate.write(
            folder, simulate.World(plan=small(repeat), pace=lambda again: PACES[again - 1])
        )
    )


def frozen(folder: Path, *unfair: str, cut: float | None = None, places: int = 1) -> Report:
    """Return the four experiments alone; `unfair` variants serve the latest request next."""
    world = simulate.World(
        plan=FROZEN, unfair=unfair, cut=cut, truths={Variant.BROKEN_ASYNC: simulate.Truth(places)}
    )
    return build_report(simulate.write(folder, world))


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Five restarts; read only."""
    return repeated(tmp_path_factory.mktemp("five"), 5)


def fairness(report: Report) -> EvaluatedClaim:
    """Return the claim `loop-fairness`."""
    return next(evaluated for evaluated in report.claims if evaluated.claim.id == "loop-fairness")


def said(report: Report) -> str:
    """Return what the terminal shows."""
    out = StringIO()
    print_report(report, Console(file=out, width=200))
    return out.getvalue()


def test_an_interval_over_restarts_is_that_of_the_geometric_mean() -> None:
    """K = 5: t = 2.776; ln x = 0..4: mean 2, s = sqrt 2.5, half = 2.776 sqrt(2.5 / 5) = 1.963."""
    interval = restart_interval([math.exp(i) for i in range(5)])
    assert interval is not None
    assert [math.log(end) for end in interval] == pytest.approx([2 - 1.963, 2 + 1.963], abs=1e-3)
    assert restart_interval([1.0, 2.0, 3.0, 4.0]) is None


def test_intervals_over_restarts_cover_as_often_as_they_say() -> None:
    """2,000 sets of five lognormal runs: 95 % within three standard errors (1.5 points)."""
    random = np.random.default_rng(1)
    intervals = [restart_interval(list(np.exp(random.normal(0.0, 0.1, 5)))) for _ in range(2000)]
    assert sum(
        interval is not None and interval[0] <= 1.0 <= interval[1] for interval in intervals
    ) / 2000 == pytest.approx(0.95, abs=0.015)


def test_five_restarts_print_an_interval_and_three_only_their_spread(
    five: Report, tmp_path: Path
) -> None:
    """D is 100, 101, 99, 102 and 98 ms: rate 1 / D; 32 D / (D + 1 ms) is always 31.7."""
    three = repeated(tmp_path, 3)
    broken = five.run_metrics.find_route(Variant.BROKEN_ASYNC)
    assert broken is not None
    assert [10 / pace for pace in PACES] == pytest.approx(broken.restarts["rps"].values, rel=0.02)
    assert broken.restarts["mean_s"].variation == pytest.approx(
        np.std(PACES, ddof=1) / np.mean(PACES), rel=0.05
    )
    interval = broken.restarts["served_at_once"].interval
    assert interval is not None
    assert interval[0] <= 1.01 <= interval[1] + 0.01  # the service time has 1 ms of overhead
    assert "Over 5 restarts with 32 users: 10.0 [9.8" in said(five)
    assert compare_with_async(five.run_metrics).endswith(
        "over 5 restarts: broken-async 31.7 [31.7, 31.7]."
    )
    assert "Over 3 restarts with 32 users: " in said(three)
    assert "mean 3.17 s to 3.23 s" in said(three)
    assert "[" not in compare_with_async(three.run_metrics)
    assert three.run_metrics.find_route(Variant.ASYNC) is not None
    assert {None} == {
        statistic.interval
        for route in three.run_metrics.routes
        for statistic in route.restarts.values()
    }


def test_restarts_are_data(five: Report) -> None:
    """The summary holds every value, as its schema promises; each server's facts stay readable."""
    data = json.loads(json.dumps(build_summary(five)))
    jsonschema.validate(data, json.loads(SCHEMA.read_text(encoding="utf-8")))
    rps = data["routes"][0]["restarts"]["rps"]
    assert (len(rps["values"]), rps["low"] < rps["estimate"] < rps["high"]) == (5, True)
    assert {"broken-async", "broken-async~5", "async~2"} < set(data["environment"]["targets"])
    assert [
        five.trust.trust_level,
        len({level["repeat"] for level in data["routes"][0]["levels"]}),
    ] == [TrustLevel.TRUSTED, 5]


def test_a_single_run_says_nothing_of_restarts(honest: Report) -> None:
    """No word, no numbers."""
    assert "restarts" not in said(honest)
    assert [route.restarts for route in honest.run_metrics.routes] == [{}] * 4
    assert "fairness" not in [
        chart.stem for chart in CHARTS if not isinstance(chart.draw(honest.run_metrics), str)
    ]
    assert "loop-fairness" not in [evaluated.claim.id for evaluated in honest.claims]


def test_an_unfair_loop_confirms_loop_fairness(tmp_path: Path) -> None:
    """An experiment serves the latest request next: same rate and mean, another tail (chart)."""
    report = frozen(tmp_path, COLD)
    assert (report.run_metrics.routes, len(report.run_metrics.experiments)) == ((), 4)
    assert report.trust.trust_level is TrustLevel.TRUSTED, report.trust.problem_checks
    assert fairness(report).result.outcome is ClaimOutcome.CONFIRMED
    chart = next(chart for chart in CHARTS if chart.stem == "fairness")
    assert "on uvloop with cold connections users wait up to 8.8 times as long" in chart.title(
        report.run_metrics
    )
    assert not isinstance(chart.draw(report.run_metrics), str)
    assert len(chart.table(report.run_metrics).rows) == 4


def test_equally_fair_loops_refute_it(tmp_path: Path) -> None:
    """First come, first served everywhere - and last come, first served everywhere."""
    for name, unfair in (("fair", ()), ("unfair", ALL_FROZEN)):
        report = frozen(tmp_path / name, *unfair)
        assert fairness(report).result.outcome is ClaimOutcome.REFUTED
        assert "about equally fair" in fairness(report).result.why


def test_a_route_that_is_not_frozen_refutes_it(tmp_path: Path) -> None:
    """Two places: twice the throughput that a single loop can have."""
    report = frozen(tmp_path, COLD, places=2)
    assert fairness(report).result.outcome is ClaimOutcome.REFUTED


def test_a_missing_condition_leaves_it_untested(tmp_path: Path) -> None:
    """Planned, and not there: three conditions of four; or the run cannot be trusted."""
    plan = replace(FROZEN, sessions=FROZEN.sessions[:3])
    chosen = simulate.World(plan=plan, facts=lambda facts: facts.update(claims=["loop-fairness"]))
    report = build_report(simulate.write(tmp_path / "three", chosen))
    assert fairness(report).result.outcome is ClaimOutcome.UNTESTED
    cut = frozen(tmp_path / "cut", COLD, cut=0.0)
    assert (cut.trust.trust_level, fairness(cut).result.outcome) == (
        TrustLevel.UNTRUSTED,
        ClaimOutcome.UNTESTED,
    )


def test_a_session_may_ask_for_a_loop_of_its_own(tmp_path: Path) -> None:
    """V22 fails if another loop ran than the session planned."""

    def forget(facts: dict[str, object]) -> None:
        facts["loops"] = {}

    plan = replace(FROZEN, sessions=FROZEN.sessions[2:])  # on uvloop
    right, wrong = (
        build_report(simulate.write(tmp_path / name, simulate.World(plan=plan, facts=facts)))
        for name, facts in (("right", lambda _: None), ("wrong", forget))
    )
    origin = [
        next(check for check in report.trust.checks if check.id == "V22")
        for report in (right, wrong)
    ]
    assert [check.status for check in origin] == [CheckStatus.PASS, CheckStatus.FAIL]
    assert "uvloop cold: the requested loop (it ran uvloop)" in origin[1].why
