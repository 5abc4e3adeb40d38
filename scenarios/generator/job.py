"""What the Locust processes of a run are to do. One line of JSON, from whoever owns the run to whoever plays it.

A driver may hand over one script after another to the same process, when what follows depends on
what was measured.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from results.schema import Cell, Scenario
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

REQUEST_ID_HEADER = "x-atonce-id"
# headers of every request of ours, polite or under load: an app may answer by them
COMMON_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",  # what compresses on the fly sends pieces, as a stream does
    "connection": "keep-alive",
    "user-agent": "atonce",
}
DISK_FULL_EXIT = (
    74  # exit code of a Locust that could not write its samples (EX_IOERR of sysexits.h)
)


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What goes along with a route's requests. It may be secret, so it travels in scripts only, and no run keeps it."""

    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None  # its bytes, each as one character (latin-1)
    path: str = ""  # instead of the cell's, where that may not hold all


@dataclass(frozen=True, slots=True)
class Job:
    """What one run asks. Of several `workers`, each plays its part of every open-model schedule."""

    folder: Path
    worker: str  # how this process signs its samples
    seed: int
    cells: tuple[Cell, ...]
    workers: tuple[str, ...] = ()  # Locust's names of those who share it; empty: nobody shares
    begins: float = (
        0.0  # where nobody gives cues, open models start at this moment of the machine's clock
    )
    letters: dict[str, RequestTemplate] = field(default_factory=dict)  # by route
    trust: TlsTrust = DEFAULT_TLS_TRUST
    users: int = 0  # of a crowd, that later scripts may need

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """A script from one line of JSON."""
        raw = json.loads(text)
        cells = tuple(Cell.from_dict(entry) for entry in raw["cells"])
        templates = {route: RequestTemplate(**entry) for route, entry in raw["letters"].items()}
        trust = TlsTrust(**raw["trust"])
        whole = {
            "trust": trust,
            "folder": Path(raw["folder"]),
            "cells": cells,
            "workers": tuple(raw["workers"]),
            "letters": templates,
        }
        return cls(**{**raw, **whole})

    def to_json(self) -> str:
        """The script as one line of JSON."""
        return json.dumps(asdict(self), default=str)

    def user_counts(self) -> dict[Scenario, int]:
        """How many users of each scenario the largest cell needs. An open model needs none, but Locust wants one."""
        sizes = {**dict.fromkeys(Scenario, 0), Scenario.CROWD: self.users}
        for cell in self.cells:
            sizes[cell.scenario] = max(sizes[cell.scenario], cell.users)
        return sizes if any(sizes.values()) else {**sizes, self.cells[0].scenario: 1}
