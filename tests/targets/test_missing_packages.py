"""The lesson without a package: 501 with the install line, its session left out, and no failed run."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from reports.checks.model import Check, TrustReport
from reports.claims import select_claims
from reports.claims.model import judge_claim
from reports.report import build_report
from results.schema import Scenario
from results.verdicts import ClaimOutcome
from scenarios.plans.lesson import LESSON_SESSIONS
from scenarios.plans.reproduce import plan_for_claims
from targets.lesson import TOPIC_MODULES, unavailable_router
from tests.e2e.test_driver import run_of
from tests.support.simulate_run import World, write


def test_every_route_answers_501_where_its_package_is_missing() -> None:
    """It names the package and the install line; a redirect would end the run as a wrong answer."""
    app = FastAPI()
    for prefix, _ in TOPIC_MODULES:
        app.include_router(unavailable_router(prefix, "a-package"))
    requested: set[str] = set()
    for session in LESSON_SESSIONS:
        requested.update(session.extra_requests, (cell.path for cell in session.cells))
    prefixes = tuple(prefix for prefix, _ in TOPIC_MODULES)
    paths = {path for path in requested if path.startswith(prefixes)}
    assert len(paths) > 20

    async def answers() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://in-process"
        ) as client:
            return [await client.get(path) for path in paths]

    for answer in asyncio.run(answers()):
        assert answer.status_code == 501, answer.url
        assert (
            "needs a-package, which is not installed: pip install 'atonce[lab]'"
            in answer.json()["detail"]
        )


@pytest.mark.slow
def test_a_session_whose_part_is_missing_is_left_out(tmp_path: Path) -> None:
    """On a real server: no cell of it stays planned, and the reason is the target's own."""
    plan = plan_for_claims({"crowd/async aiohttp/"})
    path, trouble = run_of(tmp_path, plan, app="tests.support.faulty_apps:closed_app")
    assert trouble is None
    report = build_report(path)
    assert (report.run_metrics.run.plan.cells, report.run_metrics.unfinished_cells) == (
        [],
        (),
    )
    assert "needs aiohttp" in report.run_metrics.run.skipped["async aiohttp"].why


def test_a_warning_is_shown_with_the_claim_that_needs_the_cell(tmp_path: Path) -> None:
    """It is shown with no other."""
    run_metrics = build_report(
        write(
            tmp_path, World(plan=plan_for_claims({"crowd/async gather/", "crowd/async in-turn/"}))
        )
    ).run_metrics
    warned = TrustReport(
        (Check("V9 generator CPU", 0.6, 0.5, 0.85, "why", cell=f"{Scenario.CROWD}/async gather/1"),)
    )
    result = judge_claim(select_claims(["gather-overlaps"])[0], run_metrics, warned).result
    assert (result.outcome, "(with a warning: V9 generator CPU)" in result.why) == (
        ClaimOutcome.CONFIRMED,
        True,
    )
    elsewhere = TrustReport(
        (Check("V9 generator CPU", 0.6, 0.5, 0.85, "why", cell=f"{Scenario.CROWD}/async httpx/24"),)
    )
    assert (
        "with a warning"
        not in judge_claim(select_claims(["gather-overlaps"])[0], run_metrics, elsewhere).result.why
    )
