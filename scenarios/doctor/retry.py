"""What was disturbed is measured again: not by the app, but by a load generator that stood still, or a machine short of time.

What was measured at first is not lost: its spools are set aside in the run's folder, and the run's notes say why. How far
the second measurement may be believed is judged later, by the same checks as any other.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results import spool
from results.schema import Cell
from results.store import RunFolder
from results.thresholds import SHORTEST_HARM
from scenarios.doctor.interim import look

SELDOM = 0.01  # share of a window that the generator may stand still for longer than counts
STOLEN = 0.05  # share of the CPU time that a host may take for others


def disturbed(run: RunFolder, act: str) -> str | None:
    """Why an act should be measured again, in a clause; None when it need not. Its second look belongs to it."""
    cells = [Cell.from_dict(one) for one in run.facts["plan"]["cells"] if is_of(act, one["on"])]
    return next((f"{why} during {cell.name}" for cell in cells if (why := harmed(run.path, cell))), None)


def harmed(folder: Path, cell: Cell) -> str | None:
    """What happened to the window of a cell."""
    path = folder / "load" / f"{cell.on}.jsonl"
    lines = [line for line in spool.read(path) if line[1] == cell.name] if path.exists() else []
    marks = {line[2]: (line[3], *line[6:9]) for line in lines if line[0] == "mark" and len(line) > 8}  # noqa: PLR2004 - a planned number has no more
    if not {"open", "close"} <= set(marks):
        return None
    (begin, stolen, _, swapped), (end, stolen_then, _, swapped_then) = marks["open"], marks["close"]
    late = [line[5] for line in lines if line[0] == "tick" and begin <= line[2] <= end]
    too_late = [one - SHORTEST_HARM for one in late if one > SHORTEST_HARM]
    bearable = 2 * SHORTEST_HARM
    if late and max(late) > bearable and (seen := look(folder, cell.on, cell)):
        bearable = max(bearable, 0.5 * seen.median)  # of a route that takes long
    if sum(too_late) > SELDOM * (end - begin) or max(late, default=0.0) > bearable:
        return f"the load generator stood still for {1000 * max(late):.0f} ms"
    if (stolen_then or 0.0) - (stolen or 0.0) > STOLEN * (end - begin) * (os.cpu_count() or 1):
        return "the host took the CPU for others"
    return "the machine swapped" if (swapped_then or 0) > (swapped or 0) else None


def is_of(act: str, name: str) -> bool:
    """Whether a server, or a spool, belongs to an act: its own, or its second look's."""
    return name == act or name.startswith(f"{act}-")


def set_aside(run: RunFolder, act: str, why: str, tables: Iterable[str]) -> None:
    """Make room for another measurement of an act: its spools get a folder of their own, its cells leave the plan."""
    place = run.path / "aside" / f"{act}-{1 + len(list(run.path.glob(f'aside/{act}-*')))}"
    for path in [one for table in tables for one in (run.path / table).glob("*.jsonl") if is_of(act, one.stem)]:
        kept = place / path.parent.name / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
    plan: dict[str, Any] = run.facts["plan"]
    plan["cells"] = [one for one in plan["cells"] if not is_of(act, one["on"])]
    plan["notes"].append(f"{why}; what was measured at first lies in {place.relative_to(run.path)}.")
    run.write()
