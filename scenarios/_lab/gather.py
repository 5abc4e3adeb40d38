"""Two calls of another service: together under `asyncio.gather`, and one after another."""

from scenarios._lab.experiment import experiment
from scenarios._plan import Act

DELAY = 0.2  # seconds that each of the two calls takes
ANSWER = '{"statuses":[200,200]}'


def act(variant: str, path: str, calls: int) -> Act:
    """A route that makes two calls; they take as long as so many delays. All that ask are served at once."""
    return experiment(variant, f"{path}?seconds={DELAY:g}", ANSWER, seconds=calls * DELAY, users=8, places=8)


ACTS = (
    act("async gather", "/concurrent", 1),
    act("async in-turn", "/in-turn", 2),
)
