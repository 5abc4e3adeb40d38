"""Reading a slow file: inside `async def`, in `def`, and in a thread of the loop's executor."""

from scenarios.plans.lesson.experiment import experiment
from scenarios.plans.model import Act, places

SECONDS = 0.1  # that each file takes to read
ANSWER = '{"bytes":32768,"crc32":561456818}'


def act(variant: str, users: int) -> Act:
    """One way to read it; more users than are served at once."""
    path = f"/file/{variant.partition(' ')[0]}?seconds={SECONDS:g}"
    return experiment(variant, path, ANSWER, seconds=SECONDS, users=users, places=places(variant))


ACTS = (act("broken-async file", 8), act("sync file", 48), act("to-thread file", 2 * places("to-thread")))
