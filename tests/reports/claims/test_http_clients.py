"""Claims about HTTP clients: a simulated run that shows the opposite refutes each."""

import json
from pathlib import Path
from typing import Any

import pytest

from results.verdicts import ClaimOutcome
from tests.reports.claims.test_claims import Facts, judged
from tests.support.simulate_run import Truth

PER_REQUEST = {"async httpx-per-request": Truth(8)}  # as many as the CPU allows
ERROR = {"status": 500, "error": "client not initialized"}
LIFE = {"before": ERROR, "running": {"status": 200, "error": None}, "after": ERROR, "closed": True}
SPENT, KEPT = ({"users": 40, "requests": 200, "connections": many} for many in (190, 40))
FAULTS = {
    "slow": (504, "took too long"),
    "error": (502, "answered with an error"),
    "gone": (502, "cannot be reached"),
}


def ok(*documents: Any) -> list[tuple[int, Any]]:
    """Answers of a question, with a document for each time."""
    return [(200, document) for document in documents]


def counters(connections: int, requests: int) -> list[tuple[int, Any]]:
    """Before the load and after it."""
    counts = ((3, 3), (3 + connections, 3 + requests))
    return ok(*({"connections": opened, "requests": sent, "pool": 100} for opened, sent in counts))


def run_facts(*changes: tuple[str, str, Any]) -> Facts:
    """Return the facts of a run with right answers, except for changes (session, path, answers)."""
    answers: dict[str, dict[str, list[tuple[int, Any]]]] = {
        "broken-async requests": {"/client/counters": counters(100, 100)},
        "sync requests": {"/client/counters": counters(1900, 1900)},
        "async httpx": {"/client/counters": counters(48, 2100)},
        "async httpx-per-request": {"/client/counters": counters(900, 900)},
        "async aiohttp": {
            "/aiohttp/counters": counters(48, 2100),
            **{f"/aiohttp/{fault}": [FAULTS[fault]] for fault in FAULTS},
        },
        "clients": {
            "/client/lifecycle": ok(LIFE),
            "/client/keep-alive": ok(
                [{"users": 20, "requests": 100, "connections": 20}, SPENT, KEPT]
            ),
            **{
                f"/client/{client}/{fault}": [FAULTS[fault]]
                for client in ("httpx", "requests-def")
                for fault in FAULTS
            },
        },
    }
    for act, path, answer in changes:
        answers[act][path] = answer

    def change(facts: dict[str, Any]) -> None:
        facts["extra_requests"] = {act: list(paths) for act, paths in answers.items()}
        facts["answers"] = {
            act: {"answers": rounds(paths), "log": ""} for act, paths in answers.items()
        }

    return change


def rounds(paths: dict[str, list[tuple[int, Any]]]) -> list[dict[str, Any]]:
    """Return the same answers, round by round."""
    count = max(len(answers) for answers in paths.values())
    return [
        {
            path: {"status": answers[i][0], "body": json.dumps(answers[i][1])}
            for path, answers in paths.items()
            if i < len(answers)
        }
        for i in range(count)
    ]


NOTHING: dict[str, Truth] = {}
OPPOSITES = [
    ("requests-blocks", {"broken-async requests": Truth(40)}, run_facts()),  # the loop is free
    # the fix blocks it as well
    ("requests-blocks", {"sync requests": Truth(40, holds_loop=True)}, run_facts()),
    # not the documented pool
    ("requests-blocks", {"sync requests": Truth(8, holds_threads=True)}, run_facts()),
    ("httpx-frees", {"async httpx": Truth(20)}, run_facts()),  # does not grow with its users
    # many at once, and the neighbour waits all the same
    ("httpx-frees", {"async httpx": Truth(22, holds_loop=True)}, run_facts()),
    (
        "httpx-frees",
        NOTHING,
        run_facts(("clients", "/client/httpx/slow", [(500, "Internal Server Error")])),
    ),
    ("aiohttp-frees", {"async aiohttp": Truth(30)}, run_facts()),
    # the status alone is no message
    ("aiohttp-frees", NOTHING, run_facts(("async aiohttp", "/aiohttp/gone", [(502, "?")]))),
    (
        "client-reuse",
        PER_REQUEST,
        run_facts(("async httpx-per-request", "/client/counters", counters(48, 900))),
    ),
    (
        "client-reuse",
        PER_REQUEST,
        run_facts(("async httpx", "/client/counters", counters(2100, 2100))),
    ),
    ("client-reuse", {"async httpx-per-request": Truth(10_000)}, run_facts()),  # no CPU saved
    (
        "client-reuse",
        PER_REQUEST,
        run_facts(
            ("clients", "/client/lifecycle", ok({**LIFE, "before": {"status": 200, "error": None}}))
        ),
    ),
    (
        "client-reuse",
        PER_REQUEST,
        run_facts(("clients", "/client/lifecycle", ok({**LIFE, "closed": False}))),
    ),
    (
        "client-reuse",
        PER_REQUEST,
        run_facts(("clients", "/client/requests-def/error", [(200, "took too long")])),
    ),
]


@pytest.mark.parametrize(("claim", "truths", "facts"), OPPOSITES)
def test_the_opposite_is_refuted(
    tmp_path: Path, claim: str, truths: dict[str, Truth], facts: Facts
) -> None:
    """Whichever part of the statement fails."""
    assert judged(tmp_path, claim, truths, facts).outcome is ClaimOutcome.REFUTED


@pytest.mark.parametrize(
    "claim", ["requests-blocks", "httpx-frees", "aiohttp-frees", "client-reuse"]
)
def test_the_honest_run_confirms(tmp_path: Path, claim: str) -> None:
    """Reuse with the nuance of the client's own keep-alive limit."""
    expected = ClaimOutcome.NUANCED if claim == "client-reuse" else ClaimOutcome.CONFIRMED
    assert judged(tmp_path, claim, PER_REQUEST, run_facts()).outcome is expected


def test_a_client_that_keeps_what_it_may_has_no_nuance(tmp_path: Path) -> None:
    """Where the limit counts idle connections only."""
    mended = run_facts(
        (
            "clients",
            "/client/keep-alive",
            ok([{"users": 20, "requests": 100, "connections": 20}, KEPT, KEPT]),
        )
    )
    assert judged(tmp_path, "client-reuse", PER_REQUEST, mended).outcome is ClaimOutcome.CONFIRMED


def test_without_the_upstreams_counters_nothing_is_judged(tmp_path: Path) -> None:
    """The missing part is named."""
    result = judged(
        tmp_path, "client-reuse", PER_REQUEST, run_facts(("async httpx", "/client/counters", ok()))
    )
    assert (result.outcome, result.why) == (
        ClaimOutcome.UNTESTED,
        "missing from this run: /client/counters of the session async httpx",
    )
