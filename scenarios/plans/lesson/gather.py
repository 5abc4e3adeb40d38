"""Two calls of another service: together under `asyncio.gather`, and one after another."""

from dataclasses import replace

from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session

_DELAY = 0.2  # seconds that each of the two calls takes
ANSWER = '{"statuses":[200,200]}'


def _gather_session(variant: str, path: str, calls: int) -> Session:
    """A route that makes two calls, which take `calls` delays; one user asks, so nothing queues."""
    session = lesson_session(
        variant,
        f"{path}?seconds={_DELAY:g}",
        ANSWER,
        seconds=calls * _DELAY,
        users=2,
        concurrency=2,
    )
    return replace(session, cells=session.cells[:1])


SESSIONS = (
    _gather_session("async gather", "/concurrent", 1),
    _gather_session("async in-turn", "/in-turn", 2),
)
