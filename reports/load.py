"""A run's files become tidy frames; the only file of this room that opens evidence.

Derived here, stored nowhere: latency = done - intended, so that neither a late generator nor a queue before the socket
can hide. The latency of a censored sample is a lower bound; that of one never sent does not exist.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from results.schema import Cell, Phase
from results.store import read_run


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run: its facts, its planned cells, and three frames with moments in seconds since the run's start."""

    path: Path
    run: dict[str, Any]
    cells: tuple[Cell, ...]
    samples: pd.DataFrame
    load: pd.DataFrame
    probe: pd.DataFrame

    def rows(self, cell: str) -> pd.DataFrame:
        """A cell's samples, without those that only opened a connection."""
        return self.samples[(self.samples.cell == cell) & (self.samples.phase != Phase.CONNECT)]

    def moments(self, cell: str) -> dict[str, float]:
        """When the cell went, opened and closed its window, and ended - as far as it came."""
        marks: dict[str, float] = self.run.get("cells", {}).get(cell, {})
        return marks


def load(path: Path) -> Evidence:
    """Open a stored run. Raises Trouble when it is none, or newer than this program."""
    run = read_run(path)
    samples = pd.read_parquet(path / "samples.parquet")
    samples["latency"] = samples.done - samples.intended
    cells = tuple(Cell.from_dict(one) for one in run["plan"]["cells"])
    frames = (pd.read_parquet(path / f"{name}.parquet") for name in ("load", "probe"))
    return Evidence(path, run, cells, samples, *frames)
