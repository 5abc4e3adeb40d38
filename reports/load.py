"""A run's files become tidy frames; the only file of this room that opens evidence.

Derived here, stored nowhere: latency = done - intended, so that neither a late generator nor a queue before the socket
can hide. The latency of a censored sample is a lower bound; that of one never sent does not exist.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from results.schema import Cell, Phase, Sample
from results.store import LOAD_COLUMNS, PROBE_COLUMNS, read_run
from results.trouble import Exit, Trouble

FACTS = ("run", "command", "status", "started", "seed", "plan", "loop", "machine", "packages", "connections")


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

    def marks(self, cell: str) -> pd.DataFrame:
        """When the cell went, opened and closed its window, and ended - as far as it came - and the counter's reading then."""
        return self.load[(self.load.cell == cell) & (self.load.kind == "mark")].set_index("mark")


def load(path: Path) -> Evidence:
    """Open a stored run. Raises Trouble when it is none, newer than this program, damaged, or edited beyond reading."""
    run = read_run(path)
    if missing := [name for name in FACTS if name not in run]:
        raise damaged(path, f"its run.json lacks {', '.join(missing)}")
    try:
        cells = tuple(Cell.from_dict(one) for one in run["plan"]["cells"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, "its plan cannot be read") from error
    samples = frame(path, "samples", tuple(Sample.__dataclass_fields__))
    samples["latency"] = samples.done - samples.intended
    return Evidence(path, run, cells, samples, frame(path, "load", LOAD_COLUMNS), frame(path, "probe", PROBE_COLUMNS))


def frame(path: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """One Parquet file with all its columns."""
    try:
        return pd.read_parquet(path / f"{name}.parquet", columns=list(columns))
    except (OSError, ValueError) as error:  # pyarrow's complaints about a damaged file are ValueErrors
        raise damaged(path, f"{name}.parquet is missing, damaged, or lacks columns") from error


def damaged(path: Path, why: str) -> Trouble:
    """The sentence for a run that was cut or edited."""
    return Trouble(f"{path} cannot be reported: {why}. Copy the run again, or make a new one: atonce reproduce", Exit.USAGE)
