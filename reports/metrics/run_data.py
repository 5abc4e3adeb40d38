"""A run's files become tidy frames; the only file of this room that opens evidence.

Derived here, stored nowhere: latency = done - intended, so that neither a late generator nor a queue before the socket
can hide. The latency of a censored sample is a lower bound; that of one never sent does not exist.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from results.errors import Exit, Trouble
from results.schema import Cell, Phase, Status
from results.spool_tables import HARDSHIP, TABLES, Table, gather, spoilt_lines
from results.store import in_arrow, read_run

FACTS: dict[str, type] = {
    "format": int,
    **dict.fromkeys(("run", "command", "status", "started", "loop", "connections"), str),
    **dict.fromkeys(("machine", "packages", "plan"), dict),
    "seed": int,
    "troubles": list,
}
EXTRAS: dict[str, type | tuple[type, ...]] = {"seconds": (int, float), "targets": dict, "loops": dict, "host": str, "scenario": str}
EXTRAS |= dict.fromkeys(("asks", "told", "skipped"), dict) | dict.fromkeys(("claims", "unpinned"), list)
MOMENTS = ("intended", "sent", "done", "app_start", "handler_start", "handler_end", "app_end", "t", "area", "lateness", "cpu")
LATER = (*HARDSHIP, "kin_cpu", "loop_cpu", "pool_threads", "pool_waiting")  # unknown before formats 3 to 6
KINDS = {**dict.fromkeys((*MOMENTS, *LATER, "threads_waiting", "executor_queue"), "float64"), "censored": "bool"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run: its facts, its planned cells, and three frames with moments in seconds since the run's start."""

    path: Path
    run: dict[str, Any]
    cells: tuple[Cell, ...]
    samples: pd.DataFrame
    load: pd.DataFrame
    probe: pd.DataFrame
    pivots: dict[tuple[str, str], pd.DataFrame]  # the marks by cell and reading, pivoted once: everybody asks for them
    asked: dict[str, pd.DataFrame]  # the samples by cell, likewise
    lines: dict[str, pd.DataFrame]  # what the generator told by cell, likewise

    def rows(self, cell: str) -> pd.DataFrame:
        """A cell's samples, without those that only opened a connection."""
        return self.asked.get(cell, self.samples[:0])

    def told(self, cell: str) -> pd.DataFrame:
        """What the generator told of a cell: marks and ticks."""
        return self.lines.get(cell, self.load[:0])

    def marks(self, cell: str, reading: str = "t") -> pd.DataFrame:
        """When each worker (row) went, opened and closed its window, and ended (columns), as far as it came.

        `reading` may be "area": the counter's integral at those moments. Of a mark that was set twice the last one counts.
        """
        return self.pivots.get((cell, reading), pd.DataFrame())


def load(path: Path) -> Evidence:
    """Open a stored run. Raises Trouble when it is none, newer than this program, damaged, or edited beyond reading."""
    run = read_run(path)
    if missing := [name for name in FACTS if name not in run]:
        raise damaged(path, f"its run.json lacks {', '.join(missing)}")
    try:
        cells = tuple(Cell.from_dict(one) for one in run["plan"]["cells"])
        waits, notes = run["plan"]["seconds"], run["plan"].setdefault("notes", [])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"its plan cannot be read ({error})") from error
    wrong = [name for name, kind in {**FACTS, **EXTRAS}.items() if name in run and not isinstance(run[name], kind)]
    wrong += ["status"] if run["status"] not in list(Status) else []
    wrong += ["plan"] if not isinstance(notes, list) or not isinstance(waits, int | float | None) else []
    wrong += [] if "machine" in wrong or is_sound(run["machine"]) else ["machine"]
    if wrong:
        raise damaged(path, f"its run.json was edited: {', '.join(wrong)}")
    if len({cell.name for cell in cells}) < len(cells):
        raise damaged(path, "its plan names a cell twice")
    frames = spooled(path, run) if run["status"] == Status.RUNNING else {name: frame(path, name) for name in TABLES}
    samples = frames["samples"].sort_values("intended", kind="stable", ignore_index=True)  # neighbours in a queue stay neighbours
    if (samples.done.isna() & samples.sent.notna()).any():
        raise damaged(path, "requests were sent, and nothing tells when they ended or were given up")
    samples["latency"] = samples.done - samples.intended
    asked = samples[samples.phase != Phase.CONNECT]
    lines = frames["load"]
    if run["loop"] == "unknown":  # nobody asked for one; the first that ran is told
        run["loop"] = next((str(one.get("loop")).partition(".")[0] for one in run.get("targets", {}).values()), "unknown")
    return Evidence(path, run, cells, samples, lines, frames["probe"], pivots(lines), by_cell(asked), by_cell(lines))


def by_cell(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each cell's rows: every number asks for some of them."""
    return {str(cell): found for cell, found in rows.groupby("cell")}


def is_sound(machine: dict[str, Any]) -> bool:
    """Whether the facts that checks reckon with are numbers."""
    told = machine.get("clock", {})
    facts = [
        machine.get("busy_before"),
        machine.get("cpus"),
        machine.get("cpu_limit"),
        *(told.values() if isinstance(told, dict) else ["no facts"]),
    ]
    return all(one is None or (isinstance(one, int | float) and not isinstance(one, bool)) for one in facts)


def pivots(lines: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Per cell and reading, a row per worker and a column per mark."""
    marks = lines[lines.kind == "mark"]
    found = {}
    for cell, rows in marks.groupby("cell"):
        last = rows.groupby(["worker", "mark"])[["t", "area"]].last().unstack()  # noqa: PD010 - a pivot
        found.update({(str(cell), reading): pd.DataFrame(last[reading]) for reading in ("t", "area")})
    return found


def frame(path: Path, name: str) -> pd.DataFrame:
    """One Parquet file with all its columns; format 1 had one worker per variant and did not name it."""
    try:
        found = pd.read_parquet(path / f"{name}.parquet")
        if name == "load" and "worker" not in found:
            found["worker"] = found.cell.str.split("/").str[1]
        found = found.assign(**dict.fromkeys((set(LATER) & set(TABLES[name])) - set(found)))
        return found[list(TABLES[name])].astype({key: kind for key, kind in KINDS.items() if key in TABLES[name]})
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's complaints about a damaged file are ValueErrors
        raise damaged(path, f"{name}.parquet is missing, damaged, or lacks columns") from error


def spooled(path: Path, run: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The frames of a run that is still running, or whose driver died: from its spools, as far as they go."""
    try:
        gathered = gather(path, float(run["origin"]))
        samples = [in_arrow(part) for part in gathered.samples] or [in_arrow(Table(TABLES["samples"], []))]
        tables = {name: in_arrow(table) for name, table in gathered.tables.items()}
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise damaged(path, "it was never closed, and its spools cannot be read") from error
    run["targets"] = gathered.targets
    run["troubles"] = [*run["troubles"], *([spoilt_lines(len(gathered.spoilt))] if gathered.spoilt else [])]
    found = {name: table.to_pandas() for name, table in {"samples": pa.concat_tables(samples), **tables}.items()}
    return {name: one.astype({key: kind for key, kind in KINDS.items() if key in one}) for name, one in found.items()}


def damaged(path: Path, why: str) -> Trouble:
    """The sentence for a run that was cut or edited."""
    return Trouble(f"{path} cannot be reported: {why}. Copy the run again, or make a new one: atonce reproduce", Exit.USAGE)


def slope(t: pd.Series, total: pd.Series) -> float | None:
    """Growth per second of a running total, from first to last look."""
    if len(t) < 2:  # noqa: PLR2004 - a slope takes two points
        return None
    return float((total.iloc[-1] - total.iloc[0]) / (t.iloc[-1] - t.iloc[0]))
