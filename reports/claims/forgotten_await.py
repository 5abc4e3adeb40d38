"""A forgotten `await`."""

from reports.claims.model import Claim, MissingData, PartResult
from reports.metrics.model import RunMetrics
from results.formatting import format_count

_STATUS_CHECK, _BODY_CHECK, _NO_CHECK = "a status check finds", "only a body check", "neither"
SHAPES = {  # what becomes of the coroutine: its name, and which check should find it
    "returned": ("user_of", _STATUS_CHECK),
    "in-dict": ("cart_of", _STATUS_CHECK),
    "in-text": ("name_of", _BODY_CHECK),
    "condition": ("is_admin", _BODY_CHECK),
    "saved": ("save", _NO_CHECK),
}
_MIN_FAILURE_STATUS = 400  # from this status on clients and load generators speak of a failure
_LIMIT = (
    "true where the coroutine becomes a text or a condition. A returned coroutine cannot be written"
    " as JSON and fails visibly (500). Where only its effect is lost, the answer is right and only"
    " the warning in the log shows it"
)


def _judge_forgotten_await(run_metrics: RunMetrics) -> PartResult:
    """Compare each mistake with its fix, and count the warnings in the app's log."""
    expected = {shape: check for shape, (_, check) in SHAPES.items()}
    found_by = {shape: _detecting_check(run_metrics, shape) for shape in SHAPES}
    log = run_metrics.run.answers["pitfalls"].log
    warnings = sum(f"coroutine '{name}' was never awaited" in log for name, _ in SHAPES.values())
    examples = "; ".join(
        "{} {} {}".format(shape, *_pitfall_answer(run_metrics, "forgotten", shape))
        for shape, check in found_by.items()
        if check == _BODY_CHECK
    )
    # The lesson knows one case: the wrong value.
    is_as_stated = set(found_by.values()) == {_BODY_CHECK}
    return PartResult(
        f"{_format_detections(expected)}; {format_count(len(SHAPES), 'warning')} in the log",
        f"{_format_detections(found_by)}; {format_count(warnings, 'warning')} in the log;"
        f" {examples}",
        {
            "a check other than the predicted one found a mistake": (
                found_by != expected and not is_as_stated
            ),
            "a coroutine was lost without a warning in the log": warnings < len(SHAPES),
        },
        limit="" if is_as_stated else _LIMIT,
        why="every wrong answer looked like a success",
    )


def _detecting_check(run_metrics: RunMetrics, shape: str) -> str:
    """Return which check finds this shape. Raises MissingData when its fix does not answer."""
    status, body = _pitfall_answer(run_metrics, "forgotten", shape)
    fixed_status, fixed_body = _pitfall_answer(run_metrics, "awaited", shape)
    if fixed_status >= _MIN_FAILURE_STATUS:
        raise MissingData(f"the right answer to /pitfall/awaited/{shape}")
    if status >= _MIN_FAILURE_STATUS:
        return _STATUS_CHECK
    return _BODY_CHECK if body != fixed_body else _NO_CHECK


def _pitfall_answer(run_metrics: RunMetrics, how: str, shape: str) -> tuple[int, str]:
    path = f"/pitfall/{how}/{shape}"
    if not (answers := run_metrics.session_answers("pitfalls", path)):
        raise MissingData(path)
    return answers[0].status, answers[0].body


def _format_detections(found_by: dict[str, str]) -> str:
    """Return how many shapes each check finds, and which."""
    texts = []
    for check in (_STATUS_CHECK, _BODY_CHECK, _NO_CHECK):
        shapes = [shape for shape in found_by if found_by[shape] == check]
        texts.append(f"{check} {len(shapes)} of {len(found_by)} ({', '.join(shapes) or '-'})")
    return ", ".join(texts)


FORGOTTEN_AWAIT = Claim(
    id="forgotten-await",
    sentence="A forgotten `await` passes on the coroutine, and only a check of the body finds it.",
    source="Common Pitfalls",
    needs=("asked/pitfalls",),
    parts=(_judge_forgotten_await,),
)
