"""Where a run lives: opened once, sealed once, read by anyone; refuses a format newer than its own.

Closing a run turns its spools into Parquet under temporary names, renames, writes run.json, and only then removes the
spools. Reading never writes: a run that was never closed is read from its spools as often as anybody likes.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.errors import Exit, Trouble
from results.schema import FORMAT, Status
from results.spool_tables import SAMPLE_COLUMNS, TABLES, Table, gather, spoilt_lines


class RunFolder:
    """The folder of one run while it is written."""

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self.facts: dict[str, Any] = {"format": FORMAT, "run": path.name, "command": command, "troubles": []}

    @classmethod
    def create(cls, root: Path, command: str) -> "RunFolder":
        """A new folder below `root`, named after now. Raises Trouble where nothing can be written."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = root.resolve() / f"{moment}-{command}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            sentence = f"Cannot write results below {root}: {error.strerror}. Name another folder with --out."
            raise Trouble(sentence, Exit.USAGE) from error
        return cls(path, command)

    def open(self, **facts: Any) -> None:
        """Write run.json for the first time; the run's clock starts here."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self.facts.update(status=Status.RUNNING, started=started, origin=time.perf_counter(), **facts)
        self.write()

    def extend_plan(self, cells: list[dict[str, Any]]) -> None:
        """More cells, which follow from what was measured so far."""
        self.facts["plan"]["cells"] = [*self.facts["plan"]["cells"], *cells]
        self.write()

    def told(self, act: str, asked: list[dict[str, Any]], log: str) -> None:
        """What the bundled app answered to an act's questions, before the load and after it; without a load also its warnings."""
        self.facts.setdefault("told", {})[act] = {"answers": asked, "log": log}
        self.write()

    def skip(self, act: str, why: str, cells: list[str]) -> None:
        """The target lacks a part: these cells are not planned any more, and the reason is kept."""
        plan = self.facts["plan"]
        plan["cells"] = [cell for cell in plan["cells"] if cell["name"] not in cells]
        self.facts["acts"] = [one for one in self.facts["acts"] if one != act]
        self.facts["skipped"][act] = {"why": why, "cells": cells}
        self.write()

    def note(self, sentence: str) -> None:
        """Keep a sentence about what went wrong."""
        self.facts["troubles"].append(sentence)

    def close(self, status: Status) -> None:
        """Seal the spools, write run.json for the last time, and only then remove the spools: a crash loses nothing."""
        gathered = gather(self.path, self.facts["origin"])
        write_table(self.path / "samples.parquet", SAMPLE_COLUMNS, gathered.samples)
        for name, table in gathered.tables.items():
            write_table(self.path / f"{name}.parquet", table.names, [table])
        if gathered.spoilt:
            self.note(spoilt_lines(len(gathered.spoilt)))
        self.facts.update(status=status, seconds=time.perf_counter() - self.facts["origin"], targets=gathered.targets)
        self.write()
        for name in TABLES:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def write(self) -> None:
        """Replace run.json at one stroke."""
        put(self.path / "run.json", json.dumps(self.facts, indent=1).encode())


def put(path: Path, content: bytes) -> None:
    """A file at one stroke: whoever looks finds the old one or the new one, whole, whatever stops us on the way."""
    draft = path.with_name(f"{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read_run(path: Path) -> dict[str, Any]:
    """The facts of a stored run. Raises Trouble when there are none, or when they are newer than this program."""
    try:
        facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
        number = facts["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sentence = f"{path} is not a run of atonce: it has no readable run.json. `results/` holds one folder per run."
        raise Trouble(sentence, Exit.USAGE) from error
    if not isinstance(number, int):
        raise Trouble(f"{path} is not a run of atonce: its format is {number!r}, not a number.", Exit.USAGE)
    if number > FORMAT:
        sentence = f"{path.name} was written in format {number}; this atonce reads up to {FORMAT}. Upgrade atonce to read it."
        raise Trouble(sentence, Exit.USAGE)
    return dict(facts)


def newest(root: Path) -> Path:
    """The latest run below a folder; the stored examples do not count."""
    runs = sorted(path.parent for path in root.glob("*/run.json") if not path.parent.name.startswith("example"))
    if not runs:
        raise Trouble(f"There is no run in {root} yet. Make one: atonce reproduce", Exit.USAGE)
    return runs[-1]


def write_table(path: Path, names: tuple[str, ...], parts: Iterable[Table]) -> None:
    """One Parquet file, complete or absent, as large as it may be: a part at a time."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy, and this module loads inside every Locust worker

    schema = in_arrow(Table(names, [])).schema
    moments = [column.name for column in schema if column.type == "double"]  # byte by byte they take half the room
    words = [name for name in names if name not in moments]
    draft = path.with_suffix(".part")
    try:
        with pq.ParquetWriter(draft, schema, compression="zstd", use_byte_stream_split=moments, use_dictionary=words) as file:
            for part in parts:
                file.write_table(in_arrow(part))
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def in_arrow(table: Table) -> Any:
    """Rows as a table of Arrow, each column of its own type, whatever its first rows hold."""
    import pyarrow as pa  # noqa: PLC0415

    columns = {name: pa.array([row[i] for row in table.rows], type=column_type(pa, name)) for i, name in enumerate(table.names)}
    return pa.table(columns)


def column_type(pa: Any, name: str) -> Any:
    """Arrow's type of a column: words, whole numbers, one flag; all the rest are float64 seconds."""
    words = {"cell", "phase", "route", "variant", "worker", "error", "kind", "mark"}
    counts = {"bytes", "in_flight", "memory", "threads_waiting", "executor_queue", "pool_threads", "pool_waiting", "swapped"}
    whole = {"seq", "connection", "peer", "status", "pid"} | counts
    if name in words:
        return pa.string()
    if name in whole:
        return pa.int64()
    return pa.bool_() if name == "censored" else pa.float64()


def default_root() -> Path:
    """Where runs go when nobody says: `results/` in a clone, `./atonce-results` elsewhere."""
    clone = Path(__file__).resolve().parent.parent
    is_clone = (clone / "atonce.py").is_file() and Path.cwd() == clone  # in a wheel the front door lies elsewhere
    return clone / "results" if is_clone else Path(os.curdir) / "atonce-results"
