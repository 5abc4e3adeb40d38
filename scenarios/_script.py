"""What one Locust process is to do: its driver writes it, its stage plays it. One line of JSON on stdin."""

import json
from dataclasses import dataclass
from pathlib import Path

from results.schema import Cell, Scenario


@dataclass(frozen=True, slots=True)
class Script:
    """What one Locust process is to do, as its driver wrote it."""

    folder: Path
    worker: str
    seed: int
    connect_path: str
    cells: tuple[Cell, ...]

    @classmethod
    def from_json(cls, text: str) -> "Script":
        """A script from one line of JSON."""
        raw = json.loads(text)
        cells = tuple(Cell.from_dict(one) for one in raw["cells"])
        return cls(Path(raw["folder"]), raw["worker"], raw["seed"], raw["connect_path"], cells)

    def to_json(self) -> str:
        """The script as one line of JSON."""
        cells = [cell.to_dict() for cell in self.cells]
        words = {"folder": str(self.folder), "worker": self.worker, "seed": self.seed}
        return json.dumps({**words, "connect_path": self.connect_path, "cells": cells})

    def cast(self) -> dict[Scenario, int]:
        """How many users of each scenario the largest cell needs."""
        sizes = dict.fromkeys(Scenario, 0)
        for cell in self.cells:
            sizes[cell.scenario] = max(sizes[cell.scenario], cell.users)
            sizes[Scenario.NEIGHBOURS] = max(sizes[Scenario.NEIGHBOURS], len(cell.neighbours))
        return sizes
