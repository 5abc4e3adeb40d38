"""`await` in `def` does not compile - which protects nobody from the reverse: `async def` that blocks and awaits nothing."""

import json

from reports.claims.model import Claim, Judgement, Outcome, Untestable
from reports.metrics.model import Study

PATH = "/pitfall/compiles"
ERROR = "SyntaxError: 'await' outside async function"
COMPILED = "compiled"
EXPECTED = {  # Python's reference: `await` may only be used in a coroutine function, and in any generator expression
    "await in def": ERROR,
    "await in def in async def": ERROR,
    "await in async def": COMPILED,
    "await in a generator in def": COMPILED,
    "no await in async def": COMPILED,
}
UNHEARD = {  # what the rule does not protect from, where the compiler takes it
    "no await in async def": "an `async def` that blocks and awaits nothing",
    "await in a generator in def": "an `await` in a generator expression inside a `def`",
}


def judge(study: Study) -> Judgement:
    """The compiler's own words, from the Python that runs the app."""
    found = study.told("pitfalls", PATH)
    if not found:
        raise Untestable(PATH)
    said: dict[str, str] = json.loads(found[0]["body"])
    kinds = {name: (words.partition(":")[0], said[name].partition(":")[0]) for name, words in EXPECTED.items()}
    wrong = [name for name, (expected, heard) in kinds.items() if name not in UNHEARD and expected != heard]
    quiet = [words for name, words in UNHEARD.items() if said[name] == COMPILED]
    if wrong:
        outcome, why = Outcome.REFUTED, f"the compiler says otherwise to {' and '.join(wrong)}"
    elif quiet:
        outcome, why = Outcome.NUANCED, f"true, and no protection: without a word the compiler also takes {' and '.join(quiet)}"
    else:
        outcome, why = Outcome.CONFIRMED, "the compiler knows coroutines by their `async`"
    return Judgement(told(EXPECTED), f"Python {said['python']}: {told({name: said[name] for name in EXPECTED})}", outcome, why)


def told(said: dict[str, str]) -> str:
    """What the compiler says, and to what."""
    alike = {words: [name for name in said if said[name] == words] for words in said.values()}
    return "; ".join(f"{words}: {', '.join(names)}" for words, names in alike.items())


CLAIM = Claim(
    id="await-in-def",
    sentence="`await` inside a plain `def` is a syntax error.",
    source="async def vs def in FastAPI",
    judge=judge,
    needs=("asked/pitfalls",),
)
