"""Simulated runs of known truth: numbers, trust, verdicts and claims must say that truth."""

import dataclasses
import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from msgspec import structs
from rich.console import Console

from reports.checks.model import CheckStatus, TrustLevel
from reports.claims import claim_needs
from reports.model import Report
from reports.render.charts import CHARTS, split
from reports.render.page import render_page
from reports.render.summary import build_summary
from reports.render.terminal import print_report, routes_table
from reports.report import build_report
from results.errors import ExitCode
from results.records import GivenUp, RequestLine, Sent, Unsent
from results.schema import Scenario, Status, Variant
from results.verdicts import ClaimOutcome, Verdict
from scenarios.plans.model import BEHIND_AWAIT_VARIANT, Plan, Session, quick_plan
from scenarios.plans.reproduce import plan_for_claims
from tests.support.simulate_run import HONEST, Truth, World, acts_of, write

SCHEMA = Path(__file__).resolve().parents[2] / "reports" / "render" / "summary.schema.json"
BROKEN = acts_of(Variant.BROKEN_ASYNC)
SYNC = acts_of(Variant.BROKEN_ASYNC, Variant.SYNC)  # the idle neighbours are in the first session


def outcome(report: Report, claim: str) -> ClaimOutcome:
    """The outcome of a claim."""
    return next(
        evaluated.result.outcome for evaluated in report.claims if evaluated.claim.id == claim
    )


def verdicts(report: Report) -> dict[str, Verdict]:
    """The verdict on each variant."""
    return {finding.route.variant: finding.verdict for finding in report.findings}


def statuses(report: Report, check: str) -> set[CheckStatus]:
    """The statuses of a check in all cells."""
    return {result.status for result in report.trust.checks if result.id == check}


def planted(tmp_path: Path, claim: str, **truths: Truth) -> Report:
    """A run of what a claim needs; some variants behave otherwise than the lesson says."""
    changed = {name.replace("__", " ").replace("_", "-"): truth for name, truth in truths.items()}
    return build_report(
        write(
            tmp_path,
            World(plan=plan_for_claims(claim_needs([claim])), truths={**HONEST, **changed}),
        )
    )


def test_a_clean_run_is_trusted_and_fine(honest: Report) -> None:
    """Every check passes; no claim is refuted."""
    assert honest.trust.trust_level is TrustLevel.TRUSTED
    assert honest.trust.problem_checks == []
    assert honest.exit_code() is ExitCode.FINE


@pytest.mark.parametrize(
    ("variant", "places"), [("broken-async", 1), ("to-thread", 6), ("sync", 40), ("async", 64)]
)
def test_served_at_once_finds_the_truth(honest: Report, variant: str, places: int) -> None:
    """Within 2 %: the overhead of 1 ms per request is in the service time, not in the rate."""
    route = honest.run_metrics.find_route(Variant(variant))
    assert route is not None
    assert places == pytest.approx(route.served_at_once, rel=0.02)


def test_the_verdicts_name_the_mechanisms(honest: Report) -> None:
    """A variant for each."""
    expected = {
        "broken-async": Verdict.LOOP_BLOCKED,
        "to-thread": Verdict.EXECUTOR_POOL,
        "sync": Verdict.THREAD_POOL,
        "async": Verdict.SCALES,
    }
    assert expected == verdicts(honest)


def test_an_executor_whose_queue_cannot_be_seen_is_known_by_its_size(tmp_path: Path) -> None:
    """Under uvloop: six at once with six threads is the executor, four at once another pool."""
    for places, verdict in ((6, Verdict.EXECUTOR_POOL), (4, Verdict.POOL_LIMITED)):
        truths = {**HONEST, Variant.TO_THREAD: Truth(places)}
        plan = acts_of(Variant.BROKEN_ASYNC, Variant.TO_THREAD)
        report = build_report(
            write(tmp_path / str(places), World(plan=plan, truths=truths, shows_queue=False))
        )
        assert verdict == verdicts(report)["to-thread"]


def test_a_plateau_of_one_with_calm_neighbours_is_no_held_loop(tmp_path: Path) -> None:
    """A lock serves a single request at once too; only the neighbours differ."""
    report = planted(tmp_path, "blocks-loop", broken_async=Truth(1))
    assert verdicts(report)["broken-async"] is Verdict.POOL_LIMITED
    assert outcome(report, "blocks-loop") is ClaimOutcome.REFUTED


def test_the_honest_run_confirms_the_lesson(honest: Report) -> None:
    """Four statements hold as stated, two have a limit that the lesson leaves out."""
    expected = {
        "blocks-loop": ClaimOutcome.CONFIRMED,
        "serial-queue": ClaimOutcome.CONFIRMED,
        "latency-spike": ClaimOutcome.CONFIRMED,
        "async-many": ClaimOutcome.CONFIRMED,
        "def-pool": ClaimOutcome.NUANCED,
        "to-thread-free": ClaimOutcome.NUANCED,
        "server-timer-blind": ClaimOutcome.CONFIRMED,
    }
    assert expected == {evaluated.claim.id: evaluated.result.outcome for evaluated in honest.claims}


OPPOSITES = [
    ("blocks-loop", {"broken_async": Truth(10_000)}),  # it does not block after all
    ("serial-queue", {"broken_async": Truth(2, holds_loop=True)}),  # two at a time
    ("latency-spike", {"broken_async": Truth(4, holds_loop=True)}),  # N D / 4
    ("latency-spike", {"async": Truth(1, holds_loop=True)}),  # a good route made blocking
    ("async-many", {"async": Truth(1, holds_loop=True)}),
    ("async-many", {"async": Truth(10)}),  # a semaphore of ten
    ("def-pool", {"sync": Truth(80, holds_threads=True)}),  # a pool widened
    ("def-pool", {"sync": Truth(1, holds_loop=True)}),  # a def route that holds the loop
    # the documented size, but the loop is not free
    ("def-pool", {"sync": Truth(40, holds_loop=True)}),
    ("to-thread-free", {"to_thread": Truth(40)}),  # the executor widened
    ("to-thread-free", {"to_thread": Truth(6, holds_loop=True)}),
    # the timer sees the queue
    ("server-timer-blind", {"broken_async": Truth(1, holds_loop=True, suspends=True)}),
    # there is hardly a queue to see
    ("server-timer-blind", {"broken_async": Truth(4, holds_loop=True)}),
]


@pytest.mark.parametrize(("claim", "truths"), OPPOSITES)
def test_the_opposite_is_refuted(tmp_path: Path, claim: str, truths: dict[str, Truth]) -> None:
    """A claim that cannot be refuted proves nothing."""
    report = planted(tmp_path, claim, **truths)
    assert outcome(report, claim) is ClaimOutcome.REFUTED
    assert report.exit_code() is ExitCode.FAILED


def test_without_a_probe_the_staircase_is_untested(tmp_path: Path) -> None:
    """Client times do not show it: the claim says what is missing, and the run is untrusted."""
    report = build_report(write(tmp_path, World(plan=BROKEN, probe=False)))
    assert outcome(report, "serial-queue") is ClaimOutcome.UNTESTED
    assert statuses(report, "V22") == {CheckStatus.FAIL}


def test_a_probe_left_out_on_purpose_is_unknown_and_fails_nothing(tmp_path: Path) -> None:
    """What needs the probe is reported missing; what clients see stands; nothing is refuted."""
    report = build_report(
        write(tmp_path, World(probe=False, facts=lambda facts: facts.update(probe=False)))
    )
    assert statuses(report, "V22") == {CheckStatus.UNKNOWN}
    assert report.exit_code() is ExitCode.FINE
    assert "left out on purpose" in " ".join(report.trust.unavailable_checks)
    outcomes = {evaluated.claim.id: evaluated.result.outcome for evaluated in report.claims}
    assert {name for name, outcome in outcomes.items() if outcome is ClaimOutcome.UNTESTED} == {
        "serial-queue",
        "latency-spike",
        "server-timer-blind",
    }
    assert ClaimOutcome.REFUTED not in outcomes.values()
    assert "without the probe" in str(split.CHART.draw(report.run_metrics))
    assert verdicts(report)["broken-async"] is Verdict.LOOP_BLOCKED
    assert "left out on purpose" in render_page(report)


def test_a_timer_that_stays_blind_behind_an_await_is_a_nuance(tmp_path: Path) -> None:
    """The claim says that it depends; the report must say where it does not."""
    report = planted(
        tmp_path, "server-timer-blind", broken_async__behind_await=Truth(1, holds_loop=True)
    )
    assert outcome(report, "server-timer-blind") is ClaimOutcome.NUANCED


def test_the_experiment_stands_beside_the_variants(honest: Report) -> None:
    """Its cell is measured and checked; the variants' own numbers and pictures do not know it."""
    assert [route.variant for route in honest.run_metrics.experiments] == [BEHIND_AWAIT_VARIANT]
    assert f"burst/{BEHIND_AWAIT_VARIANT}/20" in {check.cell for check in honest.trust.checks}
    assert {route.variant for route in honest.run_metrics.routes} == set(Variant)


def test_missing_variants_make_claims_untested(tmp_path: Path) -> None:
    """Nothing is confirmed by its absence."""
    asked = ["latency-spike", "async-many", "def-pool", "to-thread-free"]
    report = build_report(
        write(tmp_path, World(plan=BROKEN, facts=lambda facts: facts.update(claims=asked)))
    )
    outcomes = {evaluated.claim.id: evaluated.result.outcome for evaluated in report.claims}
    assert outcomes == dict.fromkeys(asked, ClaimOutcome.UNTESTED)


def drop_every(nth: int, kind: str) -> Any:
    """An edit that damages every n-th request of the top sync crowd."""

    def edit(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
        if cell != "crowd/sync/64":
            return lines
        pairs = [lines[i : i + 2] for i in range(0, len(lines), 2)]
        changed = list[RequestLine]()
        for i, pair in enumerate(pairs):
            if i % nth:
                changed += pair
            elif kind == "unsent":
                changed.append(unsent(pair[0]))
            elif kind == "failed":
                changed += [pair[0], failed(pair[1])]
        return changed

    return edit


def unsent(line: RequestLine) -> RequestLine:
    """A request that never left."""
    assert isinstance(line, Sent)
    facts = {name: value for name, value in structs.asdict(line).items() if name != "sent"}
    return Unsent(**facts, reason="no connection was free")


def failed(line: RequestLine) -> RequestLine:
    """A request that was answered with an error."""
    return structs.replace(line, status=500, error="status 500")


@pytest.mark.parametrize(
    ("check", "edit"),
    [
        ("V11", drop_every(20, "delete")),
        ("V4", drop_every(50, "unsent")),
        ("V8", drop_every(50, "failed")),
    ],
)
def test_a_fault_in_the_rows_is_never_trusted(tmp_path: Path, check: str, edit: Any) -> None:
    """5 % of rows deleted, 2 % never sent, 2 % errors: each is seen, and gives no verdict."""
    report = build_report(write(tmp_path, World(plan=SYNC, edit=edit)))
    assert CheckStatus.FAIL in statuses(report, check)
    assert report.trust.trust_level is TrustLevel.UNTRUSTED
    assert set(verdicts(report).values()) == {Verdict.UNTRUSTED}
    assert {evaluated.result.outcome for evaluated in report.claims} == {ClaimOutcome.UNTESTED}
    assert report.exit_code() is ExitCode.UNTRUSTED


def test_requests_still_out_at_the_end_are_lower_bounds(tmp_path: Path) -> None:
    """The last answers were not awaited: V7 fails, mean is "at least", p50 a bracket or bound."""
    report = build_report(write(tmp_path, World(plan=BROKEN, cut=0.0)))
    assert CheckStatus.FAIL in statuses(report, "V7")
    route = report.run_metrics.find_route(Variant.BROKEN_ASYNC)
    assert route is not None
    assert route.top_level is not None
    assert route.top_level.unfinished == 32
    assert route.top_level.mean.exact is None
    level = build_summary(report)["routes"][0]["levels"][-1]
    assert level["mean_s"] is None
    assert level["mean_at_least_s"] > 0
    assert level["max_s"] is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda facts: facts["packages"].pop("uvloop"),  # unknown which loop ran
        lambda facts: facts.pop("schedule"),
        lambda facts: facts.update(loop="uvloop"),  # asked for uvloop, ran asyncio
    ],
)
def test_a_missing_fact_of_origin_is_not_trusted(tmp_path: Path, harm: Any) -> None:
    """Each of these changes what the numbers mean."""
    report = build_report(write(tmp_path, World(plan=BROKEN, facts=harm)))
    assert statuses(report, "V22") == {CheckStatus.FAIL}


def test_a_suspect_run_exits_3_only_when_strict(honest: Report) -> None:
    """A warning is printed; it changes the exit code only if strict."""
    check = dataclasses.replace(
        honest.trust.checks[0], value=0.004, pass_limit=0.001, fail_limit=0.01
    )
    suspect = dataclasses.replace(honest, trust=dataclasses.replace(honest.trust, checks=(check,)))
    assert (suspect.exit_code(), suspect.exit_code(strict=True)) == (
        ExitCode.FINE,
        ExitCode.UNTRUSTED,
    )


def test_bars_come_from_handlers_even_when_answers_are_held_back(tmp_path: Path) -> None:
    """All answers leave together, yet the stairs stay: handlers begin when the previous ends."""
    report = build_report(write(tmp_path, World(plan=BROKEN, hold_answers=True)))
    route = report.run_metrics.find_route(Variant.BROKEN_ASYNC)
    assert route is not None
    assert route.first_burst is not None
    assert len({round(done, 6) for done in route.first_burst.done}) == 1
    assert [round(0.1 * k, 3) for k in range(20)] == [
        round(begin - route.first_burst.handler_start[0], 3)
        for begin in route.first_burst.handler_start
    ]
    assert outcome(report, "serial-queue") is ClaimOutcome.CONFIRMED


def test_an_interrupted_run_reports_what_it_has(tmp_path: Path) -> None:
    """Cells that were not measured to their end are named and left out."""
    path = write(tmp_path, World(plan=acts_of(Variant.ASYNC)))
    load = pd.read_parquet(path / "load.parquet")
    cut = load.cell.isin(["crowd/async/64", "burst/async/20"]) & load["mark"].isin(["close", "end"])
    load[~cut].to_parquet(path / "load.parquet")
    report = build_report(path)
    assert [unfinished.cell for unfinished in report.run_metrics.unfinished_cells] == [
        "crowd/async/64",
        "burst/async/20",
    ]
    route = report.run_metrics.find_route(Variant.ASYNC)
    assert route is not None
    assert route.top_level is not None
    assert route.top_level.users == 50


@pytest.mark.parametrize("kind", ["hangs", "fails", "freezes", "vanishes"])
@pytest.mark.parametrize("target", ["crowd/broken-async/32", "crowd/to-thread/1"])
def test_a_cell_without_a_single_answer_is_reported_without_a_crash(
    tmp_path: Path, kind: str, target: str
) -> None:
    """No answers, only errors, instant answers, or no rows: no verdict, but charts and page."""

    def edit(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
        if cell != target:
            return lines
        if kind == "vanishes":
            return []
        changed, moment = list[RequestLine](), 0.0
        for line in lines:
            if isinstance(line, Sent):
                changed.append(line)
                moment = line.intended
            elif kind == "hangs":
                changed.append(GivenUp(0, moment + 20))
            else:
                changed.append(
                    failed(line) if kind == "fails" else structs.replace(line, done=moment)
                )
        return changed

    report = build_report(
        write(tmp_path, World(plan=acts_of(Variant.BROKEN_ASYNC, Variant.TO_THREAD), edit=edit))
    )
    assert report.exit_code() is not ExitCode.FINE
    json.dumps(build_summary(report), allow_nan=False)
    for chart in CHARTS:
        chart.draw(report.run_metrics)
        chart.table(report.run_metrics)
    print_report(report, Console(file=StringIO(), width=100))


def test_rows_lost_by_the_neighbours_are_seen_too(tmp_path: Path) -> None:
    """Little's law is asked of their cells as well."""

    def edit(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
        return lines[: len(lines) // 4 * 2] if cell == "neighbours/sync/64" else lines

    report = build_report(write(tmp_path, World(plan=SYNC, edit=edit)))
    assert report.trust.trust_level is TrustLevel.UNTRUSTED
    assert {check.cell for check in report.trust.problem_checks} == {"neighbours/sync/64"}


def test_a_run_that_is_not_whole_is_never_fine(tmp_path: Path) -> None:
    """Interrupted, failed or still running: exit code 3, whatever the findings so far."""
    for status in (Status.INTERRUPTED, Status.FAILED):
        assert (
            build_report(write(tmp_path / status, World(plan=BROKEN, status=status))).exit_code()
            is ExitCode.UNTRUSTED
        )


def test_a_run_without_any_measured_cell_is_still_explained(tmp_path: Path) -> None:
    """It cannot be trusted, and says so."""
    plan = Plan(0.1, (Session(Variant.ASYNC, 0.1, ()),), ())
    report = build_report(write(tmp_path, World(plan=plan)))
    assert report.exit_code() is ExitCode.UNTRUSTED
    assert "no cell was measured to its end" in [check.why for check in report.trust.checks]


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_a_narrow_terminal_loses_numbers_never_the_verdict(honest: Report, width: int) -> None:
    """Headings of two lines come first; each line is as wide as the terminal at most."""
    out = StringIO()
    Console(file=out, width=width).print(routes_table(honest, width))
    *heads, _, _, _, _ = lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(len(line) for line in lines) <= width
    lines = lines[len(heads) :]
    assert all(line.startswith("GET /") for line in lines)
    assert [line.split()[-1] for line in lines] == [
        "scales",
        "thread-pool",
        "executor-pool",
        "loop-blocked",
    ]
    words = " ".join(heads).split()
    assert ("neighbour" in words, "p90" in words) == (width >= 60, width >= 60)
    assert ("waits" in words, "limit" in words) == (width >= 100, width >= 140)
    assert len(heads) == (1 if width >= 140 or width == 40 else 2)


def test_the_summary_keeps_its_promise(honest: Report) -> None:
    """Real output against the published schema; and the schema can fail."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    data = json.loads(json.dumps(build_summary(honest), allow_nan=False))
    jsonschema.validate(data, schema)
    data["routes"][0]["verdict"] = "splendid"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)


def test_quantiles_that_the_data_cannot_support_are_null(honest: Report) -> None:
    """64 requests are too few for a p95; 3,600 are enough for a p99."""
    routes = {route["variant"]: route["levels"][-1] for route in build_summary(honest)["routes"]}
    assert routes["broken-async"]["p50_s"] is not None
    assert routes["broken-async"]["p95_s"] is None
    assert routes["async"]["p99_s"] is not None


def test_every_cell_of_the_plan_was_counted(honest: Report) -> None:
    """Each cell, and each top cell's neighbours beside it, appears in the checks."""
    cells = {check.cell for check in honest.trust.checks}
    plan = quick_plan(0.1)
    tops = [
        cell.neighbour_cell_name
        for cell in plan.cells
        if cell.neighbours and cell.scenario is Scenario.CROWD
    ]
    assert {*(cell.name for cell in plan.cells), *tops, "*"} == cells
