"""Reading a slow file: inside `async def`, in `def`, and in a thread of the loop's executor."""

from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session, expected_concurrency

_READ_SECONDS = 0.1  # that each file takes to read
ANSWER = '{"bytes":32768,"crc32":561456818}'


def _file_session(variant: str, users: int) -> Session:
    return lesson_session(
        f"{variant} file",
        f"/file/{variant}?seconds={_READ_SECONDS:g}",
        ANSWER,
        seconds=_READ_SECONDS,
        users=users,
        concurrency=expected_concurrency(variant),
    )


# more users than are served at once
SESSIONS = (
    _file_session("broken-async", 8),
    _file_session("sync", 48),
    _file_session("to-thread", 2 * expected_concurrency("to-thread")),
)
