"""Claims about database sessions, on simulated runs: honest and of the opposite."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reports.claims import select_claims
from reports.claims.model import ClaimResult
from reports.report import build_report
from results.records import Done, RequestLine, Sent
from results.verdicts import ClaimOutcome
from scenarios.plans.reproduce import expand_plan, plan_for_claims
from tests.support.simulate_run import HONEST, Truth, World, write

POOLED = Truth(15)
TRUTHS = {
    name: POOLED
    for database in ("sqlite", "postgres")
    for name in (f"sync {database}", f"async {database}")
}
POOL = {"pool": "QueuePool", "size": 5, "overflow": 10, "timeout": 30.0}


def judged(  # noqa: PLR0913 - what a database may do otherwise
    folder: Path,
    claim: str,
    truths: dict[str, Truth],
    queries: dict[str, float] | None = None,
    *,
    known: bool = True,
    repeat: int = 1,
) -> ClaimResult:
    """Judge a claim on a simulated run with query counters.

    The counters start at seven and add `queries` per request of a variant (by default 1).
    """
    plan = expand_plan(plan_for_claims(set(select_claims([claim])[0].needs)), repeat, full=False)
    sent: dict[str, int] = {act.name: 0 for act in plan.sessions}
    answers: dict[str, Any] = {}

    def add_answers(act: str) -> None:
        counted = [
            7 + round(number * (queries or {}).get(act, 1)) if known else None
            for number in (0, sent[act])
        ]
        path = f"/users/evidence?database={act.rpartition(' ')[2]}"
        bodies = [
            json.dumps({"pools": {"blocking": POOL, "awaitable": POOL}, "queries": total})
            for total in counted
        ]
        answers[act] = {
            "answers": [{path: {"status": 200, "body": body}} for body in bodies],
            "log": "",
        }

    def count(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
        scenario, act, _ = cell.split("/")
        if scenario == "crowd" and "~" not in cell:
            sent[act] += sum(isinstance(line, Sent) for line in lines)
            add_answers(act)
        return lines

    run = write(folder, World(plan=plan, truths={**HONEST, **TRUTHS, **truths}, edit=count))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "answers": answers}))
    return next(
        evaluated.result for evaluated in build_report(run).claims if evaluated.claim.id == claim
    )


FROZEN = Truth(1, holds_loop=True)
OPPOSITES = [
    ("sync-session-blocks", {"broken-async postgres": POOLED}, {}),  # the loop is free after all
    # served singly, but no neighbour is delayed: a lock
    ("sync-session-blocks", {"broken-async sqlite": Truth(1)}, {}),
    ("sync-session-blocks", {"sync postgres": FROZEN}, {}),  # `def` is no remedy
    ("sync-session-blocks", {"sync postgres": Truth(40)}, {}),  # and its limit is not the pool
    ("sync-session-blocks", {}, {"broken-async postgres": 2.0}),  # the broken variant queries twice
    ("async-session-frees", {"async postgres": FROZEN}, {}),
    ("async-session-frees", {"async sqlite": Truth(5)}, {}),  # no overflow
    ("async-session-frees", {"async postgres": Truth(10_000)}, {}),  # no pool
    # the awaited session is faster after all
    ("async-session-frees", {"sync postgres": Truth(5)}, {}),
    ("async-session-frees", {}, {"async postgres": 0.5}),  # every other answer comes out of a cache
]


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ("sync-session-blocks", ClaimOutcome.CONFIRMED),
        ("async-session-frees", ClaimOutcome.NUANCED),
    ],
)
def test_the_honest_run_is_judged_as_measured_elsewhere(
    tmp_path: Path, claim: str, outcome: ClaimOutcome
) -> None:
    """Exactly 1 query per request; where the server does not count, equal work is not proved."""
    counted, silent = (
        judged(tmp_path / "counted", claim, {}),
        judged(tmp_path / "silent", claim, {}, known=False),
    )
    assert (counted.outcome, silent.outcome) == (outcome, ClaimOutcome.UNTESTED)
    assert "QueuePool 5 + 10, 30 s" in counted.measured
    assert counted.measured.endswith("sync postgres 1.00")
    assert "equal work is not proved" in silent.why


def test_what_a_restarted_server_was_asked_is_not_counted_against_the_first(tmp_path: Path) -> None:
    """Questions are kept by session: each repeat has its own server and counters."""
    assert judged(tmp_path, "sync-session-blocks", {}, repeat=2).outcome is ClaimOutcome.CONFIRMED


@pytest.mark.parametrize(("claim", "truths", "queries"), OPPOSITES)
def test_the_opposite_is_refuted(
    tmp_path: Path, claim: str, truths: dict[str, Truth], queries: dict[str, float]
) -> None:
    """Each part that the verdict rests on."""
    assert judged(tmp_path, claim, truths, queries).outcome is ClaimOutcome.REFUTED


def test_a_full_pool_is_an_error_and_no_latency(tmp_path: Path) -> None:
    """Every tenth answer is a late 503: counted apart; the longest latency is of a right answer."""

    def full(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
        if cell != "crowd/async postgres/24":
            return lines
        late = [line for line in lines if isinstance(line, Done)][::10]
        return [
            (
                replace(line, done=line.done + 1, status=503, error="status 503")
                if isinstance(line, Done) and line in late
                else line
            )
            for line in lines
        ]

    world = World(
        plan=plan_for_claims({"crowd/async postgres/"}), truths={**HONEST, **TRUTHS}, edit=full
    )
    route = build_report(write(tmp_path, world)).run_metrics.find_route("async postgres")
    assert route is not None
    assert route.top_level is not None
    assert route.top_level.errors > 50
    assert route.top_level.longest.high < 0.5
