"""Reading a slow file: inside `async def`, in `def`, and in a thread of the loop's executor."""

from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session, expected_concurrency

_READ_SECONDS = 0.1  # that each file takes to read
ANSWER = '{"bytes":32768,"crc32":561456818}'


def _file_session(variant: str, users: int) -> Session:
    """One way to read it; more users than are served at once."""
    path = f"/file/{variant.partition(' ')[0]}?seconds={_READ_SECONDS:g}"
    return lesson_session(
        variant,
        path,
        ANSWER,
        seconds=_READ_SECONDS,
        users=users,
        concurrency=expected_concurrency(variant),
    )


SESSIONS = (
    _file_session("broken-async file", 8),
    _file_session("sync file", 48),
    _file_session("to-thread file", 2 * expected_concurrency("to-thread")),
)
