"""What the Locust processes of a run are to do: one line of JSON, from driver or master to worker.

A driver may hand over one job after another to the same process, when what follows depends on what
was measured.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from results.schema import Cell, Scenario
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

REQUEST_ID_HEADER = "x-atonce-id"
# headers of every request of ours, before or under load: an app may answer by them
COMMON_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",  # compression on the fly sends pieces, as a stream does
    "connection": "keep-alive",
    "user-agent": "atonce",
}
# exit code of a Locust that could not write its samples (EX_IOERR of sysexits.h)
DISK_FULL_EXIT = 74


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """Headers and body of a route's requests. May be secret: it travels in jobs only, unsaved."""

    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None  # its bytes, each as one character (latin-1)
    path: str = ""  # instead of the cell's, where that may not hold all


@dataclass(frozen=True, slots=True)
class Job:
    """What one run sends. Each of `workers` sends its part of each open-model schedule."""

    folder: Path
    worker: str  # the name of this process in its samples
    seed: int
    cells: tuple[Cell, ...]
    workers: tuple[str, ...] = ()  # Locust's names of the workers that share it; empty: not shared
    begins: float = 0.0  # without a driver: the moment of the clock at which open models start
    letters: dict[str, RequestTemplate] = field(default_factory=dict)  # by route
    trust: TlsTrust = DEFAULT_TLS_TRUST
    users: int = 0  # of a crowd, that later jobs may need

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Return a job from one line of JSON."""
        return msgspec.convert(json.loads(text), cls, dec_hook=lambda kind, value: kind(value))

    def to_json(self) -> str:
        """Return the job as one line of JSON, in ASCII."""
        return json.dumps(msgspec.to_builtins(self, enc_hook=str))

    def user_counts(self) -> dict[Scenario, int]:
        """Return the users of each scenario for the largest cell; at least one, for Locust."""
        sizes = {**dict.fromkeys(Scenario, 0), Scenario.CROWD: self.users}
        for cell in self.cells:
            sizes[cell.scenario] = max(sizes[cell.scenario], cell.users)
        return sizes if any(sizes.values()) else {**sizes, self.cells[0].scenario: 1}
