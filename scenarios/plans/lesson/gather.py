"""Two calls of another service: together under `asyncio.gather`, and one after another."""

from dataclasses import replace

from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session

_DELAY = 0.2  # seconds that each of the two calls takes
ANSWER = '{"statuses":[200,200]}'


def _gather_session(variant: str, path: str, calls: int) -> Session:
    """Return a route whose two calls take `calls` delays; for one user, so nothing queues."""
    path, seconds = f"{path}?seconds={_DELAY:g}", calls * _DELAY
    session = lesson_session(variant, path, ANSWER, seconds=seconds, users=2, concurrency=2)
    return replace(session, cells=session.cells[:1])


SESSIONS = (
    _gather_session("async gather", "/concurrent", 1),
    _gather_session("async in-turn", "/in-turn", 2),
)
