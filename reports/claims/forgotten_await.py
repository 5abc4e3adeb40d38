"""A forgotten `await`."""

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, MissingData
from reports.formatting import format_count
from reports.metrics.model import RunMetrics

_STATUS_CHECK, _BODY_CHECK, _NO_CHECK = "a status check finds", "only a body check", "neither"


SHAPES = {  # what becomes of the coroutine: its name, and which check should find it
    "returned": ("user_of", _STATUS_CHECK),
    "in-dict": ("cart_of", _STATUS_CHECK),
    "in-text": ("name_of", _BODY_CHECK),
    "condition": ("is_admin", _BODY_CHECK),
    "saved": ("save", _NO_CHECK),
}


_MIN_FAILURE_STATUS = 400  # from this status on clients and load generators speak of a failure


def _judge_forgotten_await(run_metrics: RunMetrics) -> ClaimResult:
    """Compare each mistake with its fix, and count the warnings in the app's log."""
    measured = {shape: _detecting_check(run_metrics, shape) for shape in SHAPES}
    log = run_metrics.run["told"]["pitfalls"]["log"]
    warning_count = sum(
        f"coroutine '{name}' was never awaited" in log for name, _ in SHAPES.values()
    )
    wrong = [shape for shape, check in measured.items() if check == _BODY_CHECK]
    examples = "; ".join(
        "{} {} {}".format(shape, *_pitfall_answer(run_metrics, "forgotten", shape))
        for shape in wrong
    )
    outcome, why = _detection_outcome(measured, warning_count)
    return ClaimResult(
        predicted=(
            f"{_format_detections({shape: check for shape, (_, check) in SHAPES.items()})};"
            f" {format_count(len(SHAPES), 'warning')} in the log"
        ),
        measured=(
            f"{_format_detections(measured)}; {format_count(warning_count, 'warning')} in the log;"
            f" {examples}"
        ),
        outcome=outcome,
        why=why,
    )


def _detection_outcome(measured: dict[str, str], warning_count: int) -> tuple[ClaimOutcome, str]:
    """Decide by the checks that find each mistake. The lesson knows one: the wrong value."""
    if set(measured.values()) == {_BODY_CHECK} and warning_count == len(SHAPES):
        return ClaimOutcome.CONFIRMED, "every wrong answer looked like a success"
    if measured != {shape: check for shape, (_, check) in SHAPES.items()} or warning_count < len(
        SHAPES
    ):
        why = (
            "another check found a shape than was predicted, or a coroutine was lost without a"
            " warning in the log"
        )
        return ClaimOutcome.REFUTED, why
    why = (
        "true where it becomes a text or a condition; given back, it cannot be written as JSON and"
        " fails aloud (500); and where "
    )
    return (
        ClaimOutcome.NUANCED,
        why + "only its effect is lost, the answer is right and nothing but the warning tells",
    )


def _detecting_check(run_metrics: RunMetrics, shape: str) -> str:
    """Which check finds this shape. Raises MissingData when its fix does not answer."""
    status, body = _pitfall_answer(run_metrics, "forgotten", shape)
    fixed_status, fixed_body = _pitfall_answer(run_metrics, "awaited", shape)
    if fixed_status >= _MIN_FAILURE_STATUS:
        raise MissingData(f"the right answer to /pitfall/awaited/{shape}")
    return (
        _STATUS_CHECK
        if status >= _MIN_FAILURE_STATUS
        else _BODY_CHECK
        if body != fixed_body
        else _NO_CHECK
    )


def _pitfall_answer(run_metrics: RunMetrics, how: str, shape: str) -> tuple[int, str]:
    """Status and body of one question. Raises MissingData when it was not asked."""
    path = f"/pitfall/{how}/{shape}"
    if not (answers := run_metrics.session_answers("pitfalls", path)):
        raise MissingData(path)
    return answers[0]["status"], answers[0]["body"]


def _format_detections(checks: dict[str, str]) -> str:
    """How many shapes each check finds, and which."""
    shapes_by_check = {
        check: [shape for shape, detected_by in checks.items() if detected_by == check]
        for check in (_STATUS_CHECK, _BODY_CHECK, _NO_CHECK)
    }
    return ", ".join(
        f"{check} {len(shapes_by_check[check])} of {len(checks)}"
        f" ({', '.join(shapes_by_check[check]) or '-'})"
        for check in shapes_by_check
    )


FORGOTTEN_AWAIT = Claim(
    id="forgotten-await",
    sentence=(
        "A forgotten `await` hands on the coroutine instead of its value, and only a check of the"
        " body finds that."
    ),
    source="Common Pitfalls",
    judge=_judge_forgotten_await,
    needs=("asked/pitfalls",),
)
