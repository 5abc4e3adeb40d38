"""Spools of a run in progress, line by line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results.schema import Cell
from results.store import RunWriter
from scenarios.doctor.recording import SpoolRecording
from tests.support.simulate_services import run_info


def write(path: Path, lines: Sequence[Sequence[Any] | dict[str, Any]]) -> None:
    """A spool."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def recording(folder: Path, *cells: Cell) -> SpoolRecording:
    """The recording of a run with these cells, whose clock began at zero."""
    run = RunWriter(folder, "doctor")
    run.open(run_info(cells))
    run.info.origin = 0.0
    return SpoolRecording(run, "route-01")


def mark(cell: Cell, **moments: float) -> list[list[Any]]:
    """The marks of a cell."""
    return [["mark", cell.name, name, t, 0, 0.0] for name, t in moments.items()]
