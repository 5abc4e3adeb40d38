"""Reads a run's files into tidy frames; the only module of `reports` that opens them.

It derives latency = done - intended, so neither a late generator nor a queue before the socket can
hide. That of a censored sample is a lower bound; a sample that was never sent has none.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from msgspec.structs import fields

from results.records import TABLES, LoadRow, ProbeRow, Sample, column_types
from results.run_info import RunInfo
from results.schema import Cell, Phase, Status
from results.spool_tables import RunSpools
from results.store import damaged_run_error, read_run, to_arrow_table

# counts that may be unknown
_OPTIONAL_COUNTS = {
    *("swapped", "threads_waiting", "executor_queue", "pool_threads", "pool_waiting")
}
_FIRST_READABLE_SPOOLS = 3  # the format since which a request's lines have not changed


@dataclass(frozen=True, slots=True)
class RunData:
    """One run: its facts, planned cells, and three frames; times in seconds since its start."""

    path: Path
    run: RunInfo
    cells: tuple[Cell, ...]
    samples: pd.DataFrame
    load: pd.DataFrame
    probe: pd.DataFrame
    # many callers need these: marks by cell and reading, samples and generator's lines by cell
    marks_by_cell: dict[tuple[str, str], pd.DataFrame]
    requests_by_cell: dict[str, pd.DataFrame]
    load_by_cell: dict[str, pd.DataFrame]

    def rows(self, cell: str) -> pd.DataFrame:
        """Return a cell's samples, without those that only opened a connection."""
        return self.requests_by_cell.get(cell, self.samples[:0])

    def load_lines(self, cell: str) -> pd.DataFrame:
        """Return the generator's lines of a cell: marks and ticks."""
        return self.load_by_cell.get(cell, self.load[:0])

    def marks(self, cell: str, reading: str = "t") -> pd.DataFrame:
        """Return the last time of each mark (column) of each worker (row).

        `reading` may be "area": the in-flight counter's integral at those times.
        """
        return self.marks_by_cell.get((cell, reading), pd.DataFrame())


def load_run(path: Path) -> RunData:
    """Open a stored run. Raises AtonceError when it is no run, too new, damaged or edited."""
    run = read_run(path)
    cells = tuple(run.plan.cells)
    if len({cell.name for cell in cells}) < len(cells):
        raise damaged_run_error(path, "its plan names a cell twice")
    is_open = run.status == Status.RUNNING
    frames = (
        _read_spools(path, run) if is_open else {name: _read_table(path, name) for name in TABLES}
    )
    # A stable sort, so that equal times keep their order.
    samples = frames["samples"].sort_values("intended", kind="stable", ignore_index=True)
    if (samples.done.isna() & samples.sent.notna()).any():
        raise damaged_run_error(path, "it does not say when some of the sent requests ended")
    samples["latency"] = samples.done - samples.intended
    lines = frames["load"]
    if run.loop == "unknown":  # none was requested: use the first that ran
        loops = [str(runtime.loop) for runtime in run.targets.values()]
        run.loop = loops[0].partition(".")[0] if loops else "unknown"
    requests = _group_by_cell(samples[samples.phase != Phase.CONNECT])
    by_cell = _pivot_marks(lines), requests, _group_by_cell(lines)
    return RunData(path, run, cells, samples, lines, frames["probe"], *by_cell)


def _group_by_cell(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(cell): cell_rows for cell, cell_rows in rows.groupby("cell")}


def _pivot_marks(lines: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    mark_tables = {}
    for cell, rows in _group_by_cell(lines[lines.kind == "mark"]).items():
        last = rows.groupby(["worker", "mark"])[["t", "area"]].last()  # of a mark set twice
        for reading in ("t", "area"):
            mark_tables[cell, reading] = last[reading].unstack()  # noqa: PD010
    return mark_tables


def _normalise_types(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Select a table's columns; numbers that may be missing become floats."""
    kinds = column_types(TABLES[name])
    floats = [key for key, kind in kinds.items() if kind is float or key in _OPTIONAL_COUNTS]
    flags = [key for key, kind in kinds.items() if kind is bool]
    return rows[list(kinds)].astype(
        {**dict.fromkeys(floats, "float64"), **dict.fromkeys(flags, "bool")}
    )


def _read_table(path: Path, name: str) -> pd.DataFrame:
    """Read one Parquet file with all its columns; an older format lacks some."""
    try:
        table = pd.read_parquet(path / f"{name}.parquet")
        if name == "load" and "worker" not in table:  # format 1 had one worker per variant
            table["worker"] = table.cell.str.split("/").str[1]
        later = {field.name for field in fields(TABLES[name]) if field.default is None}
        return _normalise_types(name, table.assign(**dict.fromkeys(later - set(table))))
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are ValueErrors
        why = f"{name}.parquet is missing, damaged, or lacks columns"
        raise damaged_run_error(path, why) from error


def _read_spools(path: Path, run: RunInfo) -> dict[str, pd.DataFrame]:
    """Read the frames of a run that is still running or was never closed, as far as they go."""
    if run.format < _FIRST_READABLE_SPOOLS:
        raise damaged_run_error(path, f"it was never closed, and its format is {run.format}")
    try:
        spools = RunSpools(path, run.origin)
        samples = [to_arrow_table(Sample, batch) for batch in ([], *spools.samples)]
        tables = {
            "samples": pa.concat_tables(samples),
            "load": to_arrow_table(LoadRow, spools.load),
            "probe": to_arrow_table(ProbeRow, spools.probe),
        }
    except (KeyError, TypeError, ValueError, OSError) as error:
        why = "it was never closed, and its spools cannot be read"
        raise damaged_run_error(path, why) from error
    run.targets = spools.targets
    run.troubles = [*run.troubles, *spools.warnings]
    return {name: _normalise_types(name, table.to_pandas()) for name, table in tables.items()}


def growth_per_second(t: pd.Series, total: pd.Series) -> float | None:
    """Return the growth per second of a running total, from first to last known sample."""
    t, total = t[total.notna()], total.dropna()
    if len(t) < 2:  # noqa: PLR2004 - a slope takes two points
        return None
    return float((total.iloc[-1] - total.iloc[0]) / (t.iloc[-1] - t.iloc[0]))
