"""Two calls of another service: together under `asyncio.gather`, and one after another."""

from dataclasses import replace

from scenarios.plans.lesson.experiment import experiment
from scenarios.plans.model import Act

DELAY = 0.2  # seconds that each of the two calls takes
ANSWER = '{"statuses":[200,200]}'


def act(variant: str, path: str, calls: int) -> Act:
    """A route that makes two calls, asked by one user, so that nobody waits for anybody; they take as long as so many delays."""
    found = experiment(variant, f"{path}?seconds={DELAY:g}", ANSWER, seconds=calls * DELAY, users=2, places=2)
    return replace(found, cells=found.cells[:1])


ACTS = (act("async gather", "/concurrent", 1), act("async in-turn", "/in-turn", 2))
