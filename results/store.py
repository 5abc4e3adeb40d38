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
from results.run_info import (
    RunInfo,
    SessionAnswers,
    SkippedSession,
    decode_run_info,
    encode_run_info,
)
from results.schema import FORMAT_VERSION, Cell, Status
from results.spool_tables import RunSpools


class RunWriter:
    """The folder of one run while it is written; `info` becomes its run.json."""

    def __init__(self, path: Path, command: str) -> None:
        self.path, self.info = path, RunInfo()
        self.describe(RunInfo(command=command))

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

    def describe(self, info: RunInfo) -> None:
        """Set what run.json says; the run keeps its name, and its command if `info` has none."""
        info.format, info.run = FORMAT_VERSION, self.path.name
        info.command = info.command or self.info.command
        self.info = info

    def open(self, info: RunInfo) -> None:
        """Write run.json for the first time; the run's clock starts here."""
        self.describe(info)
        info.started = datetime.now(UTC).isoformat(timespec="seconds")
        info.origin = time.perf_counter()
        self.write_info()

    def extend_plan(self, cells: Iterable[Cell]) -> None:
        """Add cells that follow from what was measured so far."""
        self.info.plan.cells += cells
        self.write_info()

    def add_answers(self, session: str, answers: SessionAnswers) -> None:
        """Keep the app's answers to a session's extra requests, and its log's warnings."""
        self.info.answers[session] = answers
        self.write_info()

    def skip_session(self, session: str, skipped: SkippedSession) -> None:
        """Remove the cells of a session whose parts the target lacks, and keep the reason."""
        plan = self.info.plan
        plan.cells = [cell for cell in plan.cells if cell.name not in skipped.cells]
        self.info.sessions.remove(session)
        self.info.skipped[session] = skipped
        self.write_info()

    def add_warning(self, sentence: str) -> None:
        """Keep a sentence about a problem."""
        self.info.troubles.append(sentence)

    def close(self, status: Status) -> None:
        """Seal the spools, write run.json, and only then remove them: a crash loses nothing."""
        spools = RunSpools(self.path, self.info.origin)
        write_table(self.path / "samples.parquet", Sample, spools.samples)
        write_table(self.path / "load.parquet", LoadRow, [spools.load])
        write_table(self.path / "probe.parquet", ProbeRow, [spools.probe])
        self.info.troubles += spools.warnings
        self.info.seconds = time.perf_counter() - self.info.origin
        self.info.status, self.info.targets = status, spools.targets
        self.write_info()
        for name in TABLES:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def write_info(self) -> None:
        """Replace run.json atomically."""
        write_atomic(self.path / "run.json", encode_run_info(self.info).encode())


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader gets the whole old or the whole new one."""
    draft = path.with_name(f"{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read_run(path: Path) -> RunInfo:
    """Return what run.json says. Raises AtonceError if it is missing, edited, or too new."""
    try:
        text = (path / "run.json").read_text(encoding="utf-8")
        version = json.loads(text)["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        sentence = (
            f"{path} is not a run of atonce: it has no readable run.json. `results/` holds one"
            " folder per run."
        )
        raise AtonceError(sentence, ExitCode.USAGE) from error
    if not isinstance(version, int) or version < 1:
        sentence = f"{path} is not a run of atonce: its format is {version!r}, not a number."
        raise AtonceError(sentence, ExitCode.USAGE)
    if version > FORMAT_VERSION:
        sentence = (
            f"{path.name} was written in format {version}; this atonce reads up to"
            f" {FORMAT_VERSION}. Upgrade atonce to read it."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    try:
        return decode_run_info(text)
    except ValueError as error:
        raise damaged_run_error(path, str(error)) from error


def damaged_run_error(path: Path, why: str) -> AtonceError:
    """Return the error for a run that was cut or edited."""
    return AtonceError(
        f"atonce cannot read {path}: {why}. Copy the run again, or make a new one: atonce"
        " reproduce",
        ExitCode.USAGE,
    )


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
