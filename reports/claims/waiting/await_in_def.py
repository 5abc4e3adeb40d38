"""`await` in `def` does not compile - which protects nobody from the reverse: `async def` that blocks and awaits nothing."""

import json

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, MissingData
from reports.metrics.model import RunMetrics

_COMPILES_PATH = "/pitfall/compiles"
_SYNTAX_ERROR = "SyntaxError: 'await' outside async function"
_COMPILED = "compiled"
# Python's reference: `await` may only be used in a coroutine function, and in any generator
# expression
_EXPECTED = {
    "await in def": _SYNTAX_ERROR,
    "await in def in async def": _SYNTAX_ERROR,
    "await in async def": _COMPILED,
    "await in a generator in def": _COMPILED,
    "no await in async def": _COMPILED,
}
_UNPROTECTED = {  # what the rule does not protect from, where the compiler takes it
    "no await in async def": "an `async def` that blocks and awaits nothing",
    "await in a generator in def": "an `await` in a generator expression inside a `def`",
}


def _judge_await_in_def(run_metrics: RunMetrics) -> ClaimResult:
    """The compiler's own words, from the Python that runs the app."""
    answers = run_metrics.session_answers("pitfalls", _COMPILES_PATH)
    if not answers:
        raise MissingData(_COMPILES_PATH)
    results: dict[str, str] = json.loads(answers[0]["body"])
    kinds = {
        name: (text.partition(":")[0], results[name].partition(":")[0])
        for name, text in _EXPECTED.items()
    }
    wrong = [
        name
        for name, (expected, actual) in kinds.items()
        if name not in _UNPROTECTED and expected != actual
    ]
    unprotected = [text for name, text in _UNPROTECTED.items() if results[name] == _COMPILED]
    if wrong:
        outcome, why = ClaimOutcome.REFUTED, f"the compiler says otherwise to {' and '.join(wrong)}"
    elif unprotected:
        outcome, why = (
            ClaimOutcome.NUANCED,
            (
                "true, and no protection: without a word the compiler also takes"
                f" {' and '.join(unprotected)}"
            ),
        )
    else:
        outcome, why = ClaimOutcome.CONFIRMED, "the compiler knows coroutines by their `async`"
    return ClaimResult(
        _format_compiler_output(_EXPECTED),
        f"Python {results['python']}:"
        f" {_format_compiler_output({name: results[name] for name in _EXPECTED})}",
        outcome,
        why,
    )


def _format_compiler_output(results: dict[str, str]) -> str:
    """What the compiler says, and to what."""
    alike = {text: [name for name in results if results[name] == text] for text in results.values()}
    return "; ".join(f"{text}: {', '.join(names)}" for text, names in alike.items())


CLAIM = Claim(
    id="await-in-def",
    sentence="`await` inside a plain `def` is a syntax error.",
    source="async def vs def in FastAPI",
    judge=_judge_await_in_def,
    needs=("asked/pitfalls",),
)
