"""Claims on slow files, forgotten awaits and the compiler: a run of the opposite refutes each."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.claims.forgotten_await import SHAPES
from results.verdicts import ClaimOutcome
from scenarios.plans.lesson.forgotten_await import PITFALL_PATHS
from tests.reports.claims.test_claims import Facts, judged
from tests.support.simulate_run import Truth

WRONG = {
    "in-text": (200, "<coroutine>"),
    "condition": (200, "all"),
    "returned": (500, "error"),
    "in-dict": (500, "error"),
}
SAID = {
    "python": "3.11.7",
    "await in def": "SyntaxError: 'await' outside async function",
    "await in async def": "compiled",
    "await in def in async def": "SyntaxError: 'await' outside async function",
    "await in a generator in def": "compiled",
    "no await in async def": "compiled",
}
HONEST = {
    "file-read-blocks": ClaimOutcome.CONFIRMED,
    "forgotten-await": ClaimOutcome.NUANCED,
    "await-in-def": ClaimOutcome.NUANCED,
}


def answered_facts(
    wrong: dict[str, tuple[int, str]] | None = None,
    said: dict[str, str] | None = None,
    *,
    warns: bool = True,
) -> Facts:
    """Return what a server answers by shape of a forgotten `await`, what its compiler and its log say."""

    def plant(facts: dict[str, Any]) -> None:
        answers: dict[str, Any] = {path: {"status": 200, "body": "right"} for path in PITFALL_PATHS}
        for shape, (status, body) in (WRONG if wrong is None else wrong).items():
            answers[f"/pitfall/forgotten/{shape}"] = {"status": status, "body": body}
        answers["/pitfall/compiles"] = {"status": 200, "body": json.dumps({**SAID, **(said or {})})}
        log = "".join(
            f"RuntimeWarning: coroutine '{name}' was never awaited\n" for name, _ in SHAPES.values()
        )
        facts.update(
            extra_requests={"pitfalls": list(answers)},
            answers={"pitfalls": {"answers": [answers], "log": log if warns else ""}},
        )

    return plant


OPPOSITES = [
    (
        "file-read-blocks",
        {"broken-async file": Truth(10_000)},
        answered_facts(),
    ),  # the read holds nothing
    (
        "file-read-blocks",
        {"sync file": Truth(40, holds_loop=True)},
        answered_facts(),
    ),  # `def` is no fix
    ("file-read-blocks", {"to-thread file": Truth(1)}, answered_facts()),  # nor is a thread
    # a status check finds them all
    ("forgotten-await", {}, answered_facts(dict.fromkeys(SHAPES, (500, "error")))),
    ("forgotten-await", {}, answered_facts({})),  # nothing is wrong with any answer
    ("forgotten-await", {}, answered_facts(warns=False)),
    ("await-in-def", {}, answered_facts(said={"await in def": "compiled"})),
    ("await-in-def", {}, answered_facts(said={"await in def in async def": "compiled"})),
    (
        "await-in-def",
        {},
        answered_facts(said={"await in async def": "SyntaxError: invalid syntax"}),
    ),
]


@pytest.mark.parametrize(("claim", "truths", "facts"), OPPOSITES)
def test_the_opposite_is_refuted(
    tmp_path: Path, claim: str, truths: dict[str, Truth], facts: Facts
) -> None:
    """And the honest run is not."""
    assert judged(tmp_path / "honest", claim, None, answered_facts()).outcome is HONEST[claim]
    assert judged(tmp_path / "planted", claim, truths, facts).outcome is ClaimOutcome.REFUTED


def test_what_would_make_them_true_without_a_limit(tmp_path: Path) -> None:
    """Every forgotten await a wrong 200; a compiler that takes nothing but awaiting coroutines."""
    wrong = dict.fromkeys(SHAPES, (200, "wrong"))
    strict = dict.fromkeys(
        ("await in a generator in def", "no await in async def"), "SyntaxWarning: blocks"
    )
    assert (
        judged(tmp_path / "await", "forgotten-await", None, answered_facts(wrong)).outcome
        is ClaimOutcome.CONFIRMED
    )
    assert (
        judged(tmp_path / "def", "await-in-def", None, answered_facts(said=strict)).outcome
        is ClaimOutcome.CONFIRMED
    )
