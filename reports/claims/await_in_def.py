"""`await` in `def` does not compile - which protects nobody from the reverse: `async def` that blocks and awaits nothing."""

import json

from reports.claims.claim import Claim, Judgement, Outcome, Untestable
from reports.study import Study

PATH = "/pitfall/compiles"
COMPILED = "compiled"
ERRORS = ("await in def", "await in def in async def")  # Python's reference: await may only be used inside a coroutine function
COMPILE = ("await in async def", "await in a generator in def", "no await in async def")  # the second: its chapter on generators


def judge(study: Study) -> Judgement:
    """The compiler's own words, from the Python that runs the app. What compiles besides is the limit of what it protects from."""
    found = study.told("pitfalls", PATH)
    if not found:
        raise Untestable(PATH)
    said: dict[str, str] = json.loads(found[0]["body"])
    holds = all(said[name].startswith("SyntaxError") for name in ERRORS) and said[COMPILE[0]] == COMPILED
    quiet = [name for name in COMPILE[1:] if said[name] == COMPILED]
    if not holds:
        outcome, why = Outcome.REFUTED, "`await` compiled in a `def`, or did not in an `async def`"
    elif quiet:
        outcome = Outcome.NUANCED
        why = f"true, and no protection: without a word the compiler also takes {' and '.join(quiet)}, the first of all blocking routes"
    else:
        outcome, why = Outcome.CONFIRMED, "the compiler knows coroutines by their `async`"
    return Judgement(
        predicted=f"SyntaxError: {', '.join(ERRORS)}; compiled: {', '.join(COMPILE)}",
        measured=f"Python {said['python']}: " + "; ".join(f"{name}: {said[name]}" for name in (*ERRORS, *COMPILE)),
        outcome=outcome,
        why=why,
    )


CLAIM = Claim(
    id="await-in-def",
    sentence="`await` inside a plain `def` is a syntax error.",
    source="async def vs def in FastAPI",
    judge=judge,
    needs=("asked/pitfalls",),
)
