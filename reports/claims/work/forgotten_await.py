"""A forgotten `await` hands on the coroutine instead of its value: what the client gets, and which check finds that.

Predicted from what the manuals say: JSON has no form for a coroutine, so an answer that holds one cannot be written (500);
but every object has a text and is true, and a coroutine that nobody awaits never runs: all else answers 200.
"""

from reports.claims.model import Claim, Judgement, Outcome, Untestable
from reports.formatting import count
from reports.metrics.model import Study

STATUS, BODY, NEITHER = "a status check finds", "only a body check", "neither"
SHAPES = {  # what becomes of the coroutine: its name, and which check should find it
    "returned": ("user_of", STATUS),
    "in-dict": ("cart_of", STATUS),
    "in-text": ("name_of", BODY),
    "condition": ("is_admin", BODY),
    "saved": ("save", NEITHER),
}
FAILURE = 400  # from this status on clients and load generators speak of a failure


def judge(study: Study) -> Judgement:
    """Each shape beside its fix, which tells the right answer; and the warnings, from the app's log."""
    measured = {shape: found_by(study, shape) for shape in SHAPES}
    log = study.run["told"]["pitfalls"]["log"]
    warned = sum(f"coroutine '{name}' was never awaited" in log for name, _ in SHAPES.values())
    wrong = [shape for shape, check in measured.items() if check == BODY]
    shown = "; ".join("{} {} {}".format(shape, *answer(study, "forgotten", shape)) for shape in wrong)
    outcome, why = verdict(measured, warned)
    return Judgement(
        predicted=f"{told({shape: check for shape, (_, check) in SHAPES.items()})}; {count(len(SHAPES), 'warning')} in the log",
        measured=f"{told(measured)}; {count(warned, 'warning')} in the log; {shown}",
        outcome=outcome,
        why=why,
    )


def verdict(measured: dict[str, str], warned: int) -> tuple[Outcome, str]:
    """From which check finds which shape, and the number of warnings. The lesson knows one shape: the wrong value."""
    if set(measured.values()) == {BODY} and warned == len(SHAPES):
        return Outcome.CONFIRMED, "every wrong answer looked like a success"
    if measured != {shape: check for shape, (_, check) in SHAPES.items()} or warned < len(SHAPES):
        why = "another check found a shape than was predicted, or a coroutine was lost without a warning in the log"
        return Outcome.REFUTED, why
    why = "true where it becomes a text or a condition; given back, it cannot be written as JSON and fails aloud (500); and where "
    return Outcome.NUANCED, why + "only its effect is lost, the answer is right and nothing but the warning tells"


def found_by(study: Study, shape: str) -> str:
    """Which check finds this shape. Raises Untestable when its fix does not answer."""
    status, body = answer(study, "forgotten", shape)
    fine, right = answer(study, "awaited", shape)
    if fine >= FAILURE:
        raise Untestable(f"the right answer to /pitfall/awaited/{shape}")
    return STATUS if status >= FAILURE else BODY if body != right else NEITHER


def answer(study: Study, how: str, shape: str) -> tuple[int, str]:
    """Status and body of one question. Raises Untestable when it was not asked."""
    path = f"/pitfall/{how}/{shape}"
    if not (found := study.told("pitfalls", path)):
        raise Untestable(path)
    return found[0]["status"], found[0]["body"]


def told(checks: dict[str, str]) -> str:
    """How many shapes each check finds, and which."""
    by = {check: [shape for shape, one in checks.items() if one == check] for check in (STATUS, BODY, NEITHER)}
    return ", ".join(f"{check} {len(by[check])} of {len(checks)} ({', '.join(by[check]) or '-'})" for check in by)


CLAIM = Claim(
    id="forgotten-await",
    sentence="A forgotten `await` hands on the coroutine instead of its value, and only a check of the body finds that.",
    source="Common Pitfalls",
    judge=judge,
    needs=("asked/pitfalls",),
)
