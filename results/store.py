"""The folder of a run: opened once, sealed once, read by all; refuses newer formats.

Closing writes Parquet under temporary names, renames it, writes run.json, and only then removes the
spools. Reading never writes: a run that was never closed is read from its spools.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.errors import AtonceError, ExitCode
from results.records import TABLES, LoadRow, ProbeRow, Row, Sample, column_types
from results.schema import FORMAT_VERSION, Status
from results.spool_tables import RunSpools


class RunWriter:
    """The folder of one run while it is written."""

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "run": path.name,
            "command": command,
            "troubles": [],
        }

    @classmethod
    def create(cls, root: Path, command: str) -> "RunWriter":
        """Create a folder below `root`, named by the time. Raises AtonceError if that fails."""
        timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = root.resolve() / f"{timestamp}-{command}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            sentence = (
                f"Cannot write results below {root}: {error.strerror}. Name another folder with"
                " --out."
            )
            raise AtonceError(sentence, ExitCode.USAGE) from error
        return cls(path, command)

    def open(self, **metadata: Any) -> None:
        """Write run.json for the first time; the run's clock starts here."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self.metadata |= {"status": Status.RUNNING, "started": started}
        self.metadata |= {"origin": time.perf_counter(), **metadata}
        self.write_metadata()

    def extend_plan(self, cells: list[dict[str, Any]]) -> None:
        """Add cells that follow from what was measured so far."""
        self.metadata["plan"]["cells"] = [*self.metadata["plan"]["cells"], *cells]
        self.write_metadata()

    def add_answers(self, session: str, answers: list[dict[str, Any]], log: str) -> None:
        """Keep the app's answers to a session's extra requests, and its log's warnings."""
        self.metadata.setdefault("told", {})[session] = {"answers": answers, "log": log}
        self.write_metadata()

    def skip_session(self, session: str, why: str, cells: list[str]) -> None:
        """Remove the cells of a session whose parts the target lacks, and keep the reason."""
        plan = self.metadata["plan"]
        plan["cells"] = [cell for cell in plan["cells"] if cell["name"] not in cells]
        self.metadata["acts"] = [name for name in self.metadata["acts"] if name != session]
        self.metadata["skipped"][session] = {"why": why, "cells": cells}
        self.write_metadata()

    def add_warning(self, sentence: str) -> None:
        """Keep a sentence about a problem."""
        self.metadata["troubles"].append(sentence)

    def close(self, status: Status) -> None:
        """Seal the spools, write run.json, and only then remove them: a crash loses nothing."""
        spools = RunSpools(self.path, self.metadata["origin"])
        write_table(self.path / "samples.parquet", Sample, spools.samples)
        write_table(self.path / "load.parquet", LoadRow, [spools.load])
        write_table(self.path / "probe.parquet", ProbeRow, [spools.probe])
        self.metadata["troubles"] += spools.warnings
        seconds = time.perf_counter() - self.metadata["origin"]
        self.metadata |= {"status": status, "seconds": seconds, "targets": spools.targets}
        self.write_metadata()
        for name in TABLES:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def write_metadata(self) -> None:
        """Replace run.json atomically."""
        write_atomic(self.path / "run.json", json.dumps(self.metadata, indent=1).encode())


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader gets the whole old or the whole new one."""
    draft = path.with_name(f"{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read_run(path: Path) -> dict[str, Any]:
    """Return a run's metadata. Raises AtonceError if there is none, or its format is newer."""
    try:
        metadata = json.loads((path / "run.json").read_text(encoding="utf-8"))
        version = metadata["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sentence = (
            f"{path} is not a run of atonce: it has no readable run.json. `results/` holds one"
            " folder per run."
        )
        raise AtonceError(sentence, ExitCode.USAGE) from error
    if not isinstance(version, int):
        sentence = f"{path} is not a run of atonce: its format is {version!r}, not a number."
        raise AtonceError(sentence, ExitCode.USAGE)
    if version > FORMAT_VERSION:
        sentence = (
            f"{path.name} was written in format {version}; this atonce reads up to"
            f" {FORMAT_VERSION}. Upgrade atonce to read it."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    return dict(metadata)


def write_table(path: Path, table: type[Row], batches: Iterable[Sequence[Row]]) -> None:
    """Write a Parquet file, complete or not at all, a batch at a time."""
    # heavy, and this module loads inside every Locust worker
    import pyarrow.parquet as pq  # noqa: PLC0415

    # split into byte streams they take half the space
    time_columns = [name for name, kind in column_types(table).items() if kind is float]
    draft = path.with_suffix(".part")
    try:
        with pq.ParquetWriter(
            draft,
            to_arrow_table(table, []).schema,
            compression="zstd",
            use_byte_stream_split=time_columns,
            use_dictionary=[name for name in table.__struct_fields__ if name not in time_columns],
        ) as file:
            for batch in batches:
                file.write_table(to_arrow_table(table, batch))
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def to_arrow_table(table: type[Row], rows: Sequence[Row]) -> Any:
    """Return rows as an Arrow table with fixed column types."""
    import pyarrow as pa  # noqa: PLC0415

    arrow_types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    columns = {
        name: pa.array([getattr(row, name) for row in rows], arrow_types.get(kind, pa.string()))
        for name, kind in column_types(table).items()
    }
    return pa.table(columns)


def default_root() -> Path:
    """Return the default folder of runs: `results/` in a clone, else `./atonce-results`."""
    clone = Path(__file__).resolve().parent.parent
    # in a wheel atonce.py lies elsewhere
    is_clone = (clone / "atonce.py").is_file() and Path.cwd() == clone
    return clone / "results" if is_clone else Path(os.curdir) / "atonce-results"
