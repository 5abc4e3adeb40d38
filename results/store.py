"""Where a run lives: opened once, sealed once, read by anyone; refuses a format newer than its own.

Closing a run turns its spools into Parquet under temporary names, renames, writes run.json, and only then removes the
spools. Reading never writes: a run that was never closed is read from its spools as often as anybody likes.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from results import spool
from results.schema import FORMAT, Phase, Sample, Status
from results.trouble import Exit, Trouble

SAMPLE_COLUMNS = tuple(Sample.__dataclass_fields__)
HARDSHIP = ("stolen", "used", "swapped", "periods", "throttled")  # what the machine suffered; the last two since format 6
LOAD_COLUMNS = ("worker", "kind", "cell", "mark", "t", "in_flight", "area", "lateness", "cpu", *HARDSHIP)
NOT_TOLD = (None,) * len(HARDSHIP)
POOLS = (
    *("threads_busy", "threads_waiting", "executor_queue", "cpu", "memory"),
    *("kin_cpu", "loop_cpu", "pool_threads", "pool_waiting"),  # since formats 4 and 5
)
PROBE_COLUMNS = ("variant", "pid", "t", "loop_lag", *POOLS)
TABLES = {"samples": SAMPLE_COLUMNS, "load": LOAD_COLUMNS, "probe": PROBE_COLUMNS}


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
        if gathered.spoilt:
            self.note(spoilt_lines(gathered.spoilt))
        for name, table in gathered.tables.items():
            write_table(self.path / f"{name}.parquet", table)
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


@dataclass(frozen=True, slots=True)
class Table:
    """Rows on their way to Parquet, or to a report of a run that was never sealed."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the spools of a run hold: its three tables, and what the probes told about their processes."""

    tables: dict[str, Table]
    targets: dict[str, Any]
    spoilt: int  # lines that could not be read


def gather(path: Path, origin: float) -> Gathered:
    """Read the spools of a run; nothing is written."""
    spoilt: list[str] = []
    visits, looks, targets = read_probe(path / "probe", origin)
    samples = list(map(attrgetter(*SAMPLE_COLUMNS), read_samples(path / "samples", origin, visits, spoilt)))
    load = list(read_load(path / "load", origin, spoilt))
    rows: dict[str, list[tuple[Any, ...]]] = {"samples": samples, "load": load, "probe": looks}
    return Gathered({name: Table(names, rows[name]) for name, names in TABLES.items()}, targets, len(spoilt))


def spoilt_lines(count: int) -> str:
    """What a reader must know about lines that could not be read."""
    return f"{count} line{'s' if count > 1 else ''} of the spools could not be read and {'are' if count > 1 else 'is'} left out."


def write_table(path: Path, table: Table) -> None:
    """One Parquet file, complete or absent."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and this module loads inside every Locust worker
    import pyarrow.parquet as pq  # noqa: PLC0415

    columns = {name: pa.array([row[i] for row in table.rows], type=column_type(pa, name)) for i, name in enumerate(table.names)}
    moments = [name for name, column in columns.items() if column.type == pa.float64()]  # byte by byte they take half the room
    words = [name for name in columns if name not in moments]
    draft = path.with_suffix(".part")
    pq.write_table(pa.table(columns), draft, compression="zstd", use_byte_stream_split=moments, use_dictionary=words)
    draft.replace(path)


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


def read_samples(folder: Path, origin: float, visits: dict[str, list[float | None]], spoilt: list[str]) -> Iterator[Sample]:
    """Join each worker's lines into samples; a request without a last word was in flight when its worker died."""
    for path in sorted(folder.glob("*.jsonl")):
        worker = path.stem
        planned: dict[int, list[Any]] = {}
        ends: dict[int, list[Any]] = {}
        for kind, seq, *words in spool.read(path, spoilt):
            (planned if kind in {"sent", "unsent"} else ends)[seq] = [kind, *words]
        lost = ["given-up", last_word([*planned.values(), *ends.values()], origin) if planned.keys() - ends.keys() else origin]
        for seq, start in planned.items():
            try:
                yield sample_of(worker, seq, start, ends.get(seq, lost), origin, visits.get(f"{worker}-{seq}"))
            except (ValueError, TypeError, IndexError):
                spoilt.append(str(start))


def last_word(lines: list[list[Any]], origin: float) -> float:
    """The latest moment that a worker wrote down; the planned moment of what was never sent may lie beyond its end."""
    told = (word for kind, *words in lines if kind != "unsent" for word in words if isinstance(word, float))
    return max(origin, max(told, default=origin))


def sample_of(  # noqa: PLR0913, PLR0917 - the two lines of a request, and what places them
    worker: str, seq: int, start: list[Any], end: list[Any], origin: float, visit: list[float | None] | None
) -> Sample:
    """One request from its lines. The probe's journal fills in what the answer's header could not carry."""
    kind, cell, phase, route, variant, connection, intended, last = start
    answered = end[0] == "done"
    status, error, size, *moments, peer = end[2:] if answered else [None] * 7
    refused = error == "ConnectionRefusedError"  # nobody listened: nothing left this machine's socket
    unsent = kind == "unsent" or refused
    told, journal = [*moments, None][:4], visit or [None] * 5
    told[3] = told[3] if journal[3] is None else journal[3]  # a head left before its body did
    moments = [since(journal[i] if told[i] is None else told[i], origin) for i in range(4)]
    peer = journal[4] if peer is None else peer
    return Sample(
        seq=seq,
        cell=cell,
        phase=Phase(phase),
        route=route,
        variant=variant,
        worker=worker,
        connection=connection,
        peer=int(peer) if peer is not None else None,
        intended=intended - origin,
        sent=None if unsent else last - origin,
        done=None if unsent else end[1] - origin,
        status=status,
        error=last if kind == "unsent" else error,
        bytes=size,
        app_start=moments[0],
        handler_start=moments[1],
        handler_end=moments[2],
        app_end=moments[3],
        censored=not unsent and not answered,
    )


def since(moment: float | None, origin: float) -> float | None:
    """A moment relative to the run's start."""
    return None if moment is None else moment - origin


def read_load(folder: Path, origin: float, spoilt: list[str]) -> Iterator[tuple[Any, ...]]:
    """The generator's own lines, as rows of `LOAD_COLUMNS`."""
    for path in sorted(folder.glob("*.jsonl")):
        worker = path.stem
        for kind, cell, *words in spool.read(path, spoilt):
            try:
                if kind == "mark":
                    mark, moment, in_flight, area, *hardship = words
                    told = (*hardship, *NOT_TOLD)[: len(HARDSHIP)]
                    yield (worker, "mark", cell, mark, moment - origin, in_flight, area, None, None, *told)
                else:
                    moment, in_flight, area, lateness, cpu = words
                    yield (worker, "tick", cell, None, moment - origin, in_flight, area, lateness, cpu, *NOT_TOLD)
            except (ValueError, TypeError):
                spoilt.append(str(words))


def read_probe(folder: Path, origin: float) -> tuple[dict[str, list[float | None]], list[tuple[Any, ...]], dict[str, Any]]:
    """The servers' journals: moments by request id (the last word counts), samples of the process, and runtimes."""
    visits: dict[str, list[float | None]] = {}
    looks: list[tuple[Any, ...]] = []
    targets: dict[str, Any] = {}
    for path in sorted(folder.glob("*.jsonl")):
        variant, _, pid = path.stem.rpartition("-")
        for kind, first, *words in spool.read(path):
            if kind == "visit":
                visits[first] = words
            elif kind == "runtime":
                targets[variant] = {**targets.get(variant, {}), **words[0]}
            elif kind == "frozen":  # a server that stopped on purpose says from when to when
                targets.setdefault(variant, {}).setdefault("frozen", []).append([first - origin, words[0] - origin])
            else:
                told = (*words, *[None] * len(POOLS))[: len(POOLS) + 1]  # an older journal told less
                looks.append((variant, int(pid), first - origin, *told))
    return visits, looks, targets


def default_root() -> Path:
    """Where runs go when nobody says: `results/` in a clone, `./atonce-results` elsewhere."""
    clone = Path(__file__).resolve().parent.parent
    is_clone = (clone / "atonce.py").is_file() and Path.cwd() == clone  # in a wheel the front door lies elsewhere
    return clone / "results" if is_clone else Path(os.curdir) / "atonce-results"
