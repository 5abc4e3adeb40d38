"""The terms of a run: variants, cells, phases; the format's number and history.

A *cell* is one (target, route, scenario, level), written `crowd/broken-async/32`. Seconds
everywhere; counts are plain integers.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec

# History of the format
# 9 - waits/ has where requests wait, in cells that are profiled
# 8 - probe.parquet counts the loop's tasks; the driver reads the app's CPU from the system; one
#     server and one Locust may serve several routes; a cell's window may close early (precision,
#     least), or when nothing is answered any more (patience); holds/ say how long a hold computed
# 7 - the lines that an app's processes write (holds/, and probe/ of a run not yet closed) are
#     objects, which name their fields, and no longer lists; keys of run.json were renamed: acts,
#     asks, told, patient, rest and, of routes, act, wrong, unfit, polite (results/run_info.py)
# 6 - load.parquet counts how often the container's CPU limit ran out (marks); a cell may go on
#     until whole rounds of all its users are answered, `longest` seconds at most
# 5 - probe.parquet has the CPU of the loop's own thread, and threads and queue of the fullest pool
#     other than the loop's default executor; that executor's queue is known under uvloop too
# 4 - a cell may name the server that answers it; run.json keeps the requests that are no load and
#     their answers (asks, told), what the target lacks (skipped), which servers were not pinned,
#     and which claims were chosen; probe.parquet has the CPU of the app's descendants
# 3 - load.parquet has stolen CPU and swapping (marks); app_end is the moment before the last
#     piece leaves the app; a cell may be cold: the first requests open its connections
# 2 - load.parquet names the worker of each line; cells may have arrivals (open model); a route need
#     not be a variant
# 1 - the first: samples, load and probe as Parquet next to run.json
FORMAT_VERSION = 9

# one keep-alive connection each; beyond 1,000 descriptors the client cannot keep them alive
MAX_USERS = 900
# requests per second that a level may have: more than one Locust process can send
MAX_RATE = 5000.0

Amount = Annotated[float, msgspec.Meta(ge=0, le=1e300)]  # finite, not negative
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Duration = Annotated[float, msgspec.Meta(gt=0, le=1e300)]


class Variant(StrEnum):
    """The ways to write one route."""

    ASYNC = "async"  # `async def` that awaits
    SYNC = "sync"  # `def`: FastAPI runs it in a thread pool
    BROKEN_ASYNC = "broken-async"  # `async def` that blocks the event loop
    TO_THREAD = "to-thread"  # `async def` that blocks in a thread of the loop's executor


def base_variant(variant: str) -> str:
    """Return the variant of an experiment, whose name adds conditions: `async uvloop cold`."""
    return variant.partition(" ")[0]


def is_experiment(variant: str) -> bool:
    """Return whether this is a variant under conditions; a user's `GET /x` is not."""
    return variant not in list(Variant) and base_variant(variant) in list(Variant)


class Scenario(StrEnum):
    """How a route is loaded."""

    BURST = "burst"  # N requests at one instant
    CROWD = "crowd"  # N users; each waits for its answer before its next request (closed model)
    STEADY = "steady"  # arrivals at a stated rate, whatever happens to earlier ones (open model)
    # neighbours at a low Poisson rate (open model), alone or while another route is loaded
    NEIGHBOURS = "neighbours"
    # a no-op route at the rate of the busiest cell (open model): the cost of the rig itself
    FLOOR = "floor"


class Phase(StrEnum):
    """Where in its cell a request was planned."""

    CONNECT = "connect"  # opening a connection before the load; not part of any result
    WARM_UP = "warm-up"  # before the window: the queue is still building
    STEADY = "steady"  # inside the window: what the results are made of


class Status(StrEnum):
    """The state of a run."""

    RUNNING = "running"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A route that gets `rate` requests per second, Poisson, while another is loaded."""

    kind: str  # "async" feels the loop, "def" feels the threads too
    route: str
    path: str
    expects: str
    rate: Amount
    connections: Count  # opened before the load; without a free one a ping is unsent, but counted
    status: Count = 0  # status of a right answer; 0 for any success


class ArrivalDistribution(StrEnum):
    """How the gaps between arrivals are distributed."""

    POISSON = "poisson"  # independent users: exponential gaps
    CONSTANT = "constant"  # a metronome: equal gaps


class ConnectionMode(StrEnum):
    """How an open model gets its connections."""

    WARM = "warm"  # opened before the load and kept alive; more are opened when all are taken
    COLD = "cold"  # opened by the first requests that need them, and kept alive
    FRESH = "fresh"  # a new connection for every request


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """When an open model's requests leave: the same for each seed, variant and worker count."""

    law: ArrivalDistribution
    # pieces: seconds, rate at its start, rate at its end (requests/s)
    profile: tuple[tuple[_Duration, Amount, Amount], ...]
    pool: ConnectionMode
    warm: Count  # connections per process, opened before the load
    cap: Count  # requests in flight per process; those beyond are not sent, but counted

    def __post_init__(self) -> None:
        if not self.expected_requests > 0:
            raise ValueError(f"the profile {self.profile} brings no arrivals")

    @property
    def duration(self) -> float:
        """How long requests arrive, in seconds."""
        return sum(piece[0] for piece in self.profile)

    @property
    def expected_requests(self) -> float:
        """How many requests should arrive, on average."""
        return sum(seconds * (begin + end) / 2 for seconds, begin, end in self.profile)


def repeat_suffix(repeat: int) -> str:
    """Return the end of a repeat's name: nothing for the first, `~2` for the second."""
    return f"~{repeat}" if repeat > 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a cell run measures: which route, how many users or arrivals, how long (seconds)."""

    name: str
    scenario: Scenario
    variant: str  # one of `Variant`, or the route where its kind is unknown
    route: str  # "GET /async"
    path: str  # "/async?seconds=0.1"
    expects: str  # the body of a right answer; empty for any
    users: Count
    warm_up: Amount
    window: Amount
    drain: Amount  # how long to wait for answers after the window, at most
    stagger: Amount = 0.0  # users start evenly over this, so that they do not stay in step
    think: Amount = 0.0
    neighbours: tuple[Neighbour, ...] = ()
    arrivals: Arrivals | None = None  # the open model's
    share: Amount | None = None  # its rate as a share of the measured capacity
    repeat: Count = 1
    cold: bool = False  # its users connect with their first request, not before the load
    on: str = ""  # the server that answers, where its name is not the variant's
    # requests after which its window closes, a ceiling for a user's app; 0 for none
    most: Count = 0
    status: Count = 0  # status of a right answer; 0 for any success
    # seconds that warm-up and window may each last until whole rounds of all its users are
    # answered; 0: as planned
    longest: Amount = 0.0
    # the window may close before its time, after `least` seconds, once the mean latency is known to
    # within this share of it; 0: never
    precision: Amount = 0.0
    least: Amount = 0.0
    # seconds without any answer, though requests are in flight, after which the cell ends: mark
    # `silent`; 0: never
    patience: Amount = 0.0
    # a second run with a watchdog inside the app, for the culprits: no level of its own
    watched: bool = False
    # a further run while the app's requests are looked at, for where they wait: no level either
    profiled: bool = False

    @property
    def is_level(self) -> bool:
        """Whether it is measured without anything that slows the app."""
        return not (self.watched or self.profiled)

    @property
    def neighbour_cell_name(self) -> str:
        """The name of the cell that has the neighbours' samples."""
        return f"{Scenario.NEIGHBOURS}/{self.variant}/{self.users}{repeat_suffix(self.repeat)}"

    @property
    def server(self) -> str:
        """The name of the answering process in probe and targets: each repeat has its own."""
        return self.on or f"{self.variant}{repeat_suffix(self.repeat)}"

    @classmethod
    def from_dict(cls, raw: Any) -> "Cell":
        """Return a cell from JSON. Raises ValueError if it is wrong."""
        return msgspec.convert(raw, cls)

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as JSON carries it."""
        return asdict(self)
