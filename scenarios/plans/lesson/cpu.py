"""The same computation inline, in a thread and in a process pool; then hashing, which lets the GIL go, inline and in a thread."""

from dataclasses import replace

from results.schema import Cell
from scenarios.plans.lesson.experiment import experiment
from scenarios.plans.model import Act
from scenarios.system.machine import all_cores

WORK = 0.05  # seconds that the work takes, more or less: steers durations only
USERS = 4  # few, so that what the loop feels of each thread shows
COMPUTED = '{"result":1711753697}'  # by half a million rounds: whoever did fewer cannot know
HASHED = '{"result":"3eabd1885c6e7ae6"}'  # by a quarter of a million
PING_RATE, PINGED = 30.0, 5.0  # five experiments in a minute: more pings per second, for fewer seconds
CORES = len(all_cores() or ()) or 1


def act(variant: str, path: str, expects: str = COMPUTED) -> Act:
    """A route whose work fills one place."""
    found = experiment(variant, path, expects, seconds=WORK, users=USERS, places=1)
    return replace(found, cells=tuple(pinged_often(cell) for cell in found.cells))


def pinged_often(cell: Cell) -> Cell:
    """The same cell in less time, where neighbours are asked."""
    beside = tuple(replace(one, rate=PING_RATE) for one in cell.neighbours)
    return replace(cell, neighbours=beside, window=PINGED) if beside else cell


def pool(users: int) -> Act:
    """Computing in other processes, on all cores; one user for so long that the CPU of those processes is looked at twice."""
    path, asked = "/cpu/pool?rounds=500000", ("/cpu/workers",)  # before the load this starts them all
    found = experiment("async process-pool", path, COMPUTED, seconds=WORK, users=users, places=CORES, asks=asked, pinned=False)
    alone, crowd = found.cells
    return replace(found, cells=(replace(alone, window=3.0), crowd))


ACTS = (
    act("broken-async cpu", "/cpu/inline?rounds=500000"),
    act("to-thread cpu", "/cpu/thread?rounds=500000"),
    act("broken-async hash", "/cpu/hash/inline?rounds=250000", HASHED),
    act("to-thread hash", "/cpu/hash/thread?rounds=250000", HASHED),
    pool(2 * CORES),
)
